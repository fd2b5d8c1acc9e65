"""Many runs of one rollout, and what they come down to."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llmdeployment_operator.rehearsal.harms import SAME, Harm, apply_harm
from llmdeployment_operator.rehearsal.run import Ending, Outcome, World, rehearse

Z = 1.96
"""The normal's quantile of an interval that holds the truth in 95 % of cases."""


class Chance(NamedTuple):
    """A share of runs, and the interval that holds the true chance with a probability of about 95 %."""

    share: float
    low: float
    high: float


class Spread(NamedTuple):
    """The median, and the value that 90 % of runs are not above."""

    median: float
    p90: float


@dataclass(frozen=True)
class Case:
    """One kind of canary.

    Attributes:
        harm: what is wrong with it.
        compared: whether a metric of the analysis is worse; without one nothing can be noticed.
        endings: of its runs.
    """

    harm: Harm
    compared: bool
    endings: Sequence[Ending]

    def count(self, outcome: Outcome) -> int:
        """Return how many runs ended so."""
        return sum(ending.outcome is outcome for ending in self.endings)

    @property
    def usual(self) -> Outcome:
        """How most runs ended."""
        return max(Outcome, key=self.count)

    @property
    def wrong(self) -> Chance:
        """The chance of a false alarm, if the canary does no harm; else that of a miss: promoted, or no verdict."""
        back = self.count(Outcome.ROLLED_BACK)
        runs = len(self.endings)
        return estimate_chance(back if self.harm.name == SAME else runs - back, runs)

    def spread(self, read: Callable[[Ending], float]) -> Spread:
        """Return a number of all runs."""
        return find_spread([read(ending) for ending in self.endings])

    def spread_time(self, outcome: Outcome) -> Spread | None:
        """Return how long the runs took that ended so, in seconds, or None when there are none."""
        found = [ending.seconds for ending in self.endings if ending.outcome is outcome]
        return find_spread(found) if found else None

    def spread_steps(self) -> list[tuple[int, Spread, int]]:
        """Return the canary's weights in percent, when they were reached, in seconds, and in how many runs."""
        weights = sorted({weight for ending in self.endings for weight in ending.steps})
        times = {
            weight: [e.steps[weight] for e in self.endings if weight in e.steps]
            for weight in weights
        }
        return [(weight, find_spread(found), len(found)) for weight, found in times.items()]


def rehearse_harms(
    world: World,
    harms: Sequence[Harm],
    runs: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[Case]:
    """Return what becomes of each kind of canary.

    Args:
        world: what all runs have in common.
        harms: the kinds; in run number n the same users are in the canary's buckets and ask at the same times, whatever the kind.
        runs: of each.
        seed: the same seed gives the same runs.
        progress: hears how many runs are over.
    """
    found = []
    for number, harm in enumerate(harms):
        endings = []
        for ending in _run(world, harm, runs, seed):
            endings.append(ending)
            if progress:
                progress(number * runs + len(endings))
        found.append(Case(harm, _is_compared(world, harm), endings))
    return found


def _run(world: World, harm: Harm, runs: int, seed: int) -> Iterator[Ending]:
    shares = _apply(world, harm)
    for number in range(runs):
        source = random.Random(f"{seed}/{number}")  # noqa: S311  # because a simulation keeps no secret
        yield rehearse(world, shares, source)


def _apply(world: World, harm: Harm) -> Mapping[str, float]:
    analysis = world.change.policy.analysis
    if analysis is None:
        return {}
    return apply_harm(harm, analysis.metrics, world.stable, world.traffic.answers)


def _is_compared(world: World, harm: Harm) -> bool:
    return any(share > world.stable[key] + 1e-9 for key, share in _apply(world, harm).items())


def find_spread(values: Sequence[float]) -> Spread:
    """Return the median and the 90th percentile, each a value that occurred (nearest rank).

    >>> find_spread([5, 1, 3, 2, 4])
    Spread(median=3, p90=5)
    """
    ordered = sorted(values)
    median, p90 = (ordered[math.ceil(len(ordered) * share) - 1] for share in (0.5, 0.9))
    return Spread(median, p90)


def estimate_chance(hits: int, runs: int) -> Chance:
    """Return a share with its 95 % interval (E. Wilson, Journal of the American Statistical Association 22, 1927).

    With p = hits / n and z = 1.96:   (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    No false alarm in 40 runs does not mean that there are none: the chance may be 8.8 %.

    >>> [round(each, 3) for each in estimate_chance(0, 40)]
    [0.0, 0.0, 0.088]
    >>> [round(each, 3) for each in estimate_chance(20, 40)]
    [0.5, 0.352, 0.648]
    """
    p, part = hits / runs, Z * Z / runs
    middle, width = p + part / 2, Z * math.sqrt(p * (1 - p) / runs + part / runs / 4)
    low, high = (middle - width) / (1 + part), (middle + width) / (1 + part)
    return Chance(p, max(0.0, low if hits else 0.0), min(1.0, high if hits < runs else 1.0))
