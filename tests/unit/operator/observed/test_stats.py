"""What the operator believes of a replica's `/stats`."""

import base64
from typing import Any

import pytest
from tests.support.fleet import Counts, histogram

from llmdeployment_operator.analysis import counts
from llmdeployment_operator.analysis.counts import GROUPS, CountKey
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.costs.types import ReplicaUsage, TokenCounts
from llmdeployment_operator.plan.observed.cluster_state import GatewayState
from llmdeployment_operator.plan.observed.stats import (
    read_gateway,
    read_gateway_counts,
    read_gateway_users,
    read_replica_counts,
    read_sample,
    read_usage,
)

GOOD = Counts(5, 1).stats(2, 1)


def changed(**fields: Any) -> Any:
    return {**GOOD, **fields}


@pytest.mark.parametrize(
    "stats",
    [
        {},
        changed(running=float("nan")),
        changed(running="2"),
        changed(kvCacheUsage=None),
        changed(promptTokens=True),
        changed(generationTokens=1.5),
        changed(revisions=[]),
        changed(revisions={"1": {}}),
        changed(revisions={"1": {"ttft": {"buckets": [[1, 2]]}}}),
        changed(revisions={"1": {name: {"buckets": "no"} for name in ("ttft", "itl", "e2e")}}),
    ],
)
def test_what_no_replica_writes_is_none(stats: Any) -> None:
    assert read_sample(stats, 1.0) is None


def test_a_gateway_says_what_it_gave_to_each_service() -> None:
    services = {"a": {"servers": 2, "up": 1, "requests": 7}, "b": {"servers": 1, "up": 1}}
    told = {"routesHash": "x", "held": 3, "refused": 1, "services": services}
    assert read_gateway("g-0", told) == GatewayState("g-0", "x", {"a": 1, "b": 1}, 3, 1, {"a": 7})
    assert read_gateway("g-0", {}) == GatewayState("g-0", "", {})


def test_an_answer_has_the_sums_of_its_revisions() -> None:
    rows = {n: dict.fromkeys(("ttft", "itl", "e2e"), histogram(2, 1)) for n in ("1", "2")}
    found = read_sample(changed(revisions=rows), 7.0)
    assert found is not None
    assert found.histograms["e2e"][-1] == 6
    assert (found.at, found.running, found.waiting) == (7.0, 2, 1)


TTFT, ERRORS = MetricSpec(name="ttft", milliseconds=400), MetricSpec(name="errorRate")
FEEDBACK = MetricSpec(name="feedback")


def tell_groups(by_user: Any) -> Any:
    buckets = [[0.3, 5], [0.5, 7], ["+Inf", 10]]
    row = {"ttft": {"buckets": buckets, "sum": 4.0, "count": 10, "byUser": by_user}}
    return {"revisions": {"3": row}}


def tell_route(**fields: Any) -> Any:
    row = {"revision": 3, "requests": {"2xx": 7, "4xx": 1, "5xx": 2}, **fields}
    return {"routes": [row]}


def test_a_group_is_counted_beyond_the_metrics_threshold() -> None:
    found = read_replica_counts(tell_groups([[63, [2, 1, 0]], [0, [0, 1, 3]]]), [TTFT])[3]
    assert found.pop(CountKey("ttft>400ms")) == counts.Counts(10, 3)
    assert {key.metric: key.stratum for key in found} == {"ttft>400ms": ""}
    assert {key.group: each for key, each in found.items()} == {
        **dict.fromkeys(range(GROUPS), counts.Counts()),
        63: counts.Counts(3, 0),
        0: counts.Counts(4, 3),
    }


@pytest.mark.parametrize(
    "by_user",
    [
        None,
        {},
        "ab",
        [[64, [1, 0, 0]]],
        [[-1, [1, 0, 0]]],
        [[True, [1, 0, 0]]],
        [["1", [1, 0, 0]]],
        [[1.0, [1, 0, 0]]],
        [[[], [1, 0, 0]]],
        [[]],
        [7],
        [[1, [1, 0]]],
        [[1, [1, 0, 0, 0]]],
        [[1, [1, 0, 0], 2]],
        [[1, [2, -1, 0]]],
        [[1, [1.5, 0, 0]]],
        [[1, [True, 0, 0]]],
        [[1, "abc"]],
        [[1, [1, 0, 0]], [1, [1, 0, 0]]],
        [[1, [10, 0, 1]]],
        [[1, [0, 0, 4]]],
        [[group % GROUPS, [0, 0, 0]] for group in range(GROUPS + 1)],
    ],
)
def test_a_replica_whose_groups_cannot_be_counts_nothing(by_user: Any) -> None:
    assert read_replica_counts(tell_groups(by_user), [TTFT]) == {}


@pytest.mark.parametrize(
    "by_user",
    [
        None,
        [[64, 1, 0]],
        [[1, 1]],
        [[1, 1, 2]],
        [[1, -1, -1]],
        [[1, 1.5, 0]],
        [[1, 1, 0], [1, 1, 0]],
        [[1, 6, 0], [2, 5, 0]],
        [[1, 3, 3]],
    ],
)
def test_a_gateway_whose_groups_cannot_be_counts_nothing(by_user: Any) -> None:
    assert read_gateway_counts(tell_route(byUser=by_user), [ERRORS]) == {}


