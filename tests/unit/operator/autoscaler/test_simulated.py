"""The law in the simulator: what it learns of an engine, what it holds, and what faults cost it."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from llmdeployment_operator.autoscaler.replica_model import fit_line
from llmdeployment_operator.autoscaler.types import (
    Observation,
    ScalingPolicy,
    ScalingReason,
    Target,
)
from llmdeployment_operator.simulation import faults
from llmdeployment_operator.simulation.generators import fixed_tokens, poisson, steps
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.run import simulate
from llmdeployment_operator.simulation.scalers import MadeDecision, own_law

ENGINE = Profile(
    prefill_tokens_per_second=5_000,
    decode_tokens_per_second=30,
    batch_tokens_per_second=800,
    max_num_seqs=128,
    kv_cache_tokens=200_000,
)
TARGETS = (Target("ttft", 99, 2.0), Target("itl", 90, 0.2))
TOKENS = fixed_tokens(1_000, 200)


def told(
    trace: list, *, warm_up: float = 18.0, initial: int = 3, fault: faults.Fault | None = None
) -> tuple[Result, list[MadeDecision]]:
    made: list[MadeDecision] = []
    law = own_law(ScalingPolicy(1, 24, TARGETS), made.append)
    result = simulate(
        trace, ENGINE, law, warm_up=warm_up, initial=initial, maximum=24, faults=fault
    )
    return result, made


def test_the_engine_is_recognised() -> None:
    _, made = told(list(poisson(4.0, 600.0, TOKENS, seed=1)))
    fit = fit_line(made[-1].decision.state.speed)

    assert fit is not None
    # b holds a sequence's own part and its share of prefill: 1/800 + 1000/200/5000; a is 1/30 - 1/800.
    assert fit(15.0) == pytest.approx(0.0321 + 15 * 0.00225, rel=0.1)


def test_warm_ups_are_learned() -> None:
    trace = list(steps([(300.0, 2.0), (300.0, 8.0)], TOKENS, seed=2))
    _, made = told(trace, warm_up=40.0, initial=2)

    assert made[-1].decision.state.warm_up == pytest.approx(40.0, abs=3.0)


@pytest.mark.parametrize("rate", [2.0, 5.0, 8.0])
def test_a_constant_load_moves_nothing(rate: float) -> None:
    result, _ = told(
        list(poisson(rate, 2_400.0, TOKENS, seed=3)), warm_up=60.0, initial=round(rate / 1.2)
    )
    late = [asked for asked in result.decisions if asked.at > 1_200.0]

    assert len(late) <= 2
    assert result.within_all(TARGETS) / result.requests > 0.99


def test_a_step_is_followed_up_and_down() -> None:
    trace = list(steps([(600.0, 2.0), (600.0, 10.0), (900.0, 2.0)], TOKENS, seed=4))
    result, made = told(trace, initial=2)
    up = next(one for one in made if one.at > 600.0 and one.decision.replicas > one.before)

    assert up.at <= 604.0
    assert result.replicas_at(1_150.0).existing >= 5
    assert result.replicas_at(2_090.0).existing <= 3
    assert result.within_all(TARGETS) / result.requests > 0.97


def test_what_bursts_need_is_kept_between_them() -> None:
    quiet, burst = (270.0, 0.05), (30.0, 12.0)
    trace = list(steps([quiet, burst] * 6, TOKENS, seed=10))
    result, _ = told(trace)
    ledger = result.ledger
    rows = zip(ledger.arrived, ledger.first, strict=True)
    later = [first - at for at, first in rows if at > quiet[0] + burst[0]]

    # The first burst teaches what one needs; those that follow find it.
    assert sum(seconds <= 2.0 for seconds in later) / len(later) > 0.97


def test_long_answers_do_not_hide_what_a_replica_carries() -> None:
    engine = Profile(prefill_tokens_per_second=20_000, kv_cache_tokens=600_000, max_num_seqs=256)
    tokens = fixed_tokens(500, 2_000)
    made: list[MadeDecision] = []
    law = own_law(ScalingPolicy(1, 24, (Target("itl", 90, 0.1),)), made.append)
    trace = list(steps([(400.0, 1.0), (300.0, 2.0), (300.0, 4.0)], tokens, seed=11))
    simulate(trace, engine, law, warm_up=60.0, initial=4, maximum=24)
    known = [one.decision.state.answer_tokens is not None for one in made]

    # Twice the load brings more requests in flight than were finished of late, and what was known stands.
    assert all(known[known.index(True) :])


def _blind(observation: Observation) -> bool:
    return len(observation.samples) < observation.ready


FAULTS: dict[str, Callable[[], faults.Fault | None]] = {
    "none": lambda: None,
    "lost": lambda: faults.lost(0.3, seed=5),
    "blackout": lambda: faults.blackout(400.0, 460.0),
    "lies": lambda: faults.lies(0.1, seed=6),
    "resets": lambda: faults.resets(60.0, seed=7),
    "stale": lambda: faults.stale(60.0),
    "clock": lambda: faults.clock_off(30.0, begin=200.0, end=500.0),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_cost_little_and_never_a_replica_that_is_not_heard(kind: str) -> None:
    trace = list(steps([(300.0, 3.0), (300.0, 6.0), (300.0, 3.0)], TOKENS, seed=8))
    result, made = told(trace, fault=FAULTS[kind]())
    sound, _ = told(trace)

    assert not [
        one
        for one, after in pairwise(made)
        if one.decision.replicas < one.before
        and one.decision.reason == ScalingReason.DATA_MISSING
        and after
    ]
    share, unharmed = (r.within_all(TARGETS) / r.requests for r in (result, sound))
    assert share > unharmed - 0.01


def test_nothing_is_given_back_on_missing_data() -> None:
    trace = list(steps([(300.0, 6.0), (600.0, 1.0)], TOKENS, seed=9))
    law, seen = own_law(ScalingPolicy(1, 24, TARGETS)), []

    def scaler(observation: Observation, now: float) -> int:
        wanted = law(observation, now)
        seen.append((_blind(observation), wanted - observation.ready - observation.pending))
        return wanted

    simulate(
        trace, ENGINE, scaler, warm_up=18.0, initial=5, maximum=24, faults=faults.lost(0.3, seed=1)
    )

    assert any(blind for blind, _ in seen)
    assert not [change for blind, change in seen if blind and change < 0]
