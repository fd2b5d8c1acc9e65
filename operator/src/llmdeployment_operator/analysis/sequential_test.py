"""Whether a canary is worse than the stable revision: counts in, a verdict out, however often it is asked.

`e_values` has the evidence; here it is held against tolerances and probabilities, and put into words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from llmdeployment_operator.analysis.counts import Counts, DesignEffect
from llmdeployment_operator.analysis.e_values import (
    Stratum,
    count_compared,
    find_difference,
    find_interval,
    log_e_within,
    log_e_worse,
)

SIGHT = 1_000_000
"""An estimate of more canary requests than these is none."""

MAX_TOLERANCE = 0.99
"""The largest tolerance, as a difference of shares. One of 1 would compare nothing."""


class Result(StrEnum):
    """What the counts say."""

    PASS = "Pass"  # noqa: S105  # because it is a verdict, not a password
    FAIL = "Fail"
    NEED_MORE_DATA = "NeedMoreData"


@dataclass(frozen=True)
class ComparedMetric:
    """One share to compare, averaged over the strata as the canary's requests are spread over them.

    Args:
        name: for people and status.
        tolerance: how much higher the canary's share may be; 0.02 is 2 points. From -0.99 to 0.99.
        strata: the counts.
        adjective: what a bad request is called, as in "11.8 % of 412 canary requests were slow".
        noun: what is counted, in the plural.
        design: by how much its requests count less than independent ones.
        note: a sentence on which requests these are, or nothing.
        bounded: the same metric, of the requests of the bounded sample; None where that has all requests.

    Raises:
        ValueError: naming the field.
    """

    name: str
    tolerance: float
    strata: tuple[Stratum, ...]
    adjective: str = "bad"
    noun: str = "requests"
    design: DesignEffect = field(default_factory=DesignEffect)
    note: str = ""
    bounded: "ComparedMetric | None" = None

    def __post_init__(self) -> None:
        if not abs(self.tolerance) <= MAX_TOLERANCE:
            raise ValueError(
                f"tolerance: {self.tolerance} of {self.name} is beyond {MAX_TOLERANCE}"
            )
        if not self.strata:
            raise ValueError(f"strata: {self.name} has none")
        if min(self.design) < 1:
            raise ValueError(f"design: {self.name} would count more requests than there were")

    @property
    def weighings(self) -> tuple["ComparedMetric", ...]:
        """The samples of requests by which the metric is tested."""
        return (self,) if self.bounded is None else (self, self.bounded)

    @property
    def independent(self) -> tuple[Stratum, ...]:
        """The independent requests that the strata are worth."""
        return tuple(stratum.divide(self.design) for stratum in self.strata)


@dataclass(frozen=True)
class SequentialPolicy:
    """How sure a verdict must be.

    Args:
        alpha_fail: highest probability of ever failing a canary that is within every tolerance.
        alpha_pass: highest probability of ever passing a canary that is beyond a tolerance.
        min_requests: canary requests a metric needs before it may fail, and every metric before the canary may pass.
        max_requests: canary requests after which no more are asked for; None for no limit.

    Raises:
        ValueError: naming the field.
    """

    alpha_fail: float = 0.01
    alpha_pass: float = 0.05
    min_requests: int = 50
    max_requests: int | None = None

    def __post_init__(self) -> None:
        for name, alpha in (("alpha_fail", self.alpha_fail), ("alpha_pass", self.alpha_pass)):
            if not 0 < alpha < 1:
                raise ValueError(f"{name}: {alpha} is not between 0 and 1")
        if self.min_requests < 1:
            raise ValueError(f"min_requests: {self.min_requests} is not positive")
        if self.max_requests is not None and self.max_requests < self.min_requests:
            raise ValueError(f"max_requests: {self.max_requests} is less than min_requests")

    def split(self, metrics: int, weighings: int) -> "SequentialPolicy":
        """Return how sure one of several weighings of one of several metrics must be.

        >>> policy = SequentialPolicy(alpha_fail=0.01, alpha_pass=0.05).split(metrics=5, weighings=2)
        >>> round(policy.alpha_fail, 4), policy.alpha_pass
        (0.001, 0.025)
        """
        return replace(
            self,
            alpha_fail=self.alpha_fail / (metrics * weighings),
            alpha_pass=self.alpha_pass / weighings,
        )


@dataclass(frozen=True)
class MetricFinding:
    """What one metric says, by the weighing that says most.

    `effect` is the canary's share minus the stable's, None while no stratum has requests of both. low..high hold the true one at
    all times with a probability of 1 - max(alpha_fail, alpha_pass) or more, as `SequentialPolicy.split` has them. `requests` are the
    canary's in this weighing, of strata that have the stable's too, and `worth` is how many independent ones these are. `answered`
    are the canary's of all users. The e-values are natural logarithms, at the tolerance.
    """

    name: str
    result: Result
    effect: float | None
    low: float
    high: float
    requests: int
    log_e_worse: float
    log_e_within: float
    message: str
    worth: float = 0.0
    answered: int = 0


@dataclass(frozen=True)
class Verdict:
    """What all metrics say together.

    `metric` is the one that failed or that is waited for, None when all passed. `requests_left` estimates the canary requests that
    a verdict still takes, or what max_requests leaves of them: 0 when there is one, None when none is in sight.
    """

    result: Result
    metric: str | None
    findings: tuple[MetricFinding, ...]
    requests_left: int | None
    message: str


def judge(metrics: Sequence[ComparedMetric], policy: SequentialPolicy) -> Verdict:
    """Return what the counts say.

    One failed metric fails the canary; alpha_fail is split evenly, so that all metrics together stay below it. To pass, every metric
    must, each at the whole of alpha_pass: passing a bad canary takes an error on its bad metric, which is rare enough by itself.

    A metric with two weighings fails, or passes, by either of them at half of its probability. So a canary that is within the tolerance
    in both means (of all requests, and of requests whose users are bounded) fails with at most its alpha_fail, and one that is beyond
    it in both passes with at most alpha_pass: the first error of two tests is at most as probable as their errors together. It stays
    so if the second weighing begins only when the first user sends much: until then both have the same requests, so their mean is the
    first one's evidence. With E >= 2 / alpha in one of two, the mean of both is 1 / alpha, which it ever is with at most alpha.

    Raises:
        ValueError: if there is no metric, or two have one name.
    """
    if not metrics or len({metric.name for metric in metrics}) < len(metrics):
        raise ValueError("metrics: at least one is needed, and no two of one name")
    findings = tuple(_judge_metric(metric, policy, len(metrics)) for metric in metrics)
    failed = [finding for finding in findings if finding.result is Result.FAIL]
    if failed:
        worst = max(failed, key=lambda finding: finding.log_e_worse)
        return Verdict(Result.FAIL, worst.name, findings, 0, worst.message)
    if all(finding.result is Result.PASS for finding in findings):
        closest = min(findings, key=lambda finding: finding.log_e_within)
        message = f"All metrics ({len(findings)}) are within tolerance. {closest.message}"
        return Verdict(Result.PASS, None, findings, 0, message)
    return _report_undecided(metrics, findings, policy)


def _decide_result(metric: ComparedMetric, policy: SequentialPolicy) -> Result:
    if count_compared(metric.strata) < policy.min_requests:
        return Result.NEED_MORE_DATA
    if log_e_worse(metric.independent, metric.tolerance) >= -math.log(policy.alpha_fail):
        return Result.FAIL
    if log_e_within(metric.independent, metric.tolerance) >= -math.log(policy.alpha_pass):
        return Result.PASS
    return Result.NEED_MORE_DATA


def _judge_metric(metric: ComparedMetric, policy: SequentialPolicy, metrics: int) -> MetricFinding:
    policy = policy.split(metrics, len(metric.weighings))
    answered = int(count_compared(metric.strata))
    found = [_judge_weighing(weighing, policy) for weighing in metric.weighings]
    return replace(max(found, key=_rank), answered=answered)


def _rank(finding: MetricFinding) -> tuple[int, float]:
    """Return by what the weighing that says most is chosen: its result, and the evidence for it."""
    worse, within = finding.log_e_worse, finding.log_e_within
    return {
        Result.NEED_MORE_DATA: (0, max(worse, within)),
        Result.PASS: (1, within),
        Result.FAIL: (2, worse),
    }[finding.result]


def _judge_weighing(metric: ComparedMetric, policy: SequentialPolicy) -> MetricFinding:
    strata, requests = metric.independent, int(count_compared(metric.strata))
    low, high = find_interval(strata, policy.alpha_fail, policy.alpha_pass)
    finding = MetricFinding(
        name=metric.name,
        result=_decide_result(metric, policy),
        effect=find_difference(strata) if requests else None,
        low=low,
        high=high,
        requests=requests,
        log_e_worse=log_e_worse(strata, metric.tolerance),
        log_e_within=log_e_within(strata, metric.tolerance),
        message=f"{metric.name}: the stable revision and the canary have no comparable {metric.noun} yet.",
        worth=count_compared(strata),
    )
    return replace(finding, message=_write_sentence(metric, finding)) if requests else finding


def _write_sentence(metric: ComparedMetric, finding: MetricFinding) -> str:
    seen = [s for s in metric.strata if s.stable.total and s.canary.total]
    bad = sum(s.canary.bad for s in seen) / finding.requests
    effect, low, high = finding.effect or 0.0, finding.low, finding.high
    alike = " (weighted like the canary's)" if len(seen) > 1 else ""
    word = "worse"
    if effect < 0:
        word, low, high = "better", -high, -low
    return (
        f"{metric.name}: {_format_percent(bad)} % of {finding.requests:,} canary {metric.noun} were {metric.adjective}, "
        f"and {_format_percent(abs(bad - effect))} % of {sum(s.stable.total for s in seen):,.0f} stable ones{alike}. "
        f"The canary is {word} by {_format_percent(abs(effect))} points "
        f"({_format_percent(low)} to {_format_percent(high)}). The tolerance is {100 * metric.tolerance:g} points.{metric.note}"
    )


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f}" if abs(100 * share) >= 1 else f"{100 * share:.2f}"


def _report_undecided(
    metrics: Sequence[ComparedMetric], findings: tuple[MetricFinding, ...], policy: SequentialPolicy
) -> Verdict:
    ahead = [_estimate_ahead(metric, policy, len(metrics)) for metric in metrics]
    waits = [i for i, finding in enumerate(findings) if finding.result is Result.NEED_MORE_DATA]
    last = max(waits, key=lambda i: min(ahead[i]))
    finding, noun = findings[last], metrics[last].noun
    left = min(*(fail for fail, _ in ahead), max(ok for _, ok in ahead))
    if policy.max_requests is not None:
        left = min(left, max(0, policy.max_requests - max(f.answered for f in findings)))
    start = f"There is no verdict after {policy.max_requests} canary requests."
    if left > SIGHT:
        start = "No verdict is in sight."
    elif left:
        # Two digits, as the third would say nothing.
        step = 10 ** max(0, len(str(math.ceil(left))) - 2)
        start = f"About {math.ceil(left / step) * step:,} more canary {noun} are needed."
    message = f"{start} {finding.message}"
    number = None if left > SIGHT else math.ceil(left)
    return Verdict(Result.NEED_MORE_DATA, finding.name, findings, number, message)


def _estimate_ahead(
    metric: ComparedMetric, policy: SequentialPolicy, metrics: int
) -> tuple[float, float]:
    """Return after how many more canary requests this metric fails and passes if they are like those so far."""
    policy = policy.split(metrics, len(metric.weighings))
    answered = count_compared(metric.strata)
    fails, passes = [], []
    for weighing in metric.weighings:
        requests = count_compared(weighing.strata)
        # Of so many requests of the canary one is in this sample.
        per_request = answered / requests if requests else 1.0
        least = policy.min_requests - requests
        fail = _estimate_left(weighing, log_e_worse, -math.log(policy.alpha_fail))
        passing = _estimate_left(weighing, log_e_within, -math.log(policy.alpha_pass))
        fails.append(per_request * max(least, fail))
        passes.append(per_request * max(least, passing))
    return min(fails), min(passes)


def _estimate_left(
    metric: ComparedMetric, log_e: Callable[[Sequence[Stratum], float], float], goal: float
) -> float:
    requests, near, far = count_compared(metric.strata), 0.0, 1.0
    low = log_e(metric.independent, metric.tolerance)
    if low >= goal:
        return 0
    while 0 < requests * far <= SIGHT:
        high = log_e(
            [_extrapolate(stratum, far) for stratum in metric.independent], metric.tolerance
        )
        if high >= goal:
            return requests * (near + (far - near) * (goal - low) / (high - low))
        near, far, low = far, 2 * far, high
    return math.inf


def _extrapolate(stratum: Stratum, growth: float) -> Stratum:
    """Return the counts to expect when the requests have grown by this part of themselves."""
    stable, canary = stratum.stable, stratum.canary
    known = stable if stable.total else canary
    # One more request of the stable's kind: a canary without an error so far is not taken to be without any.
    share = min(1, (canary.bad + known.bad / (known.total or 1)) / (canary.total + 1))
    more = growth * canary.total
    return Stratum(
        Counts(stable.total * (1 + growth), stable.bad * (1 + growth)),
        Counts(canary.total + more, canary.bad + more * share),
        stratum.before,
    )