def test_the_groups_of_two_arms_with_one_revision_add_up() -> None:
    rows = [tell_route(byUser=[[5, 2, 1]])["routes"][0] for _ in range(2)]
    found = read_gateway_counts({"routes": rows}, [ERRORS])[3]
    assert len(found) == GROUPS + 1
    assert found[CountKey("errorRate")] == counts.Counts(20, 4)
    assert found[CountKey("errorRate", group=5)] == counts.Counts(4, 2)
    assert found[CountKey("errorRate", group=6)] == counts.Counts()


def tell_votes(votes: object, thousandths: object, **fields: object) -> Any:
    return tell_route(feedback={"votes": votes, "badThousandths": thousandths, **fields})


def test_votes_are_counted_for_what_they_lack_in_whole_votes() -> None:
    groups = [[5, 3, 1400], [6, 1, 999]]
    found = read_gateway_counts(tell_votes(4, 2399, byUser=groups), [FEEDBACK])[3]
    assert found.pop(CountKey("feedback")) == counts.Counts(4, 2)
    assert {key.metric for key in found} == {"feedback"}
    assert {key.group: each for key, each in found.items()} == {
        **dict.fromkeys(range(GROUPS), counts.Counts()),
        5: counts.Counts(3, 1),
        6: counts.Counts(1, 0),
    }


def test_a_gateway_is_read_for_the_metrics_that_are_asked_for() -> None:
    stats = tell_votes(4, 1000)
    errors, votes = CountKey("errorRate"), CountKey("feedback")
    assert read_gateway_counts(stats, [TTFT]) == {}
    assert read_gateway_counts(stats, [ERRORS]) == {3: {errors: counts.Counts(10, 2)}}
    assert read_gateway_counts(stats, [FEEDBACK]) == {3: {votes: counts.Counts(4, 1)}}
    assert read_gateway_counts(stats, [FEEDBACK, ERRORS])[3].keys() == {errors, votes}
    # One of an older image takes no votes.
    assert read_gateway_counts(tell_route(), [FEEDBACK]) == {3: {}}


@pytest.mark.parametrize(
    "stats",
    [
        tell_route(feedback=None),
        tell_route(feedback={"votes": 1}),
        tell_votes(1, 1001),
        tell_votes(-1, 0),
        tell_votes(1.0, 0),
        tell_votes(1, 0.5),
        tell_votes(10**400, 0),
        tell_votes(True, 0),
        tell_votes(1, 0, byUser=[[64, 1, 0]]),
        tell_votes(1, 0, byUser=[[1, 1, 1001]]),
        tell_votes(1, 0, byUser=[[1, 2, 0]]),
        tell_votes(1, 0, byUser=[[1, 1, 1]]),
    ],
)
def test_a_gateway_whose_votes_cannot_be_counts_nothing(stats: Any) -> None:
    assert read_gateway_counts(stats, [FEEDBACK]) == {}


def encode(bits: int, size: int = 1250) -> str:
    return base64.b64encode(bits.to_bytes(size, "little")).decode()


def test_users_of_two_arms_with_one_revision_are_united() -> None:
    routes = [{"revision": 3, "users": encode(each)} for each in (0b011, 0b110 | 1 << 9999)]
    found = read_gateway_users({"routes": [*routes, {"revision": 4}]})
    assert found == {3: 0b111 | 1 << 9999}


@pytest.mark.parametrize(
    "users", [None, 7, [], "", "!", encode(1, 1249), encode(1, 1251), "é" * 1668, "A" * 10**6]
)
def test_what_is_not_a_bit_for_each_bucket_says_nothing_of_users(users: Any) -> None:
    assert read_gateway_users(tell_route(users=users)) == {}


WORK = {
    "inFlight": 2,
    "promptTokens": 100,
    "generationTokens": 40,
    "revisions": {
        "3": {
            "requests": {"200": 4, "499": 1, "503": 9},
            "outputTokens": {"sum": 40.0},
            "usage": {"answers": 4, "promptTokens": 90},
        }
    },
}


def test_what_a_replica_did_is_its_answers_and_their_tokens() -> None:
    assert read_usage(WORK) == ReplicaUsage(2, 140, {3: TokenCounts(4, 90, 40)})


def test_a_replica_of_an_older_image_counts_no_prompt_tokens() -> None:
    row = {key: value for key, value in WORK["revisions"]["3"].items() if key != "usage"}  # type: ignore[index]  # because it is JSON
    assert read_usage({**WORK, "revisions": {"3": row}}) == ReplicaUsage(
        2, 140, {3: TokenCounts(4, 0, 40)}
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"inFlight": -1},
        {"promptTokens": 10**15},
        {"generationTokens": None},
        {"revisions": {"x": {}}},
        {"revisions": {"3": {"requests": {"200": 1.5}, "outputTokens": {"sum": 1}}}},
        {"revisions": {"3": {"requests": {}, "outputTokens": {"sum": float("inf")}}}},
        {"revisions": {"3": {"requests": {}, "outputTokens": {"sum": float("nan")}}}},
        {"revisions": {"3": {"requests": {}, "outputTokens": {"sum": -1}}}},
    ],
)
def test_work_that_cannot_be_is_none(wrong: Any) -> None:
    assert read_usage({**WORK, **wrong}) is None
