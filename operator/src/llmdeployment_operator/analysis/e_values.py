"""The evidence that one share is higher than another by more than a difference, valid at any time.

A metric is a share, "bad of all requests", of the stable and of the canary over the same time. (A vote may be bad in part,
so that the share is a mean: verdict.md says why all of this holds then too.) The evidence that the canary's is higher by more than d is

    E(d) = (average likelihood of the counts over PRIOR's shares) / (highest likelihood among shares with canary - stable <= d).

If the difference is at most d, E(d) ever reaches 1/alpha with a probability of at most alpha (Ville 1939; mixtures: Robbins 1970;
dividing by the maximum: Wasserman, Ramdas, Balakrishnan 2020). So looking every few seconds costs nothing, and as E(d) is a
function of the counts alone, a restart loses nothing. docs/concepts/verdict.md has the equations, an example and the limits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llmdeployment_operator.analysis.counts import Counts, DesignEffect

PRIOR = (0.25, 0.75)
"""The Beta prior of a share, as bad and good requests. Any is valid; this one expects most requests to be good."""


@dataclass(frozen=True)
class Stratum:
    """Requests that are alike (a bucket of prompt lengths), counted since the observation began.

    `before` may count the stable's requests of a window that ended when the observation began. It sharpens the prior: a share that
    is what it was then is not learned twice. If it is not, the verdict is as valid and comes a little later.
    """

    stable: Counts
    canary: Counts
    before: Counts = field(default_factory=Counts)

    def divide(self, design: DesignEffect) -> "Stratum":
        """Return the independent requests that these are worth."""
        return Stratum(
            _divide(self.stable, design.stable),
            _divide(self.canary, design.canary),
            _divide(self.before, design.stable),
        )


def _divide(counts: Counts, effect: float) -> Counts:
    return Counts(counts.total / effect, counts.bad / effect)


def log_e_worse(
    strata: Sequence[Stratum], difference: float, prior: tuple[float, float] = PRIOR
) -> float:
    """Return the log of the evidence that the canary's share is higher by more than `difference` (-0.99 to 0.99)."""
    return log_average(strata, prior) - _find_log_highest(strata, difference, -1)


def log_e_within(
    strata: Sequence[Stratum], difference: float, prior: tuple[float, float] = PRIOR
) -> float:
    """Return the log of the evidence that the canary's share is higher by less than `difference` (-0.99 to 0.99)."""
    return log_average(strata, prior) - _find_log_highest(strata, difference, 1)


def find_interval(
    strata: Sequence[Stratum], alpha_worse: float, alpha_better: float
) -> tuple[float, float]:
    """Return the differences that neither test rejects, at any time: -1 to 1 while nothing can be compared.

    Args:
        strata: the independent requests that the counts are worth.
        alpha_worse: highest probability that the true difference is ever below the interval.
        alpha_better: highest probability that it is ever above.
    """
    average = log_average(strata)
    low = _find_bound(strata, average + math.log(alpha_worse), -1)
    return low, _find_bound(strata, average + math.log(alpha_better), 1)


def find_difference(strata: Sequence[Stratum]) -> float | None:
    """Return the canary's share minus the stable's as counted, or None while no stratum has requests of both."""
    return _find_point(strata, 0).difference if count_compared(strata) else None


def log_average(strata: Sequence[Stratum], prior: tuple[float, float] = PRIOR) -> float:
    """Return the log of the average likelihood of the counts, the strata's multiplied.

    A stratum's is the mean of four laws, itself a law: the arms' shares differ or are one share, and the prior is used alone or
    sharpened by `before`. Of a prior (a, b), k bad ones of n have the likelihood B(a+k, b+n-k) / B(a, b), B being the Beta function.
    """
    total = 0.0
    for stratum in strata:
        stable, canary, before = stratum.stable, stratum.canary, stratum.before
        both = Counts(stable.total + canary.total, stable.bad + canary.bad)
        sharp = (prior[0] + before.bad, prior[1] + before.total - before.bad)
        alone = _log_beta_ratio(canary, prior)
        laws = [_log_beta_ratio(stable, p) + alone for p in (prior, sharp)]
        laws += [_log_beta_ratio(both, p) for p in (prior, sharp)]
        top = max(laws)
        total += top + math.log(sum(math.exp(law - top) for law in laws) / len(laws))
    return total


