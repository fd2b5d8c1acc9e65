"""What the operator reads of the bounded sample."""

from typing import Any

import pytest

from llmdeployment_operator.analysis.counts import BOUNDED_GROUPS, CACHED, CountKey, Counts
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.plan.observed.bounded_counts import (
    read_bounded_gateway_counts,
    read_bounded_replica_counts,
)

TTFT, ERRORS = MetricSpec(name="ttft", milliseconds=400), MetricSpec(name="errorRate")
REFUSAL, FEEDBACK = MetricSpec(name="refusal"), MetricSpec(name="feedback")
METRICS = (TTFT, ERRORS, REFUSAL, FEEDBACK)


def tell_replica(bounded: Any) -> Any:
    whole = {"ttft": {"buckets": [[0.5, 90], ["+Inf", 99]], "sum": 4.0, "count": 99}}
    return {"revisions": {"3": {**whole, "promptTokens": 9, CACHED: 4, "bounded": bounded}}}


BOUNDED = {
    "ttft": {
        "buckets": [[0.5, 7], ["+Inf", 10]],
        "sum": 4.0,
        "count": 10,
        "byPromptBytes": [[1024, [7, 1]], ["+Inf", [0, 2]]],
        "byUser": [[15, [2, 1]], [16, [1, 1]]],
    },
    "shares": {
        "refusal": {
            "total": 9,
            "bad": 2,
            "byPromptBytes": [[1024, 9, 2]],
            "byUser": [[0, 3, 1]],
        }
    },
}


def test_a_replicas_bounded_sample_is_a_metric_of_its_own() -> None:
    found = read_bounded_replica_counts(tell_replica(BOUNDED), METRICS)[3]
    ttft, refusal = "ttft>400ms, bounded", "refusal, bounded"
    groups = {key: seen for key, seen in found.items() if key.group is not None and seen.total}
    assert groups == {
        CountKey(ttft, group=15): Counts(3, 1),
        CountKey(refusal, group=0): Counts(3, 1),
    }
    assert {key: seen for key, seen in found.items() if key.group is None} == {
        CountKey(ttft, "1024"): Counts(8, 1),
        CountKey(ttft, "+Inf"): Counts(2, 2),
        CountKey(refusal, "1024"): Counts(9, 2),
    }
    # There is a key for each group, also for those without requests: a look later there may be some.
    assert {key.group for key in found} == {None, *range(BOUNDED_GROUPS)}


@pytest.mark.parametrize(
    "stats",
    [
        {},
        [],
        {"revisions": []},
        {"revisions": {"3": 7}},
        tell_replica(7),
        tell_replica({"ttft": 7}),
        tell_replica({"ttft": {**BOUNDED["ttft"], "byUser": [[0, [9, 9]]]}}),
    ],
)
def test_a_replica_that_is_not_what_it_should_be_has_no_bounded_sample(stats: Any) -> None:
    assert read_bounded_replica_counts(stats, METRICS) == {}


def test_an_older_image_has_no_bounded_sample() -> None:
    stats = tell_replica(BOUNDED)
    del stats["revisions"]["3"]["bounded"]
    assert read_bounded_replica_counts(stats, METRICS) == {}
    whole = {"revision": 3, "requests": {"2xx": 7, "4xx": 1, "5xx": 2}, "byUser": []}
    assert read_bounded_gateway_counts({"routes": [whole]}, METRICS) == {}


def tell_gateway(bounded: Any) -> Any:
    whole = {"arm": "main", "revision": 3, "requests": {"2xx": 90, "4xx": 0, "5xx": 9}}
    return {"routes": [{**whole, "bounded": bounded}, {**whole, "arm": "b", "bounded": bounded}]}


def test_a_gateways_bounded_sample_is_a_metric_of_its_own() -> None:
    bounded = {
        "requests": {"2xx": 7, "4xx": 1, "5xx": 2},
        "byUser": [[3, 10, 2]],
        "feedback": {"votes": 4, "badThousandths": 2399, "byUser": [[3, 4, 2399]]},
    }
    found = read_bounded_gateway_counts(tell_gateway(bounded), METRICS)[3]
    assert {key: seen for key, seen in found.items() if seen.total} == {
        CountKey("errorRate, bounded"): Counts(20, 4),
        CountKey("errorRate, bounded", group=3): Counts(20, 4),
        CountKey("feedback, bounded"): Counts(8, 4),
        CountKey("feedback, bounded", group=3): Counts(8, 4),
    }
    assert {key.group for key in found} == {None, *range(BOUNDED_GROUPS)}
    assert read_bounded_gateway_counts(tell_gateway(bounded), [TTFT]) == {}


@pytest.mark.parametrize(
    "stats", [{}, [], {"routes": 7}, {"routes": [7]}, tell_gateway(7), tell_gateway({})]
)
def test_a_gateway_that_is_not_what_it_should_be_has_no_bounded_sample(stats: Any) -> None:
    assert read_bounded_gateway_counts(stats, METRICS) == {}
