"""From successive looks to counts of what happened between them.

Every count of a replica only grows, so what happened between two looks is a difference, taken replica by replica and summed. The rules:

- a count that went down means that the replica restarted: the new counts are what happened since;
- a replica that is absent contributes nothing, and that is not "no traffic": totals are scaled to all that are ready;
- a sample that is no possible answer (NaN, negative, cumulative counts that fall from one bound to the next) is thrown away and counted;
- a sample that is not newer than its last is ignored, so that looking twice at one answer changes nothing;
- a replica whose clock was put back is taken up anew once it has looked old for `PATIENCE` seconds.

Arrivals are not counted by an engine, but they are conserved: what came is what was finished and what is in the engine more than before.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from llmdeployment_operator.autoscaler.types import BOUNDS, Observation, ReplicaSample, Target

PATIENCE = 5.0
"""Seconds after which a sample that looks older than its last is believed: the clock was put back."""

MOST = 1e15
"""What no count of an engine reaches: tokens of a million years."""

LATE = 5.0
"""Seconds after which half of a peak is forgotten."""

YOUNG = 30.0
"""Seconds for which a replica that is new gets more than its share: it has the fewest requests in flight until it has caught up."""

LONGEST = 120.0
"""Seconds after which a replica that is not heard is forgotten; until then its counts tell what was missed."""

MOMENT = 10.0
"""Seconds between two samples beyond which their difference describes no one load: how much came, but not how it went."""


@dataclass(frozen=True)
class Baseline:
    """A replica's last accepted sample."""

    sample: ReplicaSample
    observed_at: float
    """When it was accepted, by the operator's clock."""
    since: float = 0.0
    """When its first was, by the same clock."""
    peak: float = 0.0
    """Requests in flight, the largest of late: what is above the present number halves every `LATE` seconds."""


@dataclass(frozen=True)
class Interval:
    """What one replica did between two of its samples."""

    seconds: float
    in_flight: float
    """Mean of both ends, running and waiting."""
    peak: float
    """The largest of late: what a miss that is seen now was caused by."""
    running: float
    waiting: int
    """At the later end."""
    kv_usage: float
    arrivals: int
    finished: int
    generation_tokens: int
    settled: bool
    """Whether it describes one load: the replica has been seen for `YOUNG` seconds, and this is no longer than a `MOMENT`."""
    missed: tuple[tuple[int, int], ...]
    """Per target of the policy: values above it, values."""


@dataclass(frozen=True)
class Delta:
    """One look against the ones before."""

    baselines: Mapping[str, Baseline]
    intervals: tuple[Interval, ...]
    answered: int
    """Replicas with a usable sample that is new."""
    unusable: int
    """Samples that were thrown away."""
    in_flight: float
    """Of all ready replicas, those that did not answer estimated by those that did."""
    waiting: float
    """Same."""


def count_over(counts: tuple[int, ...], seconds: float) -> tuple[int, int, int]:
    """Returns how many values surely lie above `seconds`, how many may, and how many there are.

    The first two are equal where `seconds` is a bound of the histogram; else they differ by the bucket that holds it. The law takes the
    second, up and down: what may be broken is not counted as kept.

    >>> counts = tuple(90 if bound < 0.5 else 95 if bound < 0.75 else 100 for bound in (*BOUNDS, 1e9))
    >>> count_over(counts, 0.5)
    (5, 5, 100)
    >>> count_over(counts, 0.6)
    (0, 5, 100)
    """
    total = counts[-1]
    index = bisect_left(BOUNDS, seconds)
    if index == len(BOUNDS):
        above, below = total, counts[-2]
    else:
        above = counts[index]
        exact = BOUNDS[index] == seconds
        below = above if exact else counts[index - 1] if index else 0
    return total - above, total - below, total


def is_usable(sample: ReplicaSample) -> bool:
    """Returns whether `sample` is a possible answer.

    >>> is_usable(ReplicaSample(0.0, 1, 0, 0.1, 5, 5, {}))
    True
    >>> is_usable(ReplicaSample(0.0, 1, 0, float("nan"), 5, 5, {}))
    False
    >>> is_usable(ReplicaSample(0.0, 1, 0, 0.1, 5, 5, {"ttft": (3, 2)}))
    False
    """
    numbers = (
        sample.running,
        sample.waiting,
        sample.kv_usage,
        sample.prompt_tokens,
        sample.generation_tokens,
    )
    if not isfinite(sample.at) or not all(0 <= n < MOST for n in numbers):
        return False
    return all(_is_possible(counts) for counts in sample.histograms.values())