def _log_beta_ratio(counts: Counts, prior: tuple[float, float]) -> float:
    (a, b), k, n = prior, counts.bad, counts.total
    after = math.lgamma(a + k) + math.lgamma(b + n - k) - math.lgamma(a + b + n)
    return after - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)


class _Point(NamedTuple):
    difference: float
    log_likelihood: float


def count_compared(strata: Sequence[Stratum]) -> float:
    """Return the canary's requests that can be compared."""
    # A stratum that one side has not seen says nothing of the difference.
    return sum(s.canary.total for s in strata if s.stable.total)


def _find_point(strata: Sequence[Stratum], pull: float) -> _Point:
    """Return the shares that maximise log likelihood + pull * difference; a higher pull has a higher difference."""
    requests = count_compared(strata) or 1
    difference = log_likelihood = 0.0
    for stratum in strata:
        weight = stratum.canary.total / requests if stratum.stable.total else 0
        stable = _find_share(stratum.stable, -pull * weight)
        canary = _find_share(stratum.canary, pull * weight)
        difference += weight * (canary - stable)
        log_likelihood += _log_likelihood(stratum.stable, stable)
        log_likelihood += _log_likelihood(stratum.canary, canary)
    return _Point(difference, log_likelihood)


def _find_share(counts: Counts, pull: float) -> float:
    """Return the t of 0..1 that maximises k ln t + (n-k) ln(1-t) + pull t, so that pull t^2 + (n-pull) t - k = 0."""
    n, k = counts.total, counts.bad
    if not n:
        return 0
    root = math.sqrt(max(0, (n - pull) ** 2 + 4 * pull * k))
    # Of the two ways to write the root, the one that subtracts nothing of its own size.
    share = 2 * k / (n - pull + root) if pull < n else (pull - n + root) / (2 * pull)
    return min(1, max(0, share))


def _log_likelihood(counts: Counts, share: float) -> float:
    good = counts.total - counts.bad
    parts = [(count, p) for count, p in ((counts.bad, share), (good, 1 - share)) if count]
    return sum(count * math.log(p) if p > 0 else -math.inf for count, p in parts)


def _find_pull(strata: Sequence[Stratum], sign: int, beyond: Callable[[_Point], bool]) -> float:
    """Return the smallest pull of this sign whose point is `beyond`, from above and to 9 digits."""
    near, far = 0.0, float(sign)
    while not beyond(_find_point(strata, far)):
        near, far = far, far * 2
    for _ in range(30):
        middle = (near + far) / 2
        near, far = (near, middle) if beyond(_find_point(strata, middle)) else (middle, far)
    return far


def _find_log_highest(strata: Sequence[Stratum], difference: float, sign: int) -> float:
    """Return the highest log likelihood among shares whose difference lies on the `sign` side of this one, or on it.

    The Lagrangian's maximum is not below it for any pull: a pull that is a little off makes the evidence smaller, never larger.
    """
    best = _find_point(strata, 0)
    if not count_compared(strata) or sign * (best.difference - difference) >= 0:
        return best.log_likelihood
    pull = _find_pull(strata, sign, lambda point: sign * (point.difference - difference) >= 0)
    point = _find_point(strata, pull)
    return point.log_likelihood + pull * (point.difference - difference)


def _find_bound(strata: Sequence[Stratum], floor: float, sign: int) -> float:
    """Return the end, on one side, of the differences that some shares of a log likelihood above `floor` have."""
    if not count_compared(strata):
        return sign

    def beyond(point: _Point) -> bool:
        return point.log_likelihood <= floor or sign * point.difference > 1 - 1e-9

    point = _find_point(strata, _find_pull(strata, sign, beyond))
    return point.difference if point.log_likelihood <= floor else sign
