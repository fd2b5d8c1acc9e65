"""An experiment: every other arm against the control, by every metric, and what that says together.

Each pair and metric has an interval that holds the true difference (the arm's share of bad requests minus the control's) at all times,
however often it is looked at (`sequential_test`). With ALPHA = 0.05, K other arms and M metrics, each of its two ends is wrong with a
probability of at most

    ALPHA / (2 K M)

so all intervals hold their true differences together, at all times, with a probability of 95 % or more (Bonferroni). All that is said
of an arm follows from the intervals, so it is all true together with that probability. With 3 other arms and 2 metrics, an end has
0.05 / 12 = 0.0042.

`Stratum` and `Users` say stable and canary; here these are the control and the arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from llmdeployment_operator.analysis.comparison import Analysis, select_metric
from llmdeployment_operator.analysis.cost_ratio import (
    LEAST,
    MOST,
    find_excess,
    find_excess_interval,
)
from llmdeployment_operator.analysis.counts import COST
from llmdeployment_operator.analysis.e_values import find_difference, find_interval
from llmdeployment_operator.analysis.sequential_test import ComparedMetric
from llmdeployment_operator.api.experiment import ExperimentSpec

ALPHA = 0.05
"""The highest probability that anything that is ever said of any arm is wrong."""

MIN_REQUESTS, MIN_SECONDS = 100, 600
"""Requests of each side, and seconds, before a metric says anything: a design effect of fewer is a guess."""


class ArmResult(StrEnum):
    """What is known of a metric of an arm, or of the arm."""

    BETTER = "Better"
    WORSE = "Worse"
    NOT_DIFFERENT = "NotDifferent"
    UNDECIDED = "Undecided"


class Outcome(StrEnum):
    """What is known of the experiment; all but RUNNING end it."""

    RUNNING = "Running"
    WINNER = "Winner"
    CONTROL_WINS = "ControlWins"
    NO_DIFFERENCE = "NoDifference"
    TIMED_OUT = "TimedOut"


@dataclass(frozen=True)
class MetricComparison:
    """One metric of one arm and the control.

    Attributes:
        name: the metric with its threshold.
        control: the control's share of bad requests, None without requests. Both are None of the cost.
        arm: the arm's.
        difference: the arm's minus the control's, averaged over prompt lengths as the arm's requests are; None without requests of both.
            Of the cost it is a part of the control's, as low, high and margin are (`cost_ratio`).
        low: the lowest difference that the counts allow.
        high: the highest.
        margin: by how much the arm may be worse.
        result: what the interval says.
    """

    name: str
    control: float | None
    arm: float | None
    difference: float | None
    low: float
    high: float
    margin: float
    result: ArmResult

    @property
    def within_margin(self) -> bool:
        """Whether the arm is shown to be worse by less than the margin."""
        return self.high < self.margin


@dataclass(frozen=True)
class ArmComparison:
    """One arm and the control; `requests` and `control_requests` are those of the metric that has the most."""

    name: str
    result: ArmResult
    metrics: tuple[MetricComparison, ...]
    requests: int = 0
    control_requests: int = 0


def find_alpha(spec: ExperimentSpec, others: int) -> float:
    """Return the error probability of one end of one interval.

    Args:
        spec: names the metrics.
        others: how many arms are compared with the control.

    >>> metrics = [{"name": "errorRate"}, {"name": "e2e", "milliseconds": 500}]
    >>> spec = ExperimentSpec(control="a", metrics=metrics, minimum_effect_percent=3, max_duration="14d")
    >>> round(find_alpha(spec, others=3), 4)
    0.0042
    """
    return ALPHA / (2 * others * len(spec.metrics))


def compare_arm(
    spec: ExperimentSpec,
    name: str,
    evidence: Analysis,
    others: int,
    price_ratio: float | None = None,
) -> ArmComparison:
    """Return what is known of one arm.

    Args:
        spec: what is compared.
        name: of the arm.
        evidence: counts of the control (stable) and of the arm (canary).
        others: how many arms are compared with the control.
        price_ratio: the price of the arm's tokens, divided by that of the control's; None while it is not known.
    """
    alpha = find_alpha(spec, others)
    selected = [select_metric(evidence, metric, expects_clumps=True) for metric in spec.metrics]
    early = _is_early(spec, evidence)
    metrics = tuple(
        _compare_cost(spec, found, alpha, early, price_ratio)
        if metric.name == COST
        else _compare_metric(spec, found, alpha, early)
        for metric, found in zip(spec.metrics, selected, strict=True)
    )
    totals = [_count(found) for found in selected]
    return ArmComparison(
        name,
        _decide_arm(metrics),
        metrics,
        requests=max(arm for _, arm in totals),
        control_requests=max(control for control, _ in totals),
    )


def conclude(
    comparisons: Sequence[ArmComparison], elapsed: float, limit: float
) -> tuple[Outcome, str | None]:
    """Return what the experiment says, and the arm that wins, if one of the others does.

    It ends when every arm is decided, or when time is up. Of several arms that are better than the control, the one with the lowest
    counted share in the first metric wins: they are not compared with each other.

    Args:
        comparisons: all other arms, in the order of the spec.
        elapsed: seconds since the experiment began.
        limit: seconds that it may last.
    """
    results = {each.result for each in comparisons}
    over = elapsed >= limit
    if not over and ArmResult.UNDECIDED in results:
        return Outcome.RUNNING, None
    better = [each for each in comparisons if each.result is ArmResult.BETTER]
    if better:
        return Outcome.WINNER, min(better, key=lambda each: each.metrics[0].difference or 0.0).name
    if ArmResult.UNDECIDED in results:
        return Outcome.TIMED_OUT, None
    return (Outcome.CONTROL_WINS if ArmResult.WORSE in results else Outcome.NO_DIFFERENCE), None


def compare_arms(
    spec: ExperimentSpec,
    evidence: Mapping[str, Analysis],
    price_ratios: Mapping[str, float] = MappingProxyType({}),
) -> tuple[ArmComparison, ...]:
    """Return what is known of every other arm, by their evidence and the prices of their tokens."""
    return tuple(
        compare_arm(spec, name, found, len(evidence), price_ratios.get(name))
        for name, found in evidence.items()
    )


def _is_early(spec: ExperimentSpec, evidence: Analysis) -> bool:
    fewest, most = min(evidence.users), max(evidence.users)
    few = spec.min_users is not None and most > 0 and fewest < spec.min_users
    return few or evidence.seconds < MIN_SECONDS


def _compare_metric(
    spec: ExperimentSpec,
    found: ComparedMetric,
    alpha: float,
    early: bool,  # noqa: FBT001  # because it is a finding about the arm, not a choice of the caller
) -> MetricComparison:
    low, high = find_interval(found.independent, alpha, alpha)
    (control, arm), (control_bad, arm_bad) = _count(found), _count_bad(found)
    comparison = MetricComparison(
        name=found.name,
        control=control_bad / control if control else None,
        arm=arm_bad / arm if arm else None,
        difference=find_difference(found.independent),
        low=low,
        high=high,
        margin=found.tolerance,
        result=_decide_metric(low, high, spec.minimum_effect_percent / 100),
    )
    if early or min(control, arm) < MIN_REQUESTS:
        # Nothing is known yet: an interval of a design effect that is a guess would be one too.
        return replace(comparison, low=-1.0, high=1.0, result=ArmResult.UNDECIDED)
    return comparison


def _compare_cost(
    spec: ExperimentSpec,
    found: ComparedMetric,
    alpha: float,
    early: bool,  # noqa: FBT001  # because it is a finding about the arm, not a choice of the caller
    price_ratio: float | None,
) -> MetricComparison:
    comparison = MetricComparison(
        found.name, None, None, None, LEAST, MOST, found.tolerance, ArmResult.UNDECIDED
    )
    if price_ratio is None:
        return comparison
    comparison = replace(comparison, difference=find_excess(found.strata, price_ratio))
    if early or min(_count(found)) < MIN_REQUESTS:
        return comparison
    low, high = find_excess_interval(found.independent, price_ratio, alpha)
    result = _decide_metric(low, high, spec.minimum_effect_percent / 100)
    return replace(comparison, low=low, high=high, result=result)


def _decide_metric(low: float, high: float, effect: float) -> ArmResult:
    """Return what an interval says.

    >>> [str(_decide_metric(*ends, 0.03)) for ends in ((-0.05, -0.01), (0.01, 0.05), (-0.02, 0.02), (-0.04, 0.02))]
    ['Better', 'Worse', 'NotDifferent', 'Undecided']
    """
    if high < 0:
        return ArmResult.BETTER
    if low > 0:
        return ArmResult.WORSE
    return ArmResult.NOT_DIFFERENT if -effect < low and high < effect else ArmResult.UNDECIDED


def _decide_arm(metrics: Sequence[MetricComparison]) -> ArmResult:
    """Return what the metrics say together.

    Worse beyond the margin in one is worse. Better in one is better once every other is shown to be within its margin. Else all of them
    have to be decided.
    """
    results = {metric.result for metric in metrics}
    if any(metric.low > metric.margin for metric in metrics):
        return ArmResult.WORSE
    if ArmResult.BETTER in results:
        safe = all(metric.within_margin for metric in metrics)
        return ArmResult.BETTER if safe else ArmResult.UNDECIDED
    if ArmResult.UNDECIDED in results:
        return ArmResult.UNDECIDED
    return ArmResult.WORSE if ArmResult.WORSE in results else ArmResult.NOT_DIFFERENT


def _count(found: ComparedMetric) -> tuple[int, int]:
    """Return the requests of the control and of the arm."""
    totals = [(s.stable.total, s.canary.total) for s in found.strata]
    return int(sum(each for each, _ in totals)), int(sum(each for _, each in totals))


def _count_bad(found: ComparedMetric) -> tuple[float, float]:
    bad = [(s.stable.bad, s.canary.bad) for s in found.strata]
    return sum(each for each, _ in bad), sum(each for _, each in bad)
