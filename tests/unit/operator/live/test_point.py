"""What a point says: rates between two looks at the pods, latencies, and the comparison."""

from typing import Any

import pytest
from tests.unit.console.fakes import moving

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import Stratum, find_interval
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import RevisionStatus, Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.autoscaler.types import BOUNDS
from llmdeployment_operator.plan.live.point import (
    METRICS,
    REVISIONS,
    build_analysis_point,
    build_point,
    count_desired,
    describe_minutes,
    find_percentile,
)
from llmdeployment_operator.plan.observed.live_counters import (
    LiveCounters,
    RevisionCounters,
    subtract,
)
from llmdeployment_operator.plan.observed.live_stats import count_live


def gateway(**requests: int) -> LiveCounters:
    rows = {int(number[1:]): RevisionCounters(count) for number, count in requests.items()}
    return LiveCounters({"g": rows}, waiting=0)


def points_of(before: LiveCounters | None, now: LiveCounters, seconds: float = 5.0) -> Any:
    return build_point(now, before, seconds, RolloutSpec(), Status(ready_replicas=2))


def test_rates_are_what_was_counted_divided_by_the_seconds() -> None:
    found = points_of(gateway(r3=100), gateway(r3=150, r4=10))
    assert found["requestsPerSecond"] == 12
    assert {n: row["requestsPerSecond"] for n, row in found["revisions"].items()} == {
        "3": 10,
        "4": 2,
    }
    assert found["replicas"] == {"ready": 2, "desired": 0}


@pytest.mark.parametrize(
    ("before", "seconds"), [(None, 5.0), (gateway(r3=1), 0.0), (gateway(r3=1), 901.0)]
)
def test_a_point_without_one_before_has_no_rates(before: Any, seconds: float) -> None:
    found = points_of(before, gateway(r3=150), seconds)
    assert (found["requestsPerSecond"], found["revisions"]) == (None, {})


def test_pods_that_come_go_or_begin_anew_are_no_burst() -> None:
    before = LiveCounters({"a": {3: RevisionCounters(500)}, "b": {3: RevisionCounters(9)}})
    now = LiveCounters({"b": {3: RevisionCounters(4)}, "c": {3: RevisionCounters(700)}, "d": {}})
    assert subtract(now, before) == {}
    both = subtract(
        LiveCounters({"a": {3: RevisionCounters(501)}, "b": {3: RevisionCounters(11, 1)}}), before
    )
    assert both == {3: RevisionCounters(3, 1)}


def test_errors_and_tokens_are_shares_and_rates_of_their_revision() -> None:
    ttft = tuple([0] * 16 + [8] * (len(BOUNDS) - 15))
    now = LiveCounters(
        {"g": {3: RevisionCounters(20, 5)}, "w": {3: RevisionCounters(0, 0, ttft, 400)}}
    )
    row = points_of(LiveCounters({"g": {}, "w": {}}), now, 10.0)["revisions"]["3"]
    assert (row["errorRatio"], row["outputTokensPerSecond"]) == (0.25, 40)
    assert BOUNDS[15] < row["ttftP50"] < row["ttftP90"] < BOUNDS[16]
    idle = points_of(gateway(r3=1), gateway(r3=1))["revisions"]["3"]
    assert (idle["errorRatio"], idle["ttftP90"], idle["outputTokensPerSecond"]) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("counts", "percent", "seconds"),
    [
        ([4] * 37, 50, 0.0005),  # all in the first bucket, which begins at 0
        ([0] * 36 + [4], 50, BOUNDS[-1]),  # all beyond the last bound
        ([0] + [4] * 36, 100, 0.0015),
        ([0] + [4] * 36, 25, 0.001125),
        ([1] + [4] * 36, 25, 0.001),
        ([], 50, None),
    ],
)
def test_percentiles_are_linear_within_a_bucket(counts: Any, percent: float, seconds: Any) -> None:
    assert find_percentile(counts, percent) == pytest.approx(seconds)


def test_the_comparison_is_that_of_the_decision() -> None:
    found = moving()
    rollout = RolloutSpec.model_validate(found["spec"]["rollout"])
    point = build_analysis_point(rollout, read_status(found["status"]))
    row = point["errorRate"]
    strata = [Stratum(Counts(1650, 3), Counts(413, 1))]
    # alpha of 0.01 is divided by 3 steps and 2 metrics. Minutes are not known, so requests count for fewer.
    low, high = find_interval(strata, 0.01 / 3 / 2, 0.05)
    assert row["low"] <= low < row["difference"] < high <= row["high"]
    assert row["difference"] == pytest.approx(1 / 413 - 3 / 1650)
    assert (row["requests"], row["users"], row["tolerance"]) == (413, 21, 0.01)


def test_without_a_canary_or_an_analysis_there_is_no_comparison() -> None:
    found = moving()
    status = read_status(found["status"])
    rollout = RolloutSpec.model_validate(found["spec"]["rollout"])
    assert build_analysis_point(RolloutSpec(), status) == {}
    assert build_analysis_point(rollout, Status()) == {}
    bad = status.arms[0].model_copy(
        update={"analysis": status.arms[0].analysis.model_copy(update={"result": "Maybe"})}  # type: ignore[union-attr]  # because it has one
    )
    assert build_analysis_point(rollout, status.model_copy(update={"arms": (bad,)})) == {}


def test_a_point_is_bounded() -> None:
    many = {f"r{number}": number for number in range(1, 30)}
    found = points_of(LiveCounters({"g": {}}), gateway(**many))
    assert list(found["revisions"]) == [str(n) for n in range(30 - REVISIONS, 30)]
    assert METRICS == 16


def test_replicas_of_one_runtime_are_counted_once() -> None:
    rows = [("a", 4), ("a", 4), ("b", 1)]
    revisions = tuple(
        RevisionStatus(name=f"r{n}", number=n, hash="h", runtime=runtime, replicas=replicas)
        for n, (runtime, replicas) in enumerate(rows, 1)
    )
    assert count_desired(Status(revisions=revisions)) == 5


def test_minutes_have_the_median_of_their_points() -> None:
    values = [
        (3541.0, 0.2),
        (3545.0, None),
        (3550.0, 0.9),
        (3555.0, 0.4),
        (3599.0, 0.3),
        (-10.0, 7.0),
    ]
    found = describe_minutes([(at, {"ttftP90": value}) for at, value in values], 3600.0)
    assert len(found) == 60
    assert found[-1] == 0.4
    assert set(found[:-1]) == {None}


def test_what_pods_say_is_read_leniently() -> None:
    route = {"revision": 3, "arm": "a", "requests": {"2xx": 7, "4xx": 2, "5xx": 1}}
    other = {**route, "arm": "b"}
    found = count_live(
        {"w": {"waiting": 2, "revisions": {"3": {}}}, "x": {}},
        {"g": {"held": 1, "routes": [route, other]}, "h": {"held": -1, "routes": "none"}},
    )
    assert found.waiting == 3
    assert found.pods == {"w": {}, "x": {}, "g": {3: RevisionCounters(20, 2)}, "h": {}}
    assert count_live({}, {}).waiting is None
