"""How long an experiment takes until a difference of the smallest effect shows: by the test's own evidence.

The counts so far are let grow as time goes on. The control keeps its shares of bad requests, and the arm's are moved so that the
difference is the effect (of a share p below the effect, upwards: it cannot fall by so much). The arm is found when the evidence of "not
worse" (or "worse") reaches 1 / alpha, as in the experiment. Chance takes a part of the effect away. With a power of 80 % that is at most
0.84 standard errors, so the difference that is expected at time t is

    effect - 0.84 sqrt(D_control p (1 - p) / n_control + D_arm p (1 - p) / n_arm)

The design effect of users is more of what it is when users come back, and stays when new ones come. With growth g of the requests,

    D_users(g) = 1 + (D_users - 1) g^(1 - new^2)

`new` is the rate at which users came lately, divided by the rate since the beginning: 1 if nobody comes back, 0 if nobody is new. (Of
users whose activity differs, rare ones are new for long while most requests are of those who come back; the square allows for that.
It was chosen with seed 7 of bench/experiment.py.) The design effect of minutes is that of the data; what is expected of minutes
before the data say (PRIOR_CORRELATION) fades with growth.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from llmdeployment_operator.analysis.comparison import Analysis, select_metric
from llmdeployment_operator.analysis.counts import COST, Counts, DesignEffect
from llmdeployment_operator.analysis.design_effect import PRIOR_MINUTES, Minutes
from llmdeployment_operator.analysis.e_values import Stratum, log_e_within, log_e_worse
from llmdeployment_operator.analysis.experiment import MIN_REQUESTS, MIN_SECONDS, find_alpha
from llmdeployment_operator.analysis.sequential_test import ComparedMetric
from llmdeployment_operator.api.experiment import ExperimentSpec
from llmdeployment_operator.api.rollout import MetricSpec

POWER_QUANTILE = 0.8416
"""Standard errors that chance takes away in at most 20 % of experiments."""

EXPECTED_NEW = 0.8
"""What `new` is taken to be until it is known."""

MOST_SECONDS = 366 * 86400.0
"""A difference that does not show within a year is not said to show."""

_LEAST, _HALVINGS = 1 / 64, 8
"""A difference that shows in less than this part of the time so far is not looked for earlier; the end is right to 1 %."""


@dataclass(frozen=True)
class UserGrowth:
    """How many users had come when the time was last doubled, and the part of `new` since.

    Attributes:
        users: of the control and of the arm together.
        seconds: since counting began.
        new: see this module.
    """

    users: int = 0
    seconds: int = 0
    new: float = EXPECTED_NEW

    def extend(self, users: int, seconds: int) -> "UserGrowth":
        """Return it for a later time: as it is, until the time has doubled.

        >>> UserGrowth(100, 1000).extend(150, 1999), UserGrowth(100, 1000).extend(150, 2000)
        (UserGrowth(users=100, seconds=1000, new=0.8), UserGrowth(users=150, seconds=2000, new=0.6666666666666666))
        """
        if not users or seconds < max(MIN_SECONDS, 2 * self.seconds):
            return self
        if not self.users:
            return UserGrowth(users, seconds, self.new)
        lately = max(0, users - self.users) / (seconds - self.seconds)
        return UserGrowth(users, seconds, min(1.0, lately * seconds / users))


@dataclass(frozen=True)
class PowerPlan:
    """When the last of several differences shows.

    Attributes:
        seconds: since counting began; None if it does not show within a year.
        arm: the arm that takes longest.
        metric: the metric that takes longest.
    """

    seconds: float | None
    arm: str
    metric: str


def plan_power(
    spec: ExperimentSpec, evidence: Mapping[str, Analysis], growth: Mapping[str, UserGrowth]
) -> PowerPlan | None:
    """Return until when a difference of the smallest effect shows in every arm and metric, or None while too little is known.

    Args:
        spec: what is compared.
        evidence: by arm, all that are compared.
        growth: by arm.
    """
    plans = plan_differences(spec, evidence, growth)
    return max(
        plans, key=lambda each: math.inf if each.seconds is None else each.seconds, default=None
    )


def plan_differences(
    spec: ExperimentSpec, evidence: Mapping[str, Analysis], growth: Mapping[str, UserGrowth]
) -> tuple[PowerPlan, ...]:
    """Return until when a difference of the smallest effect shows, by arm and metric; nothing while too little is known of one.

    Arguments are those of `plan_power`.
    """
    found = []
    for arm, counted in evidence.items():
        # Requests without a key are users of their own.
        new = growth.get(arm, UserGrowth()).new if any(counted.users) else 1.0
        for metric in spec.metrics:
            if metric.name == COST:
                # Its interval is not one of points: how long it takes is not estimated.
                continue
            selected = select_metric(counted, metric, expects_clumps=True)
            totals = [(s.stable.total, s.canary.total) for s in selected.strata]
            if min(map(sum, zip(*totals, strict=True))) < MIN_REQUESTS or not counted.seconds:
                return ()
            seconds = _estimate_seconds(spec, metric, selected, counted, len(evidence), new)
            found.append(PowerPlan(seconds, arm, selected.name))
    return tuple(found)


def _estimate_seconds(
    spec: ExperimentSpec,
    metric: MetricSpec,
    selected: ComparedMetric,
    evidence: Analysis,
    others: int,
    new: float,
) -> float | None:
    goal = -math.log(find_alpha(spec, others))
    designs = _split_designs(metric, selected, evidence)
    most = MOST_SECONDS / evidence.seconds

    def shows(growth: float) -> bool:
        return _find_evidence(spec, selected, designs, growth, new) >= goal

    # Below the time so far too: the counts are what is known, not a bound.
    near, far = 0.0, 1.0
    if shows(far):
        while far > _LEAST and shows(far / 2):
            far /= 2
        near = far / 2
    else:
        while not shows(far):
            near, far = far, 2 * far
            if near > most:
                return None
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if shows(middle) else (middle, far)
    return far * evidence.seconds


@dataclass(frozen=True)
class _Designs:
    """Design effects by their cause: of users, of minutes as expected before the data say, of minutes as the data say."""

    users: DesignEffect
    minutes: float
    minutes_seen: float
    number: int

    def extrapolate(self, growth: float, repeats: float) -> DesignEffect:
        """Return the design effect after a growth of the requests, and of those of each user."""
        # The expectation weighs as much as PRIOR_MINUTES of data, so it fades.
        freedom = max(0, self.number - 1)
        expected = self.minutes * (PRIOR_MINUTES + freedom) - freedom * self.minutes_seen
        by_minute = (expected + growth * freedom * self.minutes_seen) / (
            PRIOR_MINUTES + growth * freedom
        )
        return DesignEffect(*(1 + (each - 1) * repeats + by_minute for each in self.users))


def _split_designs(metric: MetricSpec, selected: ComparedMetric, evidence: Analysis) -> _Designs:
    without = replace(evidence, minutes={})
    users = select_metric(without, metric, expects_clumps=False).design
    seen = select_metric(evidence, metric, expects_clumps=False).design
    minutes = evidence.minutes.get(selected.name, Minutes()).close()
    return _Designs(
        users, selected.design.stable - users.stable, seen.stable - users.stable, minutes.number
    )


def _find_evidence(
    spec: ExperimentSpec, selected: ComparedMetric, designs: _Designs, growth: float, new: float
) -> float:
    """Return the log of the evidence to expect when the requests have grown to so many times what they are."""
    design = designs.extrapolate(growth, growth ** (1 - new * new))
    share = _measure_share(selected)
    requests = [sum(counts.total for counts in side) * growth for side in _list_sides(selected)]
    variance = share * (1 - share)
    error = math.sqrt(
        sum(variance * effect / total for effect, total in zip(design, requests, strict=True))
    )
    effect = spec.minimum_effect_percent / 100
    left = effect - POWER_QUANTILE * error
    if left <= 0:
        return 0.0
    falls = share > effect
    log_e: Callable[..., float] = log_e_within if falls else log_e_worse
    strata = [
        _expect(stratum, share, -left if falls else left, growth).divide(design)
        for stratum in selected.strata
    ]
    return log_e(strata, 0.0)


def _list_sides(selected: ComparedMetric) -> tuple[list[Counts], list[Counts]]:
    return [s.stable for s in selected.strata], [s.canary for s in selected.strata]


def _measure_share(selected: ComparedMetric) -> float:
    """Return the control's share of bad requests, averaged as the arm's requests are; never 0, which would have no variance."""
    compared = [s for s in selected.strata if s.stable.total and s.canary.total]
    requests = sum(s.canary.total for s in compared) or 1
    return sum(s.canary.total * _smooth(s.stable) for s in compared) / requests


def _smooth(counts: Counts) -> float:
    return (counts.bad + 0.25) / (counts.total + 1)


def _expect(stratum: Stratum, share: float, difference: float, growth: float) -> Stratum:
    """Return the counts of a stratum when all of them together differ by this: each in proportion to its own share."""
    own = _smooth(stratum.stable) if stratum.stable.total else share
    part = difference / (share if difference < 0 else 1 - share)
    arm = own + part * (own if difference < 0 else 1 - own)
    control, other = stratum.stable.total * growth, stratum.canary.total * growth
    return Stratum(Counts(control, control * own), Counts(other, other * min(1.0, max(0.0, arm))))
