from dataclasses import replace
from itertools import pairwise
from math import exp, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.autoscaler.observation import Interval
from llmdeployment_operator.autoscaler.replica_model import (
    EDGES,
    NOTHING,
    Curve,
    Line,
    Misses,
    ReplicaModel,
    Speed,
    fit_curve,
    fit_line,
    fit_replica_model,
    observe_misses,
    observe_speed,
)

BINS = len(EDGES) + 1
INTERVAL = Interval(
    seconds=1.0,
    in_flight=10.0,
    peak=10.0,
    running=10.0,
    waiting=0,
    kv_usage=0.1,
    settled=True,
    arrivals=1,
    finished=1,
    generation_tokens=500,
    missed=((0, 10),),
)


def engine(running: float) -> Interval:
    """What an engine with 10 ms and 1 ms per request does in a second."""
    tokens = round(running / (0.010 + 0.001 * running))
    return replace(INTERVAL, running=running, in_flight=running, generation_tokens=tokens)


def test_the_line_of_an_engine_is_found() -> None:
    speed = Speed()
    for second in range(300):
        speed = observe_speed(speed, [engine(5.0 + second % 30)], 1.0)
    fit = fit_line(speed)

    assert fit is not None
    assert fit.a == pytest.approx(0.010, rel=0.15)
    assert fit.b == pytest.approx(0.001, rel=0.1)


def test_where_the_load_hardly_varied_the_line_goes_through_it() -> None:
    speed = Speed()
    for _ in range(300):
        speed = observe_speed(speed, [engine(20.0)], 1.0)
    fit = fit_line(speed)

    assert fit is not None
    assert fit(20.0) == pytest.approx(0.030, rel=0.01)
    assert fit.a > 0 < fit.b


def test_an_idle_engine_has_no_speed() -> None:
    idle = replace(INTERVAL, running=0.0, generation_tokens=0)

    assert fit_line(observe_speed(Speed(), [idle] * 100, 1.0)) is None


def test_old_observations_fade() -> None:
    speed = observe_speed(Speed(), [engine(20.0)], 1.0)
    faded = observe_speed(speed, [], 9000.0)

    assert faded.weight < 0.01 * speed.weight


def test_a_miss_counts_where_the_load_was_highest_of_late() -> None:
    late = replace(INTERVAL, in_flight=2.0, peak=40.0, missed=((3, 10),))
    misses = observe_misses(Misses(), [late], 1, 1.0)
    light, heavy = EDGES.index(2.5), EDGES.index(41)

    assert (misses.over[0][light], misses.total[0][light]) == (0.0, 7.0)
    assert (misses.over[0][heavy], misses.total[0][heavy]) == (3.0, 3.0)


def test_a_new_replica_teaches_nothing() -> None:
    young = replace(INTERVAL, settled=False)

    assert sum(observe_misses(Misses(), [young], 1, 1.0).total[0]) == 0.0


def test_other_targets_begin_anew() -> None:
    misses = observe_misses(Misses(), [INTERVAL], 1, 1.0)
    both = replace(INTERVAL, missed=((0, 1), (0, 1)))

    assert [sum(row) for row in observe_misses(misses, [both], 2, 1.0).total] == [1.0, 1.0]


def test_what_nobody_has_seen_is_not_promised() -> None:
    total = [0.0] * BINS
    total[EDGES.index(11)] = 1000.0
    f = fit_curve([0.0] * BINS, total, 0.1)

    assert f(10.0) < 0.001
    assert f(14.0) < 0.001
    assert f(15.0) == 1.0


def test_a_target_without_values_asks_for_nothing() -> None:
    speed = Speed()
    for second in range(60):
        speed = observe_speed(speed, [engine(5.0 + second % 30)], 1.0)
    seen = tuple(1000.0 if edge < 30 else 0.0 for edge in (*EDGES, 1e9))
    misses = Misses(((0.0,) * BINS,) * 2, (seen, (0.0,) * BINS))
    found = fit_replica_model(speed, misses, [("ttft", 1.0, 0.1), ("e2e", 9.0, 0.1)])

    assert found is not None
    assert found.curves[1] is NOTHING
    assert (
        fit_replica_model(speed, Misses(((0.0,) * BINS,), ((0.0,) * BINS,)), [("ttft", 1.0, 0.1)])
        is None
    )


