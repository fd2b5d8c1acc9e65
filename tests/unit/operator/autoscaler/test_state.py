"""Each equation of the law's memory, by numbers worked out by hand."""

import pytest
from tests.support.observations import counts, sample

from llmdeployment_operator.autoscaler import state as law
from llmdeployment_operator.autoscaler.observation import Interval
from llmdeployment_operator.autoscaler.state import AutoscalerState, advance
from llmdeployment_operator.autoscaler.types import (
    Observation,
    ReplicaSample,
    ScalingPolicy,
    Target,
)

POLICY = ScalingPolicy(1, 20, (Target("ttft", 90, 0.5),))


def interval(over: int, total: int, *, arrivals: int = 0, seconds: float = 1.0) -> Interval:
    return Interval(
        seconds=seconds,
        in_flight=4.0,
        peak=4.0,
        running=4.0,
        waiting=0,
        kv_usage=0.1,
        settled=True,
        arrivals=arrivals,
        finished=total,
        generation_tokens=100 * total,
        missed=((over, total),),
    )


def observe(at: float, **pods: ReplicaSample) -> Observation:
    return Observation(at, len(pods), 0, pods)


def test_a_miss_counts_half_after_15_seconds() -> None:
    old = ((8.0, 40.0),)

    assert law._fade_misses(old, [interval(1, 10)], 1, 15.0) == ((5.0, 30.0),)
    assert law._fade_misses(old, [], 1, 30.0) == ((2.0, 10.0),)
    assert law._fade_misses(old, [interval(1, 10)], 2 - 1, 0.0) == ((9.0, 50.0),)


def test_another_number_of_targets_begins_anew() -> None:
    two = Interval(**{**vars(interval(0, 0)), "missed": ((1, 10), (2, 20))})

    assert law._fade_misses(((8.0, 40.0),), [two], 2, 1.0) == ((1.0, 10.0), (2.0, 20.0))


def test_the_margin_follows_the_misses() -> None:
    # d margin = 0.05 * (share / budget - 0.5) * seconds / 600; the budget is 0.1.
    state = AutoscalerState(margin=1.1)
    twice = law._adjust_margin(POLICY, state, [interval(2, 10)], 10.0)
    none = law._adjust_margin(POLICY, state, [interval(0, 10)], 10.0)

    assert twice == pytest.approx(1.1 + 0.05 * 1.5 * 10 / 600)
    assert none == pytest.approx(1.1 - 0.05 * 0.5 * 10 / 600)


def test_the_margin_is_bounded() -> None:
    all_missed = [interval(10, 10)]
    # Ten budgets at most count as 20; a look of a minute counts as one of ten seconds.
    once = law._adjust_margin(POLICY, AutoscalerState(), all_missed, 60.0)
    strict = ScalingPolicy(1, 20, (Target("ttft", 100, 0.5),))

    assert once == pytest.approx(1 + 0.05 * (10 - 0.5) * 10 / 600)
    assert law._adjust_margin(strict, AutoscalerState(), all_missed, 10.0) == pytest.approx(
        1 + 0.05 * (20 - 0.5) * 10 / 600
    )
    assert law._adjust_margin(POLICY, AutoscalerState(margin=1.6), all_missed, 10.0) == 1.6
    assert law._adjust_margin(POLICY, AutoscalerState(), [interval(0, 10)], 10.0) == 1.0
    assert law._adjust_margin(POLICY, AutoscalerState(margin=1.3), [interval(0, 0)], 10.0) == 1.3


@pytest.mark.parametrize(
    ("seconds", "part"), [(2.0, 0.5), (4.0, 0.75), (60.0, 1 - 2**-30), (600.0, 1 - 2**-30)]
)
def test_requests_in_flight_are_smoothed_with_a_half_life_of_two_seconds(
    seconds: float, part: float
) -> None:
    before, _ = advance(POLICY, observe(10.0, a=sample(10.0)), AutoscalerState(), 10.0)
    at = 10.0 + seconds
    after, _ = advance(POLICY, observe(at, a=sample(at, running=12, waiting=4)), before, at)

    assert before.in_flight == 0.0
    assert after.in_flight == pytest.approx(16.0 * part)