def _is_possible(counts: tuple[int, ...]) -> bool:
    if len(counts) != len(BOUNDS) + 1:
        return False
    # A NaN makes the sum one, and every comparison with it false. Sorting is the fast way to look: every replica, every second.
    return counts[0] >= 0 and 0 <= sum(counts) < MOST and list(counts) == sorted(counts)


def measure_delta(
    baselines: Mapping[str, Baseline], observation: Observation, targets: tuple[Target, ...]
) -> Delta:
    """Returns what `look` adds to what was seen before.

    A replica that is in no look for `LONGEST` seconds is forgotten, so that the baselines stay as few as the replicas.
    """
    kept = {
        uid: base
        for uid, base in baselines.items()
        if 0 <= observation.at - base.observed_at <= LONGEST
    }
    intervals: list[Interval] = []
    new: list[ReplicaSample] = []
    unusable = 0
    for uid, sample in observation.samples.items():
        if not is_usable(sample):
            unusable += 1
            continue
        base = kept.get(uid)
        if base is not None and sample.at <= base.sample.at:
            if observation.at - base.observed_at < PATIENCE or sample.at == base.sample.at:
                continue
            base = None
        present = float(sample.running + sample.waiting)
        peak = present
        if base is not None:
            interval = _measure_interval(base, sample, observation.at, targets)
            intervals.append(interval)
            fade = 0.5 ** (interval.seconds / LATE)
            peak = present + max(0.0, interval.peak - present) * fade
        # Those of the very first look are not new, only not known yet.
        first_seen = observation.at if baselines else observation.at - YOUNG
        since = first_seen if base is None else base.since
        kept[uid] = Baseline(sample, observation.at, since, peak)
        new.append(sample)
    factor = max(1.0, observation.ready / len(new)) if new else 0.0
    return Delta(
        kept,
        tuple(intervals),
        len(new),
        unusable,
        sum(sample.running + sample.waiting for sample in new) * factor,
        sum(sample.waiting for sample in new) * factor,
    )


def _measure_interval(
    base: Baseline, new: ReplicaSample, observed_at: float, targets: tuple[Target, ...]
) -> Interval:
    old = base.sample
    by_reader, by_operator = new.at - old.at, observed_at - base.observed_at
    # Where a reader's clock was put forward, the operator's own is right.
    plausible = by_operator <= 0 or 0.5 * by_operator <= by_reader <= 2.0 * by_operator + 1.0
    seconds = max(by_reader if plausible else by_operator, 1e-3)
    restarted = _count_finished(new) < _count_finished(old) or any(
        after < before
        for after, before in (
            (new.generation_tokens, old.generation_tokens),
            (new.prompt_tokens, old.prompt_tokens),
        )
    )
    if restarted:
        old = ReplicaSample(old.at, 0, 0, 0.0, 0, 0, {})
    before, after = old.running + old.waiting, new.running + new.waiting
    finished = _count_finished(new) - _count_finished(old)
    return Interval(
        seconds=seconds,
        in_flight=(before + after) / 2,
        peak=max(base.peak, float(before), float(after)),
        running=(old.running + new.running) / 2,
        waiting=new.waiting,
        kv_usage=min(1.0, new.kv_usage),
        settled=observed_at - base.since >= YOUNG and seconds <= MOMENT,
        arrivals=max(0, finished + after - before),
        finished=finished,
        generation_tokens=new.generation_tokens - old.generation_tokens,
        missed=tuple(_count_missed(old, new, target) for target in targets),
    )


def _count_finished(sample: ReplicaSample) -> int:
    return sample.histograms["e2e"][-1] if "e2e" in sample.histograms else 0


def _count_missed(old: ReplicaSample, new: ReplicaSample, target: Target) -> tuple[int, int]:
    counts = new.histograms.get(target.metric)
    if counts is None:
        return 0, 0
    _, over, total = count_over(counts, target.seconds)
    before = old.histograms.get(target.metric)
    if before is not None:
        _, old_over, old_total = count_over(before, target.seconds)
        if old_total <= total and old_over <= over:
            return over - old_over, total - old_total
    return over, total
