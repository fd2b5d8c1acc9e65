"""The virtual clock: routing, warm-up, draining, holding, and what a run costs."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy, Target
from llmdeployment_operator.simulation import faults, generators
from llmdeployment_operator.simulation.generators import fixed_tokens
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Change, Result
from llmdeployment_operator.simulation.run import Hold, simulate
from llmdeployment_operator.simulation.scalers import fixed, own_law
from llmdeployment_operator.simulation.trace import Request

# A request of 100 and 100 tokens takes 1 s of prompt and 100 steps of 10 ms: 2 s alone.
SLOW = Profile(prefill_tokens_per_second=100)
ONE = (100, 100)


def plan(*stages: tuple[float, int]) -> Callable[[Observation, float], int]:
    """A scaler that wants so many replicas from each time on."""
    return lambda _, now: [replicas for at, replicas in stages if at <= now][-1]


def ttft(result: Result) -> list[float]:
    return list(result.values("ttft"))


def test_requests_go_where_the_fewest_are() -> None:
    trace = [Request(at / 10, *ONE) for at in range(3)]

    assert ttft(simulate(trace, SLOW, fixed(3), initial=3)) == pytest.approx([1.01] * 3)
    (_, second, _) = ttft(simulate(trace, SLOW, fixed(1), initial=1))
    assert second > 1.9


def test_equally_loaded_replicas_take_turns() -> None:
    trace = [Request(at * 10.0, *ONE) for at in range(4)]
    seen: list[Observation] = []

    def scaler(observation: Observation, _: float) -> int:
        seen.append(observation)
        return 2

    simulate(trace, SLOW, scaler, initial=2)
    tokens = [sample.prompt_tokens for sample in seen[-1].samples.values()]
    assert tokens == [200, 200]


def test_a_replica_answers_a_warm_up_after_its_order_and_costs_from_it() -> None:
    trace = [Request(0.0, *ONE), Request(100.0, *ONE)]
    result = simulate(trace, SLOW, plan((0, 1), (10, 3)), warm_up=18, initial=1)

    assert result.changes == [
        Change(0.0, 1, 0, 0),
        Change(10.0, 1, 2, 0),
        Change(28.0, 2, 1, 0),
        Change(28.0, 3, 0, 0),
    ]
    assert result.replica_seconds == 100 + 2 * 90
    assert [(asked.at, asked.before, asked.replicas) for asked in result.decisions] == [(10, 1, 3)]


def test_the_warm_up_is_the_profiles_unless_it_is_given() -> None:
    profile = SLOW.model_copy(update={"warm_up_seconds": 5.0})
    result = simulate([Request(0.0, *ONE), Request(50.0, *ONE)], profile, fixed(2))

    assert result.changes[-1] == Change(5.0, 2, 0, 0)


def test_a_replica_that_is_not_wanted_any_more_while_it_warms_goes_at_once() -> None:
    trace = [Request(0.0, *ONE), Request(100.0, *ONE)]
    result = simulate(trace, SLOW, plan((0, 1), (10, 2), (15, 1)), warm_up=18, initial=1)

    assert result.changes[1:] == [Change(10.0, 1, 1, 0), Change(15.0, 1, 0, 0)]
    assert result.replica_seconds == 105


def test_a_scale_down_drains_and_is_paid_until_it_is_empty() -> None:
    trace = [Request(0.1, 1, 1), *(Request(9.9, *ONE) for _ in range(3)), Request(50.0, *ONE)]
    result = simulate(trace, SLOW, plan((0, 3), (10, 1)), initial=3)
    last = max(result.ledger.last[1:4])

    assert result.failed == 0
    assert all(math.isfinite(value) for value in result.values("e2e"))
    assert result.changes[1] == Change(10.0, 1, 0, 2)
    assert result.changes[-1].existing == 1
    assert result.replica_seconds == pytest.approx(50 + 2 * last, abs=0.1)


def test_the_least_loaded_leaves_and_gets_no_more_requests() -> None:
    trace = [Request(0.0, *ONE), Request(1.5, *ONE)]
    seen: list[Observation] = []

    def scaler(observation: Observation, now: float) -> int:
        seen.append(observation)
        return 2 if now < 1 else 1

    simulate(trace, SLOW, scaler, initial=2)
    assert [sorted(observation.samples) for observation in seen[:3]] == [
        ["replica-1", "replica-2"],
        ["replica-1", "replica-2"],
        ["replica-1"],
    ]
    assert seen[2].samples["replica-1"].running + seen[2].samples["replica-1"].waiting == 2


def test_requests_wait_at_the_gateway_for_the_first_replica() -> None:
    seen: dict[float, Observation] = {}

    def scaler(observation: Observation, now: float) -> int:
        seen[now] = observation
        return 1 if observation.held or observation.samples else 0

    result = simulate([Request(2.5, *ONE)], SLOW, scaler, warm_up=10, initial=0)

    assert [seen[at].held for at in (2.0, 3.0, 12.0, 13.0)] == [0, 1, 1, 0]
    assert [seen[at].pending for at in (3.0, 4.0, 13.0)] == [0, 1, 0]
    # Arrived at 2.5, seen at 3, ready at 13.
    assert ttft(result) == pytest.approx([10.5 + 1.01])


def test_too_many_that_wait_and_too_long_are_refused() -> None:
    trace = [Request(0.5, *ONE) for _ in range(5)]
    seen: list[Observation] = []

    def scaler(observation: Observation, _: float) -> int:
        seen.append(observation)
        return 0

    result = simulate(trace, SLOW, scaler, initial=0, hold=Hold(requests=3, seconds=20))

    assert result.failed == 5
    assert [observation.refused for observation in seen if observation.at in {1.0, 20.0}] == [2, 2]
    assert (seen[-1].at, seen[-1].held) == (20.0, 3)
    assert result.attainment(Target("e2e", 99, 750)) == 0.0


def test_a_request_that_no_replica_can_hold_is_counted_apart() -> None:
    result = simulate([Request(0.0, 90_000, 20_000), Request(1.0, *ONE)], SLOW, fixed(1))

    assert (result.failed, result.too_large, result.requests) == (1, 1, 2)
    assert math.isfinite(ttft(result)[1])


def test_answers_are_kept_within_bounds() -> None:
    trace = [Request(0.0, *ONE), Request(30.0, *ONE)]

    assert simulate(trace, SLOW, fixed(50), maximum=4, warm_up=0).changes[-1].ready == 4
    assert simulate(trace, SLOW, fixed(-3), maximum=4).changes[-1].existing == 0


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> Result:
        trace = generators.bursts(3, 200, fixed_tokens(200, 50), seed=4)
        scaler = plan((0, 1), (50, 4), (120, 2))
        return simulate(trace, Profile(), scaler, faults=faults.lost(0.3, seed=5))

    one, other = run(), run()
    assert list(one.values("e2e")) == list(other.values("e2e"))
    assert one.changes == other.changes


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.integers(1, 500), st.integers(1, 80)),
        min_size=1,
        max_size=60,
    ),
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.floats(0, 12),
    st.integers(0, 3),
)
def test_no_request_is_lost_and_what_is_paid_is_what_existed(
    rows: list[tuple[float, int, int]], wanted: list[int], warm_up: float, initial: int
) -> None:
    trace = [Request(*row) for row in sorted(rows)]

    def scaler(_: Observation, now: float) -> int:
        return wanted[int(now // 5) % len(wanted)]

    result = simulate(trace, SLOW, scaler, warm_up=warm_up, initial=initial)
    answered = sum(math.isfinite(value) for value in result.values("e2e"))
    ends = [change.at for change in result.changes[1:]] + [math.inf]
    existed = sum(
        max(0.0, min(end, result.end) - min(change.at, result.end)) * change.existing
        for change, end in zip(result.changes, ends, strict=True)
    )

    assert answered + result.failed == len(trace)
    assert ends == sorted(ends)
    # What is drained is noted when it is seen to be empty, at the next look.
    assert result.replica_seconds <= existed + 1e-6
    assert existed - result.replica_seconds <= len(result.decisions) * 5 * 1.0 + 1e-6
    assert all(value >= 0 for value in result.values("ttft"))


def test_shares_and_costs() -> None:
    trace = [Request(float(at), *ONE) for at in range(0, 3600, 360)] + [Request(3600.0, *ONE)]
    result = simulate(trace, SLOW, fixed(2), initial=2)
    fast, slow = Target("ttft", 90, 1.0), Target("e2e", 90, 2.5)

    assert (result.attainment(fast), result.attainment(slow)) == (0.0, 1.0)
    assert (result.within_all([fast, slow]), result.within_all([slow])) == (0, 11)
    assert result.mean_replicas == 2
    assert result.cost(2.5) == pytest.approx(5.0)
    assert result.output_tokens == 1_100
    assert result.goodput([slow]) == pytest.approx(11 / 2)
    assert result.percentile("itl", 50) == pytest.approx(0.01)
    assert result.percentile("e2e", 100) == pytest.approx(2.0)


def test_the_operators_law_decides() -> None:
    heard: list[tuple[float, int]] = []
    scaler = own_law(
        ScalingPolicy(2, 5),
        lambda made: heard.append((made.at, made.decision.replicas)),
        lambda _: 4,
    )
    result = simulate([Request(0.0, *ONE), Request(60.0, *ONE)], SLOW, scaler, warm_up=1)

    assert result.changes[-1].ready >= 4
    assert [at for at, _ in heard[:3]] == [0.0, 1.0, 2.0]
    assert all(4 <= replicas <= 5 for _, replicas in heard)
