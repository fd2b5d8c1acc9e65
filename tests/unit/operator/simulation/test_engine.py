"""The simulator's engine against the serving package's own, step by step: nobody takes the simulator's word for its arithmetic."""

import math
from collections.abc import Sequence as Rows

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.autoscaler.types import BOUNDS, ReplicaSample
from llmdeployment_operator.simulation.engine import Ledger, Replica
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_serving.queueing import Batch, Rates, Sequence
from llmdeployment_serving.stats import BOUNDS as SERVING_BOUNDS
from llmdeployment_serving.stats import Histogram

Arrival = tuple[float, int, int]

# No step of this profile lasts a multiple of an arrival's 1/64 s, so nothing arrives exactly between two steps.
RATES = {
    "prefill_tokens_per_second": 9_973.3,
    "decode_tokens_per_second": 97.13,
    "batch_tokens_per_second": 1_013.7,
}


class Reference:
    """`Batch` on a virtual clock, one step after the other."""

    def __init__(self, rates: Rates, arrivals: Rows[Arrival]) -> None:
        self.first = [math.inf] * len(arrivals)
        self.last = [math.inf] * len(arrivals)
        self.histograms = {name: Histogram() for name in ("ttft", "itl", "e2e", "queue")}
        self.generated: list[tuple[float, int]] = []
        """(time, tokens at that time)"""
        self._run(Batch(rates), arrivals)

    def _run(self, batch: Batch, arrivals: Rows[Arrival]) -> None:
        index_of: dict[int, int] = {}
        kept: list[Sequence] = []
        pending, clock, before = 0, 0.0, dict[int, float]()

        def add(index: int) -> int:
            kept.append(Sequence(*arrivals[index][1:]))
            index_of[id(kept[-1])] = index
            batch.add(kept[-1])
            return index + 1

        while pending < len(arrivals) or batch.running or batch.waiting:
            while pending < len(arrivals) and arrivals[pending][0] < clock:
                pending = add(pending)
            if not batch.running and not batch.waiting:
                clock = max(clock, arrivals[pending][0])
                pending = add(pending)
            step = batch.begin()
            for sequence in step.admitted:
                waited = clock - arrivals[index_of[id(sequence)]][0]
                self.histograms["queue"].observe(waited)
            clock += step.seconds
            served = batch.end(step)
            self.generated.append((clock, len(served)))
            for sequence in served:
                index = index_of[id(sequence)]
                if sequence.produced == 1:
                    self.first[index] = clock
                    self.histograms["ttft"].observe(clock - arrivals[index][0])
                else:
                    self.histograms["itl"].observe(clock - before[index])
                before[index] = clock
                if sequence.produced == sequence.output_tokens:
                    self.last[index] = clock
                    self.histograms["e2e"].observe(clock - arrivals[index][0])


def profile_of(rates: Rates) -> Profile:
    fields = Profile.model_fields.keys() & vars(rates).keys() - {"warm_up_seconds"}
    return Profile.model_validate({name: getattr(rates, name) for name in fields})


def simulated(
    rates: Rates, arrivals: Rows[Arrival], observations: Rows[float] = ()
) -> tuple[Ledger, list[ReplicaSample]]:
    """The same by the simulator; with `looks` between, which must change nothing."""
    ledger = Ledger()
    replica = Replica(profile_of(rates), ledger, 1, 0.0)
    samples = []
    moments = sorted([*((at, row) for at, *row in arrivals), *((at, []) for at in observations)])
    for at, row in moments:
        replica.advance(at)
        if row:
            replica.add(ledger.arrive(at, *row), at)
        else:
            samples.append(replica.observation(at))
    end = moments[-1][0] + 1e6
    replica.advance(end)
    samples.append(replica.observation(end))
    assert replica.load == 0
    return ledger, samples


def counts(histogram: Histogram) -> tuple[int, ...]:
    return tuple(count for _, count in histogram.as_json()["buckets"])


def arrivals_of(rows: Rows[tuple[int, int, int]]) -> list[Arrival]:
    return sorted((ticks / 64.0, prompt, output) for ticks, prompt, output in rows)


REQUESTS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 300), st.integers(1, 60)), min_size=1, max_size=40
)


@given(
    REQUESTS,
    st.integers(1, 6),
    st.integers(400, 1_000),
    st.integers(50, 600),
    st.lists(st.floats(0, 8), max_size=5),
)
def test_every_request_gets_its_tokens_when_the_serving_engine_gives_them(
    rows: list[tuple[int, int, int]], slots: int, kv: int, budget: int, observations: list[float]
) -> None:
    rates = Rates(**RATES, max_num_seqs=slots, kv_cache_tokens=kv, max_num_batched_tokens=budget)
    arrivals = arrivals_of(rows)
    reference = Reference(rates, arrivals)
    ledger, samples = simulated(rates, arrivals, observations)

    assert list(ledger.first) == pytest.approx(reference.first, abs=1e-9)
    assert list(ledger.last) == pytest.approx(reference.last, abs=1e-9)
    assert samples[-1].prompt_tokens == sum(prompt for _, prompt, _ in arrivals)
    assert samples[-1].generation_tokens == sum(output for _, _, output in arrivals)
    for name, histogram in reference.histograms.items():
        assert samples[-1].histograms[name] == counts(histogram), name


@given(REQUESTS, st.floats(0, 8))
def test_a_look_counts_the_steps_that_have_ended(
    rows: list[tuple[int, int, int]], moment: float
) -> None:
    rates = Rates(**RATES, max_num_seqs=4, kv_cache_tokens=1_000)
    arrivals = arrivals_of(rows)
    ends = Reference(rates, arrivals).generated
    near = any(abs(at - moment) < 1e-9 for at, _ in ends)
    _, samples = simulated(rates, arrivals, [moment])

    if not near:
        assert samples[0].generation_tokens == sum(n for at, n in ends if at < moment)


def test_a_full_replica_says_so() -> None:
    ledger = Ledger()
    replica = Replica(Profile(max_num_seqs=2, kv_cache_tokens=1_000), ledger, 1, 0.0)
    for _ in range(5):
        replica.add(ledger.arrive(0.0, 100, 100), 0.0)
    replica.advance(0.5)
    sample = replica.observation(0.5)

    assert (sample.running, sample.waiting, replica.load) == (2, 3, 5)
    assert sample.kv_usage == pytest.approx(0.4)
    assert replica.uid == "replica-1"


def test_the_worked_example_of_the_module() -> None:
    ledger = Ledger()
    replica = Replica(Profile(), ledger, 1, 0.0)
    replica.add(ledger.arrive(3.0, 2_000, 100), 3.0)
    replica.advance(10.0)

    assert ledger.first[0] == pytest.approx(3.0 + 0.1 + 0.01)
    assert ledger.last[0] == pytest.approx(3.0 + 0.1 + 1.0)


def test_buckets_are_those_of_stats() -> None:
    assert BOUNDS == SERVING_BOUNDS
