"""Each check of the law, by numbers worked out by hand. The replica is one whose step takes 10 ms and 1 ms for each request."""

from dataclasses import replace

import pytest

from llmdeployment_operator.autoscaler import signals as law
from llmdeployment_operator.autoscaler.demand import Demand
from llmdeployment_operator.autoscaler.observation import Delta
from llmdeployment_operator.autoscaler.replica_model import EDGES, Curve, Line, ReplicaModel
from llmdeployment_operator.autoscaler.signals import Signals
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import (
    Observation,
    ScalingPolicy,
    ScalingReason,
    Target,
)

POLICY = ScalingPolicy(1, 20, (Target("ttft", 90, 0.5),))
BINS = len(EDGES) + 1
GOOD_TO_11 = tuple(0.0 if edge <= 11 else 1.0 for edge in (*EDGES, float("inf")))
MODEL = ReplicaModel(Line(0.01, 0.001), (Curve(GOOD_TO_11, GOOD_TO_11, 100.0),), (0.1,))
QUIET = Demand(least=0.0, estimate=0.0, most=0.0, index=1.0)
SEEN = Delta({}, (), 1, 0, 0.0, 0.0)


def signals(
    *, ready: int = 2, current: int = 2, pending: int = 0, now: float = 1000.0, **state: object
) -> Signals:
    known = AutoscalerState(at=now, answer_tokens=400.0, recent_misses=((0.0, 0.0),))
    return Signals(
        POLICY,
        Observation(now, ready, pending, {}),
        replace(known, **state),
        replace(SEEN, answered=ready),
        current,
        now,
        QUIET,
        MODEL,
    )


def test_the_knee_is_the_last_load_that_went_well() -> None:
    assert law._find_knee(MODEL) == 11


@pytest.mark.parametrize(
    ("in_flight", "ready", "expected"),
    [
        # 2 replicas carry 22; a quarter more, 27.5, is no evidence yet.
        (27.5, 2, None),
        # 78 too many have 78 * 400 / 2 = 15,600 tokens to go; one replica gives 30 s * 11 / 0.021 s = 15,714 in time.
        (100.0, 2, 3),
        # 79 too many have 15,800.
        (101.0, 2, 4),
    ],
)
def test_requests_in_excess_are_to_be_worked_off_in_30_seconds(
    in_flight: float, ready: int, expected: int | None
) -> None:
    found = law._check_in_flight(signals(ready=ready, in_flight=in_flight))

    assert (found.replicas if found else None) == expected


def test_without_an_answer_nothing_is_known_of_requests_in_flight() -> None:
    silent = replace(signals(in_flight=100.0), delta=replace(SEEN, answered=0))

    assert law._check_in_flight(silent) is None
    assert law._check_in_flight(replace(signals(in_flight=100.0), model=None)) is None


@pytest.mark.parametrize(
    ("ready", "current", "waiting", "in_flight", "expected"),
    [
        # 4 * 15 / 5 would be 12; at most 2 times a quarter more at once.
        (4, 4, 10.0, 15.0, 6),
        # 4 * 12 / 10 = 4.8
        (4, 4, 2.0, 12.0, 5),
        # At least one more than were ordered.
        (4, 8, 10.0, 15.0, 9),
        (20, 20, 100.0, 150.0, 30),
    ],
)
def test_a_queue_asks_for_replicas_in_proportion(
    ready: int, current: int, waiting: float, in_flight: float, expected: int
) -> None:
    seen = signals(ready=ready, current=current, waiting_since=990.0)
    seen = replace(seen, delta=replace(SEEN, waiting=waiting, in_flight=in_flight))

    found = law._check_queue(seen)
    assert found is not None
    assert (found.replicas, found.reason) == (expected, ScalingReason.QUEUE_GREW)


@pytest.mark.parametrize(("since", "evidence"), [(997.0, True), (997.1, False)])
def test_a_queue_is_evidence_after_three_seconds(*, since: float, evidence: bool) -> None:
    seen = replace(signals(waiting_since=since), delta=replace(SEEN, waiting=9.0, in_flight=10.0))

    assert (law._check_queue(seen) is not None) is evidence


@pytest.mark.parametrize(
    ("ready", "current", "asked", "expected"),
    [(1, 1, 20, 5), (2, 2, 20, 8), (1, 7, 20, 7), (5, 5, 6, 6)],
)
def test_at_most_four_times_or_four_more_than_are_ready(
    monkeypatch: pytest.MonkeyPatch, ready: int, current: int, asked: int, expected: int
) -> None:
    wanted = law.Recommendation(asked, ScalingReason.DEMAND_ROSE, "")
    monkeypatch.setattr(law, "_check_demand", lambda _: wanted)

    found = law.recommend_more(signals(ready=ready, current=current))
    assert found is not None
    assert found.replicas == expected


