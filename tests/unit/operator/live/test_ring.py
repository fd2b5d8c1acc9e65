"""The last hour of points: bounded, in order, and the same numbers that were put in."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.live import ring
from llmdeployment_operator.plan.live.ring import OBJECTS, POINTS, SECONDS, LiveHistory, Ring
from llmdeployment_operator.plan.observed.live_counters import LiveCounters, RevisionCounters

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBERS = (
    st.none() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False, allow_infinity=False)
)
KEYS = st.text(min_size=1, max_size=12)
POINTS_OF_ANY_SHAPE = st.recursive(
    st.dictionaries(KEYS, NUMBERS, max_size=4),
    lambda inner: st.dictionaries(KEYS, NUMBERS | inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.floats(0, 1e9), POINTS_OF_ANY_SHAPE), max_size=30), st.floats(0, 1e9))
def test_points_come_out_as_they_went_in_and_in_order(
    added: list[tuple[float, dict[str, Any]]], after: float
) -> None:
    found = Ring()
    expected: list[tuple[float, Any]] = []
    for at, point in added:
        found.add(at, point)
        if not expected or at > expected[-1][0]:
            expected.append((at, point))
    assert found.list_points() == expected
    assert found.list_points(after) == [(at, point) for at, point in expected if at > after]


def test_an_hour_is_kept_and_no_more() -> None:
    found = Ring()
    for second in range(POINTS + 10):
        found.add(float(second), {"x": second})
    points = found.list_points()
    assert len(points) == POINTS == 3600 / SECONDS
    assert points[0] == (10.0, {"x": 10})


def test_an_hour_of_a_comparison_takes_less_than_a_third_of_a_megabyte() -> None:
    revision = dict.fromkeys(("ttftP50", "ttftP90", "requestsPerSecond", "errorRatio", "x"), 0.5)
    metric = dict.fromkeys(("requests", "users", "difference", "low", "high", "tolerance"), 0.5)
    point = {
        "replicas": {"ready": 1, "desired": 1},
        "revisions": {"3": revision, "4": revision},
        "analysis": {"ttft>500ms": metric, "errorRate": metric},
    }
    found = Ring()
    tracemalloc.start()
    for second in range(POINTS):
        found.add(second + 0.5, point)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({id(row.shape) for row in found.rows}) == 1
    assert size < 333_000


COUNTERS = LiveCounters({"g": {1: RevisionCounters(requests=10)}})


def record(history: LiveHistory, now: float, owner: Any = ("shop", "chat"), uid: str = "u") -> None:
    history.record(owner, uid, COUNTERS, now, RolloutSpec(), Status())


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([0, 2, 4, 5, 7, 9.9, 10], [0, 5, 10]),
        ([0, 600], [0, 600]),
        # The clock was put back: what lies in the future is forgotten.
        ([100, 105, 50, 55], [50, 55]),
    ],
)
def test_a_point_is_made_every_five_seconds(times: list[float], kept: list[float]) -> None:
    history = LiveHistory()
    for now in times:
        record(history, now)
    assert [at for at, _ in history.list_points(("shop", "chat"))] == kept


def test_one_that_was_made_anew_begins_anew_and_one_that_is_gone_is_forgotten() -> None:
    history, owner = LiveHistory(), ("shop", "chat")
    record(history, 0)
    record(history, 1, uid="other")
    assert [at for at, _ in history.list_points(owner)] == [1]
    history.forget(owner)
    history.forget(owner)
    assert history.list_owners() == []
    assert history.list_points(owner) == []


def test_the_one_that_was_not_heard_of_for_longest_goes_first() -> None:
    history = LiveHistory()
    for number in range(OBJECTS):
        record(history, number, ("shop", str(number)))
    record(history, OBJECTS, ("shop", "0"))
    record(history, OBJECTS, ("shop", "new"))
    assert len(history) == OBJECTS
    owners = history.list_owners()
    assert ("shop", "1") not in owners
    assert {("shop", "0"), ("shop", "new")} <= set(owners)


def test_the_first_point_has_no_rates_and_the_second_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Mapping[str, Any] | None, float]] = []

    def build(_: Any, before: LiveCounters | None, seconds: float, *__: Any) -> dict[str, Any]:
        seen.append((before.pods if before is not None else None, seconds))
        return {}

    monkeypatch.setattr(ring, "build_point", build)
    history = LiveHistory()
    record(history, 10)
    record(history, 16)
    assert seen[0][0] is None
    assert seen[1] == (COUNTERS.pods, 6)
