import itertools
import math

import pytest

from llmdeployment_operator.autoscaler.types import Observation
from llmdeployment_operator.simulation import faults, generators
from llmdeployment_operator.simulation.faults import Fault
from llmdeployment_operator.simulation.generators import fixed_tokens
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.run import simulate


def seen(
    fault: Fault, *, replicas: int = 4, leave_at: float = math.inf
) -> list[tuple[Observation, Observation]]:
    """What there was, and what the scaler got of it, each second of 200."""
    observations: list[tuple[Observation, Observation]] = []
    true: list[Observation] = []

    def spoil(observation: Observation) -> Observation:
        true.append(observation)
        return fault(observation)

    def scaler(observation: Observation, now: float) -> int:
        observations.append((true[-1], observation))
        return replicas if now < leave_at else 1

    trace = generators.poisson(4, 200, fixed_tokens(100, 20), seed=1)
    simulate(trace, Profile(), scaler, initial=replicas, faults=spoil)
    return observations[:200]


def test_a_share_of_the_samples_is_lost() -> None:
    left = sum(len(observation.samples) for _, observation in seen(faults.lost(0.3, seed=1)))

    assert left / 800 == pytest.approx(0.7, abs=0.07)


def test_in_a_blackout_nothing_is_seen() -> None:
    observations = seen(faults.blackout(50, 110))

    assert {observation.at for _, observation in observations if not observation.samples} == set(
        range(50, 110)
    )
    assert all(observation.ready == 4 for _, observation in observations)


def test_gateways_that_are_not_heard_leave_the_replicas_samples() -> None:
    observations = seen(faults.unheard(50, 110))

    assert {observation.at for _, observation in observations if not observation.forwarded} == set(
        range(50, 110)
    )
    assert all(observation.samples == true.samples for true, observation in observations)


def test_lies_are_no_numbers_that_can_be() -> None:
    observations = seen(faults.lies(0.5, seed=1))
    wrong = [
        sample
        for true, observation in observations
        for uid, sample in observation.samples.items()
        if sample != true.samples[uid]
    ]

    assert len(wrong) / 800 == pytest.approx(0.5, abs=0.08)
    assert any(math.isnan(sample.kv_usage) for sample in wrong)
    assert any(sample.running < 0 for sample in wrong)
    assert any(sample.generation_tokens == math.inf for sample in wrong)
    assert any(sample.histograms["ttft"][0] > sample.histograms["ttft"][1] for sample in wrong)


def test_counters_begin_at_0_again() -> None:
    observations = [observation for _, observation in seen(faults.resets(40, seed=1))]
    falls = sum(
        after.samples[uid].generation_tokens < sample.generation_tokens
        for before, after in itertools.pairwise(observations)
        for uid, sample in before.samples.items()
    )

    # 4 replicas, 200 s, every 40 s: 20 on average.
    assert 8 <= falls <= 35
    assert (
        min(
            s.generation_tokens
            for observation in observations
            for s in observation.samples.values()
        )
        == 0
    )
    assert all(
        min(row) >= 0
        for observation in observations
        for s in observation.samples.values()
        for row in s.histograms.values()
    )


def test_a_replica_that_is_gone_is_still_heard_of() -> None:
    observations = seen(faults.stale(30), leave_at=100)

    assert [len(observation.samples) for _, observation in observations[95:105]] == [4] * 10
    assert [observation.ready for _, observation in observations[100:102]] == [4, 1]
    assert len(observations[140][1].samples) == 1


def test_a_clock_is_off() -> None:
    observations = seen(
        faults.together(faults.clock_off(-30, begin=100, end=150), faults.blackout(0, 10))
    )
    off = {
        true.at: {s.at - true.at for s in observation.samples.values()}
        for true, observation in observations
    }

    assert off[5.0] == set()
    assert (off[99.0], off[100.0], off[150.0]) == ({0.0}, {-30.0}, {0.0})
