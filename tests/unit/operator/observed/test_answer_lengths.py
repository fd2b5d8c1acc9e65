"""What is read of the lengths of answers for a comparison of costs."""

from typing import Any

import pytest

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.api.experiment import ExperimentMetric
from llmdeployment_operator.plan.observed.stats import read_replica_counts

COST = ExperimentMetric(name="cost", tokens=100)


def replica(**changes: Any) -> dict[str, Any]:
    """Six answers of 0 to 50 tokens, three of 50 to 100, one of more."""
    buckets = [[50, 6], [100, 9], ["+Inf", 10]]
    histogram = {"buckets": buckets, "sum": 500, "count": 10, **changes}
    return {"revisions": {"3": {"outputTokens": histogram}}}


def test_an_answer_counts_as_the_middle_of_its_bucket_and_a_longer_one_as_the_most() -> None:
    """6 * 0.25 + 3 * 0.75 + 1 = 4.75."""
    assert read_replica_counts(replica(), [COST]) == {3: {CountKey("cost<=100"): Counts(10, 4)}}
    shorter = ExperimentMetric(name="cost", tokens=50)
    assert read_replica_counts(replica(), [shorter]) == {3: {CountKey("cost<=50"): Counts(10, 7)}}


def test_most_tokens_are_a_thousand() -> None:
    """6 * 0.025 + 3 * 0.075 + 1 = 1.375."""
    found = read_replica_counts(replica(), [ExperimentMetric(name="cost")])
    assert found == {3: {CountKey("cost<=1000"): Counts(10, 1)}}


def test_prompt_lengths_and_groups_of_users_are_told_apart() -> None:
    rows = replica(byPromptBytes=[[1024, [6, 0, 0]], ["+Inf", [0, 3, 1]]], byUser=[[5, [0, 2, 1]]])
    found = read_replica_counts(rows, [COST])[3]
    assert found[CountKey("cost<=100", "1024")] == Counts(6, 1)
    assert found[CountKey("cost<=100", "+Inf")] == Counts(4, 3)
    assert found[CountKey("cost<=100", group=5)] == Counts(3, 2)
    assert found[CountKey("cost<=100", group=6)] == Counts()
    assert len(found) == 2 + 64


@pytest.mark.parametrize(
    "changes",
    [
        {"byPromptBytes": [[1024, [6, 0]]]},
        {"byPromptBytes": [[1024, [6, 0, -1]]]},
        {"byPromptBytes": [[1024, [6, 0, True]]]},
        {"byPromptBytes": [[n + 1, [0, 0, 0]] for n in range(8)]},
        {"byUser": [[64, [1, 0, 0]]]},
        {"byUser": [[1, [11, 0, 0]]]},
        {"byUser": [[1, [1, 0, 0]], [1, [1, 0, 0]]]},
        {"buckets": [[50, 6], [100, 5], ["+Inf", 10]]},
    ],
)
def test_what_no_replica_writes_says_nothing(changes: Any) -> None:
    assert read_replica_counts(replica(**changes), [COST]) == {}
