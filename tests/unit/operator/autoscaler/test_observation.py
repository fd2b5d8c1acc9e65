from dataclasses import replace
from math import inf, nan

import pytest
from tests.support.observations import counts, sample

from llmdeployment_operator.autoscaler.observation import (
    LONGEST,
    PATIENCE,
    Delta,
    count_over,
    is_usable,
    measure_delta,
)
from llmdeployment_operator.autoscaler.types import BOUNDS, Observation, ReplicaSample, Target
from llmdeployment_serving import stats

TARGETS = (Target("ttft", 90, 0.5),)


def seen(*samples: tuple[float, ReplicaSample | None], ready: int = 1) -> Delta:
    """What the last of these looks at one pod adds."""
    baselines: dict = {}
    for at, one in samples:
        observation = Observation(at, ready, 0, {} if one is None else {"a": one})
        result = measure_delta(baselines, observation, TARGETS)
        baselines = dict(result.baselines)
    return result


def test_the_bounds_are_those_of_the_serving_package() -> None:
    assert stats.BOUNDS == BOUNDS


def test_what_happened_is_the_difference() -> None:
    old = sample(1.0, running=2, waiting=1, tokens=50, e2e=counts(1.0), ttft=counts(0.1))
    new = sample(3.0, running=4, tokens=90, e2e=counts(1.0, 2.0), ttft=counts(0.1, 0.2, 0.9))
    [interval] = seen((1.0, old), (3.0, new)).intervals

    assert (interval.seconds, interval.in_flight, interval.running) == (2.0, 3.5, 3.0)
    assert (interval.finished, interval.arrivals, interval.generation_tokens) == (1, 2, 40)
    assert interval.missed == ((1, 2),)


def test_a_count_that_went_down_is_a_restart() -> None:
    old = sample(1.0, running=9, tokens=500, e2e=counts(*[1.0] * 20), ttft=counts(*[0.9] * 20))
    new = sample(2.0, running=1, tokens=7, e2e=counts(1.0), ttft=counts(0.2, 0.9))
    [interval] = seen((1.0, old), (2.0, new)).intervals

    assert (interval.finished, interval.arrivals, interval.generation_tokens) == (1, 2, 7)
    assert interval.missed == ((1, 2),)


def test_an_absent_replica_is_not_one_without_traffic() -> None:
    old, new = sample(1.0, running=3), sample(2.0, running=3, e2e=counts(1.0, 1.0))
    result = seen((1.0, old), (2.0, new), ready=2)

    assert result.answered == 1
    assert result.in_flight == 6.0


def test_one_that_was_absent_is_measured_over_the_whole_time() -> None:
    late = sample(4.0, e2e=counts(1.0, 1.0, 1.0))
    [interval] = seen((1.0, sample(1.0)), (2.0, None), (3.0, None), (4.0, late)).intervals

    assert (interval.seconds, interval.arrivals) == (3.0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"kv_usage": nan},
        {"at": inf},
        {"running": -1},
        {"waiting": nan},
        {"generation_tokens": inf},
        {"histograms": {"ttft": (1, 2)}},
        {"histograms": {"ttft": tuple(range(len(BOUNDS), -1, -1))}},
        {"histograms": {"ttft": (nan,) * (len(BOUNDS) + 1)}},
        {"histograms": {"ttft": (-1,) * (len(BOUNDS) + 1)}},
        {"histograms": {"ttft": (-1, *(5,) * len(BOUNDS))}},
    ],
    ids=str,
)
def test_an_impossible_sample_is_thrown_away_and_counted(change: dict) -> None:
    lie = replace(sample(2.0), **change)
    result = seen((1.0, sample(1.0)), (2.0, lie))

    assert not is_usable(lie)
    assert (result.intervals, result.answered, result.unusable) == ((), 0, 1)
    assert result.baselines["a"].sample == sample(1.0)


def test_a_sample_older_than_its_last_is_ignored() -> None:
    result = seen((1.0, sample(1.0)), (2.0, sample(0.5, e2e=counts(1.0))))

    assert (result.intervals, result.answered, result.unusable) == ((), 0, 0)


def test_a_clock_that_was_put_back_is_taken_up_anew() -> None:
    back = [(at, sample(at - 30.0)) for at in (100.0, 101.0, 101.0 + PATIENCE, 102.0 + PATIENCE)]
    result = seen((99.0, sample(99.0)), *back)

    assert result.answered == 1
    assert [interval.seconds for interval in result.intervals] == [1.0]


def test_after_a_blackout_the_counts_tell_what_came_but_no_load() -> None:
    new = sample(61.0, running=1, e2e=counts(*[1.0] * 90))
    [interval] = seen((1.0, sample(1.0)), (30.0, None), (61.0, new)).intervals

    assert (interval.seconds, interval.arrivals, interval.settled) == (60.0, 91, False)


def test_a_clock_that_was_put_forward_costs_nothing() -> None:
    [interval] = seen((1.0, sample(1.0)), (2.0, sample(32.0))).intervals

    assert interval.seconds == 1.0


def test_a_stale_pod_is_no_answer() -> None:
    one = sample(1.0, running=5)
    result = seen((1.0, one), (2.0, one), (30.0, one))

    assert (result.answered, result.in_flight) == (0, 0.0)


def test_a_pod_that_is_gone_is_forgotten() -> None:
    assert not seen((1.0, sample(1.0)), (2.0 + LONGEST, None)).baselines


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.5, (2, 2, 4)), (0.6, (2, 2, 4)), (0.8, (1, 2, 4)), (750.0, (0, 0, 4)), (1000.0, (0, 0, 4))],
)
def test_the_share_over_a_target_is_exact_at_bounds(
    seconds: float, expected: tuple[int, int, int]
) -> None:
    assert count_over(counts(0.1, 0.5, 0.9, 20.0), seconds) == expected


@pytest.mark.parametrize(
    ("by_reader", "seconds"),
    # Of 4 s by the operator's clock, 2 to 9 s by the reader's are believed.
    [(2.0, 2.0), (1.9, 4.0), (9.0, 9.0), (9.1, 4.0)],
)
def test_a_readers_clock_is_believed_within_bounds(by_reader: float, seconds: float) -> None:
    [interval] = seen((1.0, sample(1.0)), (5.0, sample(1.0 + by_reader))).intervals

    assert interval.seconds == pytest.approx(seconds)


def test_what_was_there_of_late_fades_with_a_half_life_of_5_seconds() -> None:
    high, low = sample(1.0, running=20), sample(6.0, running=4)
    result = seen((1.0, high), (6.0, low))

    # 20 were there at the beginning, 4 at the end; half of the difference is left.
    assert result.intervals[0].peak == 20.0
    assert result.baselines["a"].peak == 4.0 + 16.0 / 2


def test_a_look_at_the_same_moment_forgets_nobody() -> None:
    first = seen((1.0, sample(1.0)))
    again = measure_delta(first.baselines, Observation(1.0, 1, 0, {"a": sample(1.0)}), TARGETS)

    assert again.baselines == first.baselines


def test_those_that_wait_at_one_that_is_not_heard_are_counted_in() -> None:
    old, new = sample(1.0, running=3, waiting=3), sample(2.0, running=3, waiting=3)

    assert seen((1.0, old), (2.0, new), ready=2).waiting == 6.0
