"""Whether prompts and answers of a revision differ from those of its own first window: counts in, findings out.

A window (a day, unless the spec says otherwise) is divided into BLOCKS blocks. The first window is the reference. Each later window is a
test of its own: its blocks are compared with the same blocks of the first window, as if that were played again beside it. So the rhythm
of a day cancels out, and a change of today is not diluted by weeks of sameness. Counts enter the test when their block is over.

A metric is a share, "bad of all". In each window and for each metric there are two tests (`e_values`): that the share rose by more than
the tolerance, and that it fell by more. With R revisions that serve, M metrics and windows of W seconds, each has the probability

    alpha = ALPHA / (N * M * 2 * R),    N = ceil(MONTH / W) + 1, as so many windows touch any 31 days.

Why it holds: if the shares do not differ by more than the tolerance, the evidence of one test ever reaches 1 / alpha with a probability
of at most alpha, however often one looks (Ville 1939). The probability that any of the tests of 31 days does is at most the sum of all,
however they depend on each other (union bound): that all windows share one reference does no harm. Worked example: one revision,
9 metrics and days have N = 32 and alpha = 0.01 / (32 * 9 * 2) = 1.7e-5, so evidence of e^11.0 is needed.

Where it does not hold by proof: requests of one user, or of one time, are not independent. Counts are divided by a design effect
(`design_effect`), which is estimated: from groups of users, and from the differences of the pairs of blocks. The reference is one
sample of the traffic. If the share of one first window is unlike that of every later one (a holiday, a weekend, a load test), the
difference is real and is found. Hence the tolerance, and hence a first window of a whole day or week. bench/drift.py measures both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmdeployment_operator.analysis.counts import Counts, DesignEffect
from llmdeployment_operator.analysis.design_effect import Minutes, Users, estimate_design_effect
from llmdeployment_operator.analysis.e_values import Stratum, log_e_worse

ALPHA, MONTH = 0.01, 31 * 86400
"""The highest probability of any false alarm in any 31 days, and 31 days in seconds."""
BLOCKS = 24
"""Blocks of a window: an hour of a day."""
MIN_REQUESTS, MIN_BLOCKS = 100, 2
"""Requests of the window under way, and blocks of it, before anything is said: a design effect of fewer is a guess."""
PRIOR_CORRELATION = 0.005
"""The correlation of two requests of one block that is expected before the data say: a tenth of that of one minute, as most pairs of
requests of an hour are not of one minute."""

_NONE = Stratum(Counts(), Counts())


@dataclass(frozen=True)
class MetricWindow:
    """What was counted of one metric.

    Attributes:
        blocks: of the first window, by block.
        first_groups: of the first window, by group of users.
        pair: the blocks of the window under way that are over (as canary), and the same blocks of the first one (as stable).
        groups: of the window under way, by group of users, its block under way included.
        pairs: the pairs of blocks, as sums.
        current: of the block under way.
    """

    blocks: tuple[Counts, ...] = (Counts(),) * BLOCKS
    first_groups: Mapping[int, Counts] = field(default_factory=dict)
    pair: Stratum = _NONE
    groups: Mapping[int, Counts] = field(default_factory=dict)
    pairs: Minutes = field(default_factory=Minutes)
    current: Counts = field(default_factory=Counts)

    @property
    def first(self) -> Counts:
        """The counts of the whole first window."""
        return Counts(
            sum(each.total for each in self.blocks), sum(each.bad for each in self.blocks)
        )

    def count(self, fresh: Counts, groups: Mapping[int, Counts]) -> "MetricWindow":
        """Return it with more requests in the block under way."""
        return replace(
            self, current=add(self.current, fresh), groups=_add_groups(self.groups, groups)
        )

    def close_first(self, block: int) -> "MetricWindow":
        """Return it with the block under way as part of the first window."""
        blocks = tuple(
            add(counts, self.current) if i == block else counts
            for i, counts in enumerate(self.blocks)
        )
        first_groups = _add_groups(self.first_groups, self.groups)
        return replace(self, blocks=blocks, first_groups=first_groups, groups={}, current=Counts())

    def close(self, block: int) -> "MetricWindow":
        """Return it with the block under way as part of the comparison; a block that either window lacks is not compared."""
        both = Stratum(self.blocks[block], self.current)
        if not both.stable.total or not both.canary.total:
            return replace(self, current=Counts())
        pair = Stratum(add(self.pair.stable, both.stable), add(self.pair.canary, both.canary))
        pairs = replace(self.pairs, current=both).close()
        return replace(self, pair=pair, pairs=pairs, current=Counts())

    def begin_window(self) -> "MetricWindow":
        """Return it with nothing but the first window."""
        return MetricWindow(self.blocks, self.first_groups)


@dataclass(frozen=True)
class Change:
    """How a metric differs from the first window, over the blocks that were compared.

    Attributes:
        first: the share of bad requests in the first window.
        present: the share in the window under way.
        drifts: whether the difference is beyond the tolerance, surely.
    """

    first: float
    present: float
    drifts: bool


def add(one: Counts, other: Counts) -> Counts:
    """Return the sum of two counts."""
    return Counts(one.total + other.total, one.bad + other.bad)


def split_alpha(window: int, metrics: int, revisions: int = 1) -> float:
    """Return the probability of a false alarm that one test of one window may have.

    Args:
        window: seconds of a window.
        metrics: how many are compared.
        revisions: how many revisions serve.

    >>> f"{split_alpha(86400, 9):.1e}", round(0.01 / split_alpha(7 * 86400, 1))
    ('1.7e-05', 12)
    """
    return ALPHA / ((math.ceil(MONTH / window) + 1) * metrics * 2 * revisions)


def find_changes(
    metrics: Mapping[str, MetricWindow], tolerance: float, alpha: float
) -> dict[str, Change]:
    """Return how each metric differs; one that has nothing to compare yet is left out.

    Args:
        metrics: what was counted, by name.
        tolerance: how much a share may rise or fall: 0.05 is 5 points.
        alpha: the probability of a false alarm of each test (`split_alpha`).
    """
    shares = {
        name: (each.stable.bad / each.stable.total, each.canary.bad / each.canary.total)
        for name, metric in metrics.items()
        if (each := metric.pair).stable.total and each.canary.total
    }
    # Within the tolerance there is no evidence, and so nothing to compute.
    beyond = {name for name, (first, present) in shares.items() if abs(present - first) > tolerance}
    designs = estimate_designs(metrics) if beyond else {}
    return {
        name: Change(
            first,
            present,
            name in beyond and _drifts(metrics[name], designs[name], tolerance, alpha),
        )
        for name, (first, present) in shares.items()
    }


def estimate_designs(metrics: Mapping[str, MetricWindow]) -> dict[str, DesignEffect]:
    """Return the design effect of each metric: of the first window and of the one under way.

    Nobody counts the lengths of prompts by group of users. They, like all that is not counted so, are taken to be as much alike within
    a group as the metric that is most alike.
    """
    by_user = {
        name: estimate_design_effect(_pair_groups(metric), Minutes(), Users(), expects_clumps=False)
        for name, metric in metrics.items()
        if metric.groups and metric.first_groups
    }
    most = DesignEffect(
        max((each.stable for each in by_user.values()), default=1.0),
        max((each.canary for each in by_user.values()), default=1.0),
    )
    found = {}
    for name, metric in metrics.items():
        # The sum of both causes (`design_effect`): D_users + D_blocks - 1.
        blocks = estimate_design_effect(
            {0: metric.pair},
            metric.pairs,
            Users(),
            expects_clumps=True,
            expected_alike=PRIOR_CORRELATION,
        )
        users = by_user.get(name, most)
        found[name] = DesignEffect(
            users.stable + blocks.stable - 1, users.canary + blocks.canary - 1
        )
    return found


def choose_thresholds(firsts: Mapping[int, Counts]) -> tuple[int, ...]:
    """Return the lengths at which answers are compared: those nearest to the median and to the 90th percentile of the first window.

    Longer answers show in the second first, shorter ones in the first.

    Args:
        firsts: answers of the first window and those of them that were longer, by length.

    >>> longer = {100: 900, 200: 480, 300: 130, 500: 40}
    >>> choose_thresholds({length: Counts(1000, bad) for length, bad in longer.items()})
    (200, 300)
    >>> choose_thresholds({10: Counts()}), choose_thresholds({10: Counts(5, 5), 15: Counts(5, 0)})
    ((), ())
    """
    shares = {
        length: counts.bad / counts.total
        for length, counts in firsts.items()
        if 0 < counts.bad < counts.total
    }
    if not shares:
        return ()
    nearest = (min(shares, key=lambda length: abs(shares[length] - goal)) for goal in (0.5, 0.1))
    return tuple(sorted(set(nearest)))


def _drifts(metric: MetricWindow, design: DesignEffect, tolerance: float, alpha: float) -> bool:
    if metric.pair.canary.total < MIN_REQUESTS or metric.pairs.number < MIN_BLOCKS:
        return False
    rose = metric.pair.divide(design)
    fell = Stratum(rose.canary, rose.stable)
    return max(log_e_worse([each], tolerance) for each in (rose, fell)) >= -math.log(alpha)


def _pair_groups(metric: MetricWindow) -> dict[int, Stratum]:
    groups: Sequence[int] = sorted(metric.first_groups.keys() | metric.groups.keys())
    return {
        group: Stratum(metric.first_groups.get(group, Counts()), metric.groups.get(group, Counts()))
        for group in groups
    }


def _add_groups(one: Mapping[int, Counts], more: Mapping[int, Counts]) -> dict[int, Counts]:
    return {
        **one,
        **{
            group: add(one.get(group, Counts()), counts)
            for group, counts in more.items()
            if counts.total
        },
    }
