"""What a canary may be like: shares of bad requests, of the stable revision and of a canary that does harm.

Nobody knows a share before it is counted, so the shares are assumptions, and the report names them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from llmdeployment_operator.analysis.counts import ERRORS, FEEDBACK, LENGTH, format_metric_key
from llmdeployment_operator.api.rollout import PATTERN, SHARES, MetricSpec
from llmdeployment_operator.simulation.errors import InputError

LATENCIES = ("ttft", "itl", "e2e")
STABLE_PERCENT = {
    ERRORS: 0.2,
    **dict.fromkeys(LATENCIES, 10.0),
    **dict.fromkeys(SHARES, 2.0),
    FEEDBACK: 20.0,
    LENGTH: 10.0,
}
"""Percent of the stable revision's requests that are bad, where nothing else is known."""
_PATTERN_PERCENT = 2.0

SIGMA = 1.0
"""Of the natural logarithm of a latency: the 90th percentile is 3.6 times the median."""

SAME = "none"
"""The canary that does no harm."""
DEFAULT = (SAME, "errors=5", "ttft=2x")
_SHORT = {"errors": ERRORS}


@dataclass(frozen=True)
class Harm:
    """What is wrong with a canary.

    Attributes:
        name: as the user wrote it.
        percents: by metric, the percent of its requests that are bad.
        factors: by metric, how many times as long its latency is, or as high its share.
    """

    name: str = SAME
    percents: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that are worse."""
        return frozenset({*self.percents, *self.factors})


def share_when_slower(share: float, factor: float) -> float:
    """Return the share above a threshold when each latency is `factor` times as long.

    A latency is lognormal with sigma 1, so the share is 1 - F(z - ln(factor) / sigma), with z the normal's quantile of 1 - share.

    >>> round(share_when_slower(0.1, 2), 3), round(share_when_slower(0.1, 1), 3)
    (0.278, 0.1)
    """
    normal = NormalDist()
    return 1 - normal.cdf(normal.inv_cdf(1 - share) - math.log(factor) / SIGMA)


def parse_harm(text: str) -> Harm:
    """Return a harm such as `errors=5` (percent of the requests) or `ttft=2x` (twice as long), or several with commas.

    >>> parse_harm("errors=5,ttft=2x")
    Harm(name='errors=5,ttft=2x', percents={'errorRate': 5.0}, factors={'ttft': 2.0})

    Raises:
        InputError: a metric that is unknown, or a number that is none.
    """
    if text == SAME:
        return Harm()
    percents: dict[str, float] = {}
    factors: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        metric = name_metric(name, f"--harm {text}")
        if value.endswith("x"):
            factors[metric] = _parse_number(value[:-1], f"--harm {text}", 100)
        else:
            percents[metric] = _parse_number(value, f"--harm {text}", 100)
    return Harm(text, percents, factors)


def parse_shares(texts: Sequence[str]) -> dict[str, float]:
    """Return the stable revision's shares by metric, given as `ttft=8` (percent).

    Raises:
        InputError: a metric that is unknown, or a number that is no percentage above 0.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        metric = name_metric(name, f"--stable {text}")
        found[metric] = _parse_number(value, f"--stable {text}", 99) / 100
    return found


def name_metric(name: str, where: str) -> str:
    """Return the metric that a user means.

    Raises:
        InputError: none is called so.
    """
    metric = _SHORT.get(name, name)
    if metric not in STABLE_PERCENT and not metric.startswith(PATTERN):
        known = ", ".join((*_SHORT, *(k for k in STABLE_PERCENT if k != ERRORS)))
        raise InputError(
            f"{where}: {name or 'nothing'} is no metric. Use none, or one of {known}, {PATTERN}NAME, "
            "as in errors=5 (percent) or ttft=2x."
        )
    return metric


def _parse_number(text: str, where: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= most:
        raise InputError(
            f"{where}: {text!r} is no number above 0 and up to {most:g}, as in errors=5 (percent) or ttft=2x."
        )
    return value


def find_shares(
    metrics: Sequence[MetricSpec],
    shares: Mapping[str, float],
    answers: Sequence[int],
) -> dict[str, float]:
    """Return the stable revision's share of bad requests, by the key of each metric.

    Args:
        metrics: of the analysis.
        shares: those that are known, by name.
        answers: tokens of the trace's answers, which tell the share of long ones.
    """
    return {
        format_metric_key(metric): shares.get(metric.name, _guess_share(metric, answers, 1))
        for metric in metrics
    }


def apply_harm(
    harm: Harm, metrics: Sequence[MetricSpec], stable: Mapping[str, float], answers: Sequence[int]
) -> dict[str, float]:
    """Return the canary's share of bad requests, by the key of each metric."""
    return {
        format_metric_key(metric): _apply(harm, metric, stable[format_metric_key(metric)], answers)
        for metric in metrics
    }


def _apply(harm: Harm, metric: MetricSpec, stable: float, answers: Sequence[int]) -> float:
    if metric.name in harm.percents:
        return harm.percents[metric.name] / 100
    factor = harm.factors.get(metric.name)
    if factor is None:
        return stable
    if metric.name in LATENCIES:
        return share_when_slower(stable, factor)
    if metric.name == LENGTH:
        return _guess_share(metric, answers, factor)
    return min(1.0, stable * factor)


def _guess_share(metric: MetricSpec, answers: Sequence[int], factor: float) -> float:
    if metric.tokens is not None and answers:
        return sum(tokens * factor > metric.tokens for tokens in answers) / len(answers)
    return STABLE_PERCENT.get(metric.name, _PATTERN_PERCENT) / 100
