"""What can be wrong with what a scaler sees. Each function returns a change of a `Look` for `simulate(..., faults=...)`.

The replicas themselves are well: only their answers are lost, late or lies. A fault remembers what it must, so each run gets its own.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, nan

from llmdeployment_operator.autoscaler.types import Observation, ReplicaSample

Fault = Callable[[Observation], Observation]


def together(*faults: Fault) -> Fault:
    """Return several faults, one after the other."""

    def change(observation: Observation) -> Observation:
        for fault in faults:
            observation = fault(observation)
        return observation

    return change


def lost(share: float, *, seed: int) -> Fault:
    """Return a fault that loses this share of the samples, each for itself."""
    source = random.Random(seed)  # noqa: S311  # because a simulation keeps no secret
    return lambda observation: _kept(observation, lambda _: source.random() >= share)


def blackout(begin: float, end: float) -> Fault:
    """Return a fault that loses every sample from `begin` until before `end`; the gateways are still heard."""
    return lambda observation: _kept(observation, lambda _: not begin <= observation.at < end)


def unheard(begin: float, end: float) -> Fault:
    """Return a fault that loses what the gateways count from `begin` until before `end`."""
    return lambda observation: (
        replace(observation, forwarded={}) if begin <= observation.at < end else observation
    )


def lies(share: float, *, seed: int) -> Fault:
    """Return a fault by which this share of the samples are nonsense: NaN, negative counts, buckets that fall, infinite tokens."""
    source = random.Random(seed)  # noqa: S311  # because a simulation keeps no secret
    kinds = (_with_nan, _negative, _falling, _infinite)

    def change(sample: ReplicaSample) -> ReplicaSample:
        if source.random() >= share:
            return sample
        return source.choice(kinds)(sample)

    return lambda observation: _changed(observation, change)


def resets(every: float, *, seed: int) -> Fault:
    """Return a fault by which each replica's counts begin at 0 again, on average every so many seconds."""
    source = random.Random(seed)  # noqa: S311  # because a simulation keeps no secret
    zero: dict[str, ReplicaSample] = {}
    due: dict[str, float] = {}

    def change(observation: Observation) -> Observation:
        samples: dict[str, ReplicaSample] = {}
        for uid, sample in observation.samples.items():
            if observation.at >= due.setdefault(
                uid, observation.at + source.expovariate(1.0 / every)
            ):
                zero[uid] = sample
                due[uid] = observation.at + source.expovariate(1.0 / every)
            samples[uid] = _since(zero[uid], sample) if uid in zero else sample
        return replace(observation, samples=samples)

    return change


def stale(seconds: float) -> Fault:
    """Return a fault by which a replica that is gone goes on answering for so long, always the same."""
    seen: dict[str, tuple[float, ReplicaSample]] = {}

    def change(observation: Observation) -> Observation:
        seen.update({uid: (observation.at, sample) for uid, sample in observation.samples.items()})
        for uid in [uid for uid, (at, _) in seen.items() if observation.at - at > seconds]:
            del seen[uid]
        return replace(observation, samples={uid: sample for uid, (_, sample) in seen.items()})

    return change


def clock_off(seconds: float, *, begin: float = 0.0, end: float = inf) -> Fault:
    """Return a fault by which the reader's clock is off by so much from `begin` until before `end`."""

    def change(observation: Observation) -> Observation:
        if not begin <= observation.at < end:
            return observation
        return _changed(observation, lambda sample: replace(sample, at=sample.at + seconds))

    return change


def _kept(observation: Observation, keep: Callable[[str], bool]) -> Observation:
    return replace(
        observation, samples={uid: s for uid, s in observation.samples.items() if keep(uid)}
    )


def _changed(
    observation: Observation, change: Callable[[ReplicaSample], ReplicaSample]
) -> Observation:
    return replace(
        observation, samples={uid: change(sample) for uid, sample in observation.samples.items()}
    )


def _with_nan(sample: ReplicaSample) -> ReplicaSample:
    counts: Mapping[str, tuple[float, ...]] = {
        name: (nan, *row[1:]) for name, row in sample.histograms.items()
    }
    return replace(sample, kv_usage=nan, histograms=counts)  # type: ignore[arg-type]  # because it is a lie


def _negative(sample: ReplicaSample) -> ReplicaSample:
    counts = {name: tuple(-count - 1 for count in row) for name, row in sample.histograms.items()}
    return replace(sample, running=-1, waiting=-1, histograms=counts)


def _falling(sample: ReplicaSample) -> ReplicaSample:
    counts = {name: (row[-1] + 1, *row[1:]) for name, row in sample.histograms.items()}
    return replace(sample, histograms=counts)


def _infinite(sample: ReplicaSample) -> ReplicaSample:
    return replace(sample, generation_tokens=inf)  # type: ignore[arg-type]  # because it is a lie


def _since(zero: ReplicaSample, sample: ReplicaSample) -> ReplicaSample:
    """Return `sample` as a process says it that began when `zero` was read."""
    return replace(
        sample,
        prompt_tokens=sample.prompt_tokens - zero.prompt_tokens,
        generation_tokens=sample.generation_tokens - zero.generation_tokens,
        histograms={
            name: tuple(now - then for now, then in zip(row, zero.histograms[name], strict=True))
            for name, row in sample.histograms.items()
        },
    )
