"""What each rival does at made-up looks, by its documents."""

import pytest
from tests.support.observations import counts, sample

from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy, Target
from llmdeployment_operator.simulation.clairvoyant import follow, misses, plan, run
from llmdeployment_operator.simulation.generators import fixed_tokens, steps
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.rivals import apa, find_rival, hpa, kpa, llmd
from llmdeployment_operator.simulation.run import Scaler, simulate

POLICY = ScalingPolicy(1, 50, (Target("ttft", 90, 1.0), Target("itl", 90, 0.1)))


def observation(
    now: float, ready: int, running: int, *, pending: int = 0, ttft: float = 0.1
) -> Observation:
    number = int(now) * 10
    one = sample(now, running=running, ttft=counts(*[ttft] * number))
    return Observation(now, ready, pending, {f"p{i}": one for i in range(ready)})


def after(
    scaler: Scaler, seconds: int, ready: int, running: int, *, pending: int = 0, ttft: float = 0.1
) -> int:
    wanted = ready
    for now in range(seconds):
        wanted = scaler(
            observation(float(now), ready, running, pending=pending, ttft=ttft), float(now)
        )
    return wanted


@pytest.mark.parametrize(
    ("running", "pending", "expected"),
    [
        (10, 0, 4),  # at the target
        (11, 0, 4),  # within the tolerance
        (12, 0, 5),
        (40, 0, 8),  # at most double, or four more
        (12, 1, 5),  # one on its way counts as idle: 48 / 50 is within the tolerance
    ],
)
def test_hpa_goes_up_by_the_ratio(running: int, pending: int, expected: int) -> None:
    assert after(hpa(10.0, POLICY), 1, 4, running, pending=pending) == expected


def test_hpa_goes_down_after_five_minutes() -> None:
    scaler = hpa(10.0, POLICY)
    assert scaler(observation(0.0, 4, 10), 0.0) == 4
    first = next(t for t in range(15, 600, 15) if scaler(observation(float(t), 4, 2), float(t)) < 4)

    assert 300 <= first <= 315


def test_kpa_averages_over_a_minute_and_halves_at_most() -> None:
    assert after(kpa(10.0, POLICY), 1, 4, 7) == 4
    assert after(kpa(10.0, POLICY), 63, 8, 0) == 4


def test_kpa_panics_at_twice_the_capacity() -> None:
    scaler = kpa(10.0, POLICY)
    for now in range(60):
        scaler(observation(float(now), 4, 7), float(now))
    wanted = [scaler(observation(60.0 + now, 4, 30), 60.0 + now) for now in range(8)]

    assert max(wanted) > 10


@pytest.mark.parametrize(
    ("running", "expected"), [(10, 4), (11, 4), (12, 5), (40, 8), (7, 3), (1, 2)]
)
def test_apa_has_two_tolerances_and_rates(running: int, expected: int) -> None:
    assert after(apa(10.0, POLICY), 61, 4, running) == expected


def test_llmd_goes_up_on_latency_and_down_slowly() -> None:
    up = after(llmd(1.0, POLICY), 46, 3, 5, ttft=0.9)
    down = after(llmd(1.0, POLICY), 181, 6, 5, ttft=0.05)

    assert up > 3
    assert down == 5
    assert after(llmd(1.0, POLICY), 196, 6, 5, ttft=0.5) == 6


def test_rivals_stay_within_the_bounds() -> None:
    narrow = ScalingPolicy(2, 3, POLICY.targets)
    for scaler in find_rival(narrow).values():
        assert 2 <= after(scaler, 30, 3, 1000, ttft=50.0) <= 3
    for scaler in find_rival(narrow).values():
        assert 2 <= after(scaler, 400, 3, 0) <= 3


ENGINE = Profile(
    prefill_tokens_per_second=5_000, decode_tokens_per_second=30, batch_tokens_per_second=800
)
TRACE = list(steps([(300.0, 1.0), (300.0, 5.0), (300.0, 1.0)], fixed_tokens(1_000, 200), seed=1))
TARGETS = (Target("ttft", 99, 2.0), Target("itl", 90, 0.2))


def test_who_knows_the_trace_needs_least() -> None:
    counted = list(range(1, 8))
    table = misses(TRACE, ENGINE, TARGETS, counted, 30.0)
    made = plan(table, counted, 0.01 * len(TRACE), 30.0, 18.0)
    followed = run(made, TRACE, ENGINE, 18.0)
    static = next(n for n, row in zip(counted, table, strict=True) if sum(row) <= 0.01 * len(TRACE))

    assert made.feasible
    assert made.replica_seconds < static * 900.0
    assert followed.within_all(TARGETS) / followed.requests > 0.97
    assert followed.replica_seconds == pytest.approx(made.replica_seconds, rel=0.1)


def test_a_dearer_warm_up_makes_a_steadier_plan() -> None:
    counted = list(range(1, 8))
    table = misses(TRACE, ENGINE, TARGETS, counted, 30.0)
    cheap, dear = (plan(table, counted, 9.0, 30.0, warm_up) for warm_up in (0.0, 300.0))

    assert cheap.replica_seconds < dear.replica_seconds


def test_what_no_number_achieves_is_told() -> None:
    made = plan([[5, 5], [3, 3]], [1, 2], 2.0, 30.0, 18.0)

    assert not made.feasible
    assert made.replicas == (2, 2)


def test_orders_come_a_warm_up_ahead() -> None:
    made = plan([[0, 9, 0], [0, 0, 0]], [1, 2], 0.0, 60.0, 18.0)
    scaler = follow(made, 18.0)
    wanted = [scaler(Observation(at, 1, 0, {}), at) for at in (0.0, 40.0, 45.0, 100.0, 130.0)]

    assert wanted == [1, 1, 2, 2, 1]
    assert simulate(TRACE, ENGINE, scaler, warm_up=18.0, initial=1, maximum=3).requests
