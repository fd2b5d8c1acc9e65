"""Whether a canary is worse than the stable revision: counts in, a verdict out, however often it is asked.

A metric is a share, "bad of all requests", of the stable and of the canary over the same time. (A vote may be bad in part,
so that the share is a mean: verdict.md says why all of this holds then too.) The evidence that the canary's is higher by more than d is

    E(d) = (average likelihood of the counts over PRIOR's shares) / (highest likelihood among shares with canary - stable <= d).

If the difference is at most d, E(d) ever reaches 1/alpha with a probability of at most alpha (Ville 1939; mixtures: Robbins 1970;
dividing by the maximum: Wasserman, Ramdas, Balakrishnan 2020). So looking every few seconds costs nothing, and as E(d) is a
function of the counts alone, a restart loses nothing. docs/concepts/verdict.md has the equations, an example and the limits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from llmdeployment_operator.analysis.counts import Counts, DesignEffect

PRIOR = (0.25, 0.75)
"""The Beta prior of a share, as bad and good requests. Any is valid; this one expects most requests to be good."""

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

    Raises:
        ValueError: naming the field.
    """

    name: str
    tolerance: float
    strata: tuple[Stratum, ...]
    adjective: str = "bad"
    noun: str = "requests"
    design: DesignEffect = field(default_factory=DesignEffect)

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


@dataclass(frozen=True)
class MetricFinding:
    """What one metric says.

    `effect` is the canary's share minus the stable's, None while no stratum has requests of both. low..high hold the true one at
    all times with a probability of 1 - max(alpha_fail / number of metrics, alpha_pass) or more. `requests` are the canary's, of
    strata that have the stable's too. The e-values are natural logarithms, at the tolerance.
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
    return _find_point(strata, 0).difference if _count_compared(strata) else None


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


def _count_compared(strata: Sequence[Stratum]) -> float:
    # A stratum that one side has not seen says nothing of the difference.
    return sum(s.canary.total for s in strata if s.stable.total)


def _find_point(strata: Sequence[Stratum], pull: float) -> _Point:
    """Return the shares that maximise log likelihood + pull * difference; a higher pull has a higher difference."""
    requests = _count_compared(strata) or 1
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
    if not _count_compared(strata) or sign * (best.difference - difference) >= 0:
        return best.log_likelihood
    pull = _find_pull(strata, sign, lambda point: sign * (point.difference - difference) >= 0)
    point = _find_point(strata, pull)
    return point.log_likelihood + pull * (point.difference - difference)


def _find_bound(strata: Sequence[Stratum], floor: float, sign: int) -> float:
    """Return the end, on one side, of the differences that some shares of a log likelihood above `floor` have."""
    if not _count_compared(strata):
        return sign

    def beyond(point: _Point) -> bool:
        return point.log_likelihood <= floor or sign * point.difference > 1 - 1e-9

    point = _find_point(strata, _find_pull(strata, sign, beyond))
    return point.difference if point.log_likelihood <= floor else sign


def _decide_result(metric: ComparedMetric, policy: SequentialPolicy, parts: int) -> Result:
    if _count_compared(metric.strata) < policy.min_requests:
        return Result.NEED_MORE_DATA
    if log_e_worse(metric.independent, metric.tolerance) >= math.log(parts / policy.alpha_fail):
        return Result.FAIL
    if log_e_within(metric.independent, metric.tolerance) >= math.log(1 / policy.alpha_pass):
        return Result.PASS
    return Result.NEED_MORE_DATA


def _judge_metric(metric: ComparedMetric, policy: SequentialPolicy, parts: int) -> MetricFinding:
    strata, requests = metric.independent, int(_count_compared(metric.strata))
    low, high = find_interval(strata, policy.alpha_fail / parts, policy.alpha_pass)
    finding = MetricFinding(
        name=metric.name,
        result=_decide_result(metric, policy, parts),
        effect=find_difference(strata) if requests else None,
        low=low,
        high=high,
        requests=requests,
        log_e_worse=log_e_worse(strata, metric.tolerance),
        log_e_within=log_e_within(strata, metric.tolerance),
        message=f"{metric.name}: the stable revision and the canary have no comparable {metric.noun} yet.",
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
        f"({_format_percent(low)} to {_format_percent(high)}). The tolerance is {100 * metric.tolerance:g} points."
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
        left = min(left, max(0, policy.max_requests - max(f.requests for f in findings)))
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
    metric: ComparedMetric, policy: SequentialPolicy, parts: int
) -> tuple[float, float]:
    """Return after how many more canary requests this metric fails and passes if they are like those so far."""
    least = policy.min_requests - _count_compared(metric.strata)
    fail = _estimate_left(metric, log_e_worse, math.log(parts / policy.alpha_fail))
    return max(least, fail), max(
        least, _estimate_left(metric, log_e_within, -math.log(policy.alpha_pass))
    )


def _estimate_left(
    metric: ComparedMetric, log_e: Callable[[Sequence[Stratum], float], float], goal: float
) -> float:
    requests, near, far = _count_compared(metric.strata), 0.0, 1.0
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