def knee(at: float) -> ReplicaModel:
    shares = tuple(0.0 if edge < at else 0.5 for edge in (*EDGES, 1e9))
    return ReplicaModel(Line(0.010, 0.001), (Curve(shares, shares, 200.0),), (0.1,))


def test_fewer_replicas_are_not_proportionally_fuller() -> None:
    known = knee(26)

    assert known.in_flight(500.0) == pytest.approx(10.0)
    assert known.in_flight(667.0) == pytest.approx(20.0, rel=0.01)
    assert known.in_flight(960.0) is None


def test_many_replicas_need_less_headroom_each() -> None:
    known = knee(26)
    few, many = known.needed(1000.0, 0.5, 1.0, 500), known.needed(50_000.0, 0.5, 1.0, 500)

    assert many < few * 50


def test_bursts_need_more() -> None:
    known = knee(26)

    assert known.needed(10_000.0, 0.5, 20.0, 500) > known.needed(10_000.0, 0.5, 1.0, 500)


def test_a_target_missed_without_load_is_left_out() -> None:
    hopeless = Curve((0.5,) * BINS, (0.4,) * BINS, 200.0)
    known = replace(knee(26), curves=(hopeless, knee(26).curves[0]), budgets=(0.1, 0.1))

    assert known.reach() == (False, True)
    assert known.needed(2000.0, 0.5, 1.0, 500) == knee(26).needed(2000.0, 0.5, 1.0, 500)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1, 100_000),
    st.floats(1, 3),
    st.sampled_from(EDGES[4:20]),
    st.sampled_from([0.4, 1.0]),
)
def test_more_load_never_needs_fewer(tokens: float, times: float, at: float, part: float) -> None:
    known = knee(at)

    assert known.needed(tokens * times, part, 1.0, 500) >= known.needed(tokens, part, 1.0, 500)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500)), min_size=BINS, max_size=BINS))
def test_the_curve_never_falls(rows: list[tuple[int, int]]) -> None:
    f = fit_curve([float(a) for a, _ in rows], [float(a + b) for a, b in rows], 0.1)

    assert list(f.shares) == sorted(f.shares)
    assert all(low <= share for low, share in zip(f.surely, f.shares, strict=True))


def test_an_observation_of_speed_counts_half_after_15_minutes_and_a_miss_after_40() -> None:
    speed = observe_speed(Speed(8.0, 8.0, 8.0, 8.0, 8.0), [], 900.0)
    row = (8.0,) * BINS
    misses = observe_misses(Misses((row,), (row,)), [], 1, 2400.0)

    assert speed == Speed(4.0, 4.0, 4.0, 4.0, 4.0)
    assert misses == Misses(((4.0,) * BINS,), ((4.0,) * BINS,))


def test_an_engines_step_is_weighed_by_its_tokens() -> None:
    # 10 running for 1 s gave 500 tokens: a step of 20 ms.
    assert observe_speed(Speed(), [INTERVAL], 1.0) == Speed(500, 5000, 10.0, 50_000, 100.0)
    long = replace(INTERVAL, seconds=11.0)
    assert observe_speed(Speed(), [long], 1.0) == Speed()


def test_a_target_without_values_is_always_kept() -> None:
    model = ReplicaModel(Line(0.01, 0.001), (NOTHING,), (0.0,))

    assert NOTHING(1e6) == 0.0
    assert model.reach() == (True,)
    assert model.expected(2000.0, 4, 1.0) == 0.0
    assert set(NOTHING.shares) == set(NOTHING.surely) == {0.0}