def test_answers_and_regret_fade() -> None:
    state = AutoscalerState(at=0.0, generated=1000.0, finished=40.0, regret=3.0)
    after, _ = advance(POLICY, Observation(120.0, 1, 0, {}), state, 120.0)

    assert (after.generated, after.finished) == (500.0, 20.0)
    assert after.regret == pytest.approx(1 + 2 * 0.5 ** (120 / 1200))


def test_what_was_answered_is_added() -> None:
    first, _ = advance(POLICY, observe(10.0, a=sample(10.0)), AutoscalerState(), 10.0)
    new = sample(11.0, tokens=300, e2e=counts(1.0, 1.0, 1.0))
    after, _ = advance(POLICY, observe(11.0, a=new), first, 11.0)

    assert (after.generated, after.finished) == (300.0, 3.0)


@pytest.mark.parametrize(
    ("ready", "waiting", "running", "queue"),
    [(1, 2, 2, True), (1, 1, 2, False), (2, 3, 3, False), (2, 4, 3, True), (1, 2, 8, False)],
)
def test_a_queue_is_two_for_each_replica_and_a_quarter_of_all(
    *, ready: int, waiting: int, running: int, queue: bool
) -> None:
    one = sample(10.0, running=running, waiting=waiting)
    seen = Observation(10.0, ready, 0, {"a": one} if ready == 1 else {"a": one, "b": sample(10.0)})
    after, _ = advance(POLICY, seen, AutoscalerState(), 10.0)

    assert after.waiting_since == (10.0 if queue else None)


def test_arrivals_are_those_of_all_replicas_since_they_were_last_heard() -> None:
    state = AutoscalerState(at=10.0, heard_at=10.0)
    # One of two replicas answers: 6 requests in 2 s are 3 a second, of two replicas 6 a second.
    seen = Observation(12.0, 2, 0, {})
    assert law._count_arrivals(state, seen, [interval(0, 6, arrivals=6, seconds=2.0)], 2.0) == (
        2.0,
        12.0,
    )


def test_while_no_replica_answers_the_gateways_counts_are_arrivals() -> None:
    state = AutoscalerState(at=10.0, heard_at=10.0, forwarded={"gateway": 5})
    seen = Observation(12.0, 2, 0, {}, forwarded={"gateway": 9})

    assert law._count_arrivals(state, seen, [], 2.0) == (2.0, 4.0)
    assert law._count_arrivals(AutoscalerState(), seen, [], 2.0) is None


def test_a_warm_up_is_learned_from_the_oldest_order() -> None:
    state = AutoscalerState(desired=3, ready=1, orders=(100.0, 110.0))
    first = law._learn_warm_up(state, Observation(160.0, 2, 1, {}), 160.0)
    second = law._learn_warm_up(first, Observation(190.0, 3, 0, {}), 190.0)

    assert (first.warm_up, first.orders, first.ready) == (60.0, (110.0,), 2)
    assert second.warm_up == pytest.approx(0.7 * 60 + 0.3 * 80)
    assert second.orders == ()


def test_cancelled_orders_are_forgotten() -> None:
    state = AutoscalerState(desired=2, ready=1, orders=(100.0, 110.0, 120.0))

    assert law._learn_warm_up(state, Observation(130.0, 1, 1, {}), 130.0).orders == (100.0,)


def test_an_answers_length_is_known_after_enough_of_them() -> None:
    def known(finished: float, in_flight: float) -> float | None:
        return law._estimate_answer_tokens(
            AutoscalerState(generated=4000.0, finished=finished, in_flight=in_flight)
        )

    assert known(19.0, 0.0) is None
    assert known(20.0, 10.0) == 4000 / 25
    assert known(20.0, 11.0) is None


def test_a_regret_grows_by_1_6_within_ten_minutes_up_to_10() -> None:
    grow = law.increase_regret

    assert grow(AutoscalerState(down_at=100.0), 700.0) == 1.6
    assert grow(AutoscalerState(down_at=100.0), 700.1) == 1.0
    assert grow(AutoscalerState(down_at=100.0, regret=9.0), 200.0) == 10.0
    assert grow(AutoscalerState(down_at=100.0, up_at=150.0), 200.0) == 1.0


def test_after_a_blackout_arrivals_are_of_all_of_it() -> None:
    state, heard = AutoscalerState(heard_at=70.0), observe(100.0, a=sample(100.0))
    intervals = [interval(0, 0, arrivals=60, seconds=30.0)]

    assert law._count_arrivals(state, heard, intervals, 1.0) == (30.0, 60.0)
