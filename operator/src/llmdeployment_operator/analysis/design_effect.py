"""How many independent requests counted requests are worth: the design effect of users and of minutes.

A test of two shares takes requests for independent. Requests of one user are not, nor are requests of one minute. The design effect D
is the variance that the counts show, divided by the variance that independent requests would have. k bad requests of n say as much as
k/D of n/D independent ones (J. Rao, A. Scott, "A simple method for the analysis of clustered binary data", Biometrics 48, 1992), so the
sequential test is given those. docs/concepts/verdict.md has the reasons and the measured error rates.

Users are counted in groups. With n_g requests of group g, k_g of them bad, G groups and p = (k + 1/4) / (n + 1):

    D_users = G / (G - 1) * sum (k_g - p n_g)^2 / (n p (1 - p))        m = sum n_g^2 / n       rho = (D_users - 1) / (m - 1)

A canary has few users, so its own D_users is uncertain: it is at least what the stable revision's rho makes of the canary's m. Minutes
are compared in pairs: d_b is the canary's share in minute b minus the stable revision's, so that what both share cancels out. With n_b
requests of the canary in minute b, and d the mean of d_b weighted by n_b:

    D_minutes = B / (B - 1) * sum n_b^2 (d_b - d)^2 / n^2 / (p (1 - p) / n, of both revisions added)

    D = D_users + D_minutes - 1

The sum of two ways to be alike is that of A. Cameron, J. Gelbach, D. Miller, "Robust inference with multiway clustering", Journal of
Business & Economic Statistics 29, 2011.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from llmdeployment_operator.analysis.counts import Counts, DesignEffect
from llmdeployment_operator.analysis.e_values import Stratum

MINUTE = 60
"""Seconds of a block of time whose requests may be alike."""

PRIOR_CORRELATION, PRIOR_MINUTES = 0.05, 3.0
"""The correlation of two requests of one minute that is expected before the data say, and how many minutes the expectation weighs."""

_PRIOR_SHARE = (0.25, 1.0)
"""Bad requests and requests that each revision is taken to have had: a share of 0 would have no variance."""


class Users(NamedTuple):
    """How many users (buckets of assignment) had requests; 0 where requests have no key."""

    stable: int = 0
    canary: int = 0


@dataclass(frozen=True)
class Minutes:
    """Sums over the minutes that are over and had requests of both revisions, and the counts of the minute under way.

    With n the canary's requests of a minute and d the difference of shares: `number` is the sum of 1, `requests` of n, `difference` of
    n d, and the three squares of n^2, n^2 d and n^2 d^2.
    """

    number: int = 0
    requests: float = 0.0
    difference: float = 0.0
    square: float = 0.0
    square_difference: float = 0.0
    square_difference_square: float = 0.0
    minute: int = 0
    """Which minute since the step began is under way."""
    current: Stratum = field(default_factory=lambda: Stratum(Counts(), Counts()))

    def close(self) -> "Minutes":
        """Return the sums with the minute under way, which is then empty."""
        stable, canary = self.current.stable, self.current.canary
        empty = replace(self, current=Stratum(Counts(), Counts()))
        if not stable.total or not canary.total:
            return empty
        n, d = canary.total, canary.bad / canary.total - stable.bad / stable.total
        return replace(
            empty,
            number=self.number + 1,
            requests=self.requests + n,
            difference=self.difference + n * d,
            square=self.square + n * n,
            square_difference=self.square_difference + n * n * d,
            square_difference_square=self.square_difference_square + n * n * d * d,
        )


def estimate_design_effect(
    groups: Mapping[int, Stratum],
    minutes: Minutes,
    users: Users,
    *,
    expects_clumps: bool,
    expected_alike: float = PRIOR_CORRELATION,
) -> DesignEffect:
    """Return the design effect of one metric.

    Args:
        groups: counts by group of users; none where nobody counts so.
        minutes: the same requests by minute.
        users: how many users there are, to know how many share a group.
        expects_clumps: whether requests of one minute are taken to be alike until the data say.
        expected_alike: the correlation of two requests of one minute that is expected then; less where blocks of time are longer.
    """
    stable = _measure([group.stable for group in groups.values()])
    canary = _measure([group.canary for group in groups.values()])
    # A group of five users is less alike than a group of one.
    crowding = _count_per_group(stable, users.stable) / _count_per_group(canary, users.canary)
    correlation = min(1.0, stable.correlation * max(1.0, crowding))
    expected = 1 + correlation * max(0.0, canary.mean_size - 1)
    by_minute = _estimate_by_minute(
        minutes.close(), stable, canary, PRIOR_MINUTES if expects_clumps else 0.0, expected_alike
    )
    return DesignEffect(
        _add_uncertainty(stable.effect, stable) + by_minute - 1,
        _add_uncertainty(max(canary.effect, expected), canary) + by_minute - 1,
    )


class _Clusters(NamedTuple):
    """One revision's requests by group: `effect` is D_users (1 or more), `mean_size` is m."""

    total: Counts
    groups: int
    effect: float
    mean_size: float
    variance: float
    """p (1 - p) / n, of the share if requests were independent."""

    @property
    def correlation(self) -> float:
        return min(1.0, (self.effect - 1) / (self.mean_size - 1)) if self.mean_size > 1 else 0.0


def _measure(found: Collection[Counts]) -> _Clusters:
    seen = [counts for counts in found if counts.total]
    n, k = sum(counts.total for counts in seen), sum(counts.bad for counts in seen)
    if not n:
        return _Clusters(Counts(), 0, 1.0, 1.0, 0.0)
    p = (k + _PRIOR_SHARE[0]) / (n + _PRIOR_SHARE[1])
    squares = sum((counts.bad - p * counts.total) ** 2 for counts in seen)
    effect = squares * len(seen) / max(1, len(seen) - 1) / (n * p * (1 - p))
    mean_size = sum(counts.total**2 for counts in seen) / n
    return _Clusters(Counts(n, k), len(seen), max(1.0, effect), mean_size, p * (1 - p) / n)


def _count_per_group(clusters: _Clusters, users: int) -> float:
    # Requests without a key are users of their own.
    return max(1.0, (users or clusters.total.total) / max(1, clusters.groups))


def _add_uncertainty(effect: float, clusters: _Clusters) -> float:
    """Return the effect with what an estimate from few groups, or from one that has most requests, may miss.

    n / m is how many groups of equal size would be as telling as these.
    """
    equal = clusters.total.total / clusters.mean_size
    return 1 + (effect - 1) * (1 + 2 / max(1.0, equal))


def _estimate_by_minute(
    minutes: Minutes,
    stable: _Clusters,
    canary: _Clusters,
    prior_minutes: float,
    prior_correlation: float = PRIOR_CORRELATION,
) -> float:
    """Return D_minutes, its correlation drawn towards the expected one as if that had been seen in so many minutes."""
    n, freedom = minutes.requests, max(0, minutes.number - 1)
    independent = stable.variance + canary.variance
    if not n or not independent or not prior_minutes + freedom:
        return 1.0
    d, mean_size = minutes.difference / n, minutes.square / n
    squares = (
        minutes.square_difference_square
        - 2 * d * minutes.square_difference
        + d * d * minutes.square
    )
    variance = max(0.0, squares) / n**2 * minutes.number / max(1, freedom)
    excess = max(0.0, variance / independent - 1)
    seen = min(1.0, excess / (mean_size - 1)) if mean_size > 1 else 0.0
    correlation = (prior_minutes * prior_correlation + freedom * seen) / (prior_minutes + freedom)
    return 1 + correlation * max(0.0, mean_size - 1)