def test_a_mean_step_above_the_target_misses_it_seen_or_not() -> None:
    # tau(x) = 10 ms + 1 ms * x reaches 30 ms at x = 20.
    speed = Speed(weight=2000.0, x=20000.0, tau=40.0, xx=400000.0, x_tau=600.0)
    busy = (100.0,) * BINS
    found = fit_replica_model(speed, Misses(((0.0,) * BINS,), (busy,)), [("itl", 0.03, 0.1)])

    assert found is not None
    (curve,) = found.curves
    assert curve.seen == pytest.approx((0.03 - found.line.a) / found.line.b)
    assert curve.seen == pytest.approx(20, rel=0.1)
    assert curve(1.29 * curve.seen) < 0.01
    assert curve(1.31 * curve.seen) == 1.0


def test_expected_misses_are_the_mean_over_a_log_normal_load() -> None:
    # 2,000 tokens/s on 4 replicas: x = 10 and 1 - b G/n = 0.5, so V / n^2 = 10 / 4 * (1 + 3) / 2 / 0.5 = 10.
    steps = tuple(min(1.0, edge / 100) for edge in (*EDGES, 500.0))
    curve = Curve(steps, steps, 100.0)
    model = ReplicaModel(Line(0.01, 0.001), (curve,), (0.1,))
    sigma2 = log(1 + 10 / 100)
    nodes = ((-1.0, 0.25), (0.0, 0.37), (1.0, 0.24), (1.7, 0.10), (2.4, 0.04))
    mean = sum(weight * curve(exp(log(10) - sigma2 / 2 + z * sqrt(sigma2))) for z, weight in nodes)

    assert sum(weight for _, weight in nodes) == pytest.approx(1.0)
    assert model.expected(2000.0, 4, 3.0) == pytest.approx(mean / 0.1)


def test_what_a_replica_cannot_give_is_missed() -> None:
    model = ReplicaModel(Line(0.01, 0.001), (NOTHING,), (0.1,))

    assert model.in_flight(949.0) == pytest.approx(0.01 * 949 / 0.051)
    assert model.in_flight(951.0) is None
    assert model.expected(951.0, 1, 1.0) == 1e6
    assert model.needed(2000.0, 0.9, 1.0, 20) == 3
    assert model.needed(2000.0, 0.9, 1.0, 2) == 2
    assert model.needed(0.0, 0.9, 1.0, 20) == 1


def test_the_bins_grow_by_a_quarter() -> None:
    assert all(b / a == pytest.approx(1.25, abs=0.04) for a, b in pairwise(EDGES) if a >= 9)


@pytest.mark.parametrize(
    ("x_tau", "part"),
    # All at x = 10 and x = 30 (variance 100), a mean step of 20 ms at a mean x of 20: the slope lies within 5 to 95 % of tau / x.
    [(-500.0, 0.05), (5000.0, 0.95)],
)
def test_a_line_neither_falls_nor_goes_below_zero(x_tau: float, part: float) -> None:
    fit = fit_line(Speed(weight=1000.0, x=20_000.0, tau=20.0, xx=500_000.0, x_tau=x_tau))

    assert fit is not None
    assert fit.b == pytest.approx(part * 0.02 / 20)
    assert fit.a == pytest.approx(0.02 - 20 * fit.b)


def test_a_slope_is_pulled_towards_half_the_step_where_the_load_hardly_varied() -> None:
    # x = 10, variance 1, tau = 0.02, covariance 0.0025; pull = 0.02 * 10 * 10 = 2, half = 0.5 * 0.02 / 10 = 0.001.
    # slope = (0.0025 + 2 * 0.001) / (1 + 2) = 0.0015, and what is left is 0.02 - 0.0015 * 10 = 0.005.
    fit = fit_line(Speed(weight=2000.0, x=20000.0, tau=40.0, xx=202000.0, x_tau=405.0))

    assert fit is not None
    assert (fit.a, fit.b) == (pytest.approx(0.005), pytest.approx(0.0015))


@pytest.mark.parametrize(("weight", "known"), [(200.0, True), (199.0, False)])
def test_two_hundred_tokens_are_the_least_for_a_line(weight: float, *, known: bool) -> None:
    speed = Speed(weight, 10 * weight, 0.02 * weight, 200 * weight, 0.3 * weight)

    assert (fit_line(speed) is not None) is known