@pytest.mark.parametrize(
    ("over", "total", "missed"),
    # sqrt(over) - 1.5 > sqrt(0.1 * total): of 90 values 9 may be above, and 20.25 are not yet more by chance.
    [(20.25, 90.0, False), (20.3, 90.0, True), (2.0, 0.0, False), (2.3, 0.0, True)],
)
def test_a_target_is_missed_by_more_than_chance(*, over: float, total: float, missed: bool) -> None:
    total = max(total, 1e-9)
    found = law._check_targets(signals(recent_misses=((over, total),)))

    assert (found is not None) is missed


def test_plain_evidence_waits_for_what_was_ordered() -> None:
    missed = {"recent_misses": ((50.0, 90.0),)}

    assert law._check_plain_signals(signals(**missed)) is not None
    assert law._check_plain_signals(signals(pending=1, **missed)) is None
    # A warm-up of 60 s and 30 s for its effect.
    assert law._check_plain_signals(signals(up_at=910.1, **missed)) is None
    assert law._check_plain_signals(signals(up_at=910.0, **missed)) is not None
    assert law._check_plain_signals(signals(up_at=470.0, **missed)) is not None


@pytest.mark.parametrize(
    ("needs", "up_at", "expected"),
    [
        # One minute is six slots of ten seconds, and the one that has just begun. A step down takes a third of what is too much.
        ((1,) * 7, 900.0, 5),
        ((1,) * 6, 900.0, None),
        ((1,) * 7, 945.0, None),
        ((3, *(1,) * 6), 900.0, 5),
        ((9, *(1,) * 7), 900.0, 5),
        ((6, *(1,) * 6), 900.0, None),
    ],
)
def test_slack_must_have_lasted(needs: tuple[int, ...], up_at: float, expected: int | None) -> None:
    found = law._check_slack(signals(ready=6, current=6, needs=needs, up_at=up_at, warm_up=10.0))

    assert (found.replicas if found else None) == expected


def test_a_step_down_takes_a_third_of_what_is_too_much() -> None:
    found = law._check_slack(signals(ready=14, current=14, needs=(2,) * 7, warm_up=10.0))

    assert found is not None
    assert found.replicas == 14 - (14 - 2) // 3


def test_a_step_down_waits_20_seconds_for_the_one_before() -> None:
    calm = {"needs": (1,) * 10, "warm_up": 10.0}

    assert law._check_slack(signals(ready=6, current=6, down_at=980.1, **calm)) is None
    assert law._check_slack(signals(ready=6, current=6, down_at=980.0, **calm)) is not None


def test_the_need_is_kept_by_slots_of_time() -> None:
    busy = replace(signals(needs=(5, 1), needs_since=995.0), demand=replace(QUIET, most=5.0))
    # 5 requests/s of 400 tokens are 2,000 tokens/s.
    need = MODEL.needed(2000.0, 0.8, 1.0, 20)

    assert need > 1
    assert law.record_need(busy).needs == (5, need)
    later = replace(busy, now=1005.0)
    assert law.record_need(later).needs == (5, 1, need)
    assert law.record_need(later).needs_since == 1005.0


@pytest.mark.parametrize(("ready", "step"), [(1, 1), (4, 1), (5, 2), (8, 2), (20, 5)])
def test_a_step_up_is_a_quarter_of_those_that_are_ready(ready: int, step: int) -> None:
    missed = {"recent_misses": ((50.0, 90.0),)}
    found = law._check_targets(signals(ready=ready, current=ready + 3, **missed))

    assert found is not None
    assert found.replicas == ready + 3 + step


@pytest.mark.parametrize(
    ("ready", "current", "pending", "waits"),
    [(2, 2, 0, None), (2, 3, 0, "1 replicas"), (2, 2, 1, "1 replicas"), (2, 4, 1, "2 replicas")],
)
def test_replicas_that_start_keep_what_there_is(
    ready: int, current: int, pending: int, waits: str | None
) -> None:
    found = law._check_pending(signals(ready=ready, current=current, pending=pending))

    assert (found is not None) == (waits is not None)
    assert found is None or (found.replicas, found.message.startswith(waits or "")) == (
        current,
        True,
    )


def test_engines_are_counted_in_words() -> None:
    assert [law._format_engines(number) for number in (1, 2)] == ["1 engine", "2 engines"]


def test_without_a_target_that_replicas_can_keep_there_is_no_knee() -> None:
    never = (1.0,) * BINS
    seldom = replace(MODEL.curves[0], seen=0.25)

    assert law._find_knee(replace(MODEL, curves=(Curve(never, never, 100.0),))) is None
    # What was seen at one request at most is believed up to there.
    assert law._find_knee(replace(MODEL, curves=(seldom,))) == 0.75
