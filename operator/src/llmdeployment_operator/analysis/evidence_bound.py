"""Whether a verdict can have changed: a bound of the evidence that is cheap, for simulations that look often.

`log_e_worse` and `log_e_within` divide by the highest likelihood among shares on one side of the tolerance, which a search finds. The
likelihood of any two shares on that side is not above it, so dividing by that of two shares that are known gives no less evidence:

    log E(d)  <=  log(average likelihood)  -  log likelihood of (t, t + d),    t the stable revision's share as counted

Worked example: 100 of 1,000 stable requests were slow and 28 of the canary's 100, and the tolerance is 5 points. The bound is -1.28, and
the evidence that the canary is worse by more is -1.72: far from the log(1 / 0.01) = 4.61 that a failure takes.
"""

import math
from collections.abc import Sequence

from llmdeployment_operator.analysis.comparison import (
    Analysis,
    build_policy,
    select_metrics,
    select_strata,
    select_weighings,
)
from llmdeployment_operator.analysis.counts import format_metric_key
from llmdeployment_operator.analysis.e_values import Stratum, count_compared, log_average
from llmdeployment_operator.analysis.sequential_test import ComparedMetric, SequentialPolicy
from llmdeployment_operator.api.rollout import AnalysisSpec, parse_seconds

WORSE, WITHIN = 1, -1
"""Which evidence: that the canary is worse by more than the tolerance, or by less."""


def may_decide(spec: AnalysisSpec, evidence: Analysis, steps: int, *, may_pass: bool) -> bool:
    """Say whether `compare` may find more than that more data are needed.

    Args:
        spec: what is compared.
        evidence: what was counted.
        steps: how many steps the rollout has.
        may_pass: whether to pass would change anything now.
    """
    policy = build_policy(spec, steps)
    found = [(m.tolerance, select_weighings(evidence, m)) for m in spec.metrics]
    may_pass = may_pass and evidence.seconds >= parse_seconds(spec.min_duration)
    # Fewer requests of the same shares are weaker evidence, so the design effect can wait.
    if not _may_end(found, policy, may_pass=may_pass):
        return False
    metrics = select_metrics(spec, evidence)
    found = [(m.tolerance, [each.independent for each in m.weighings]) for m in metrics]
    return _may_end(found, policy, may_pass=may_pass)


def is_spent(spec: AnalysisSpec, evidence: Analysis) -> bool:
    """Say whether the canary answered as many requests as it may before `onInconclusive` applies."""
    strata = (select_strata(evidence, format_metric_key(metric)) for metric in spec.metrics)
    most = max(map(count_compared, strata))
    return spec.max_requests is not None and most >= spec.max_requests


def _may_end(
    found: Sequence[tuple[float, Sequence[Sequence[Stratum]]]],
    policy: SequentialPolicy,
    *,
    may_pass: bool,
) -> bool:
    """Say whether any weighing of any metric may fail, or one weighing of each metric may pass."""
    fails, passes = [], []
    for tolerance, weighings in found:
        each = policy.split(len(found), len(weighings))
        fail, ok = -math.log(each.alpha_fail), -math.log(each.alpha_pass)
        fails += [bound_evidence(strata, tolerance, WORSE) >= fail for strata in weighings]
        passes.append(any(bound_evidence(s, tolerance, WITHIN) >= ok for s in weighings))
    return any(fails) or (may_pass and all(passes))


def may_fail(metric: ComparedMetric, policy: SequentialPolicy) -> bool:
    """Say whether a metric that is alone may fail the canary, its requests taken for independent."""
    return bound_evidence(metric.strata, metric.tolerance, WORSE) >= -math.log(policy.alpha_fail)


def may_pass(metric: ComparedMetric, policy: SequentialPolicy) -> bool:
    """Say whether a metric may pass the canary, its requests taken for independent."""
    return bound_evidence(metric.strata, metric.tolerance, WITHIN) >= -math.log(policy.alpha_pass)


def bound_evidence(strata: Sequence[Stratum], tolerance: float, side: int) -> float:
    """Return a number that the log of the evidence for one side of the tolerance is not above.

    >>> from llmdeployment_operator.analysis.counts import Counts
    >>> from llmdeployment_operator.analysis.e_values import log_e_worse
    >>> seen = [Stratum(Counts(1000, 100), Counts(100, 28))]
    >>> round(bound_evidence(seen, 0.05, WORSE), 2), round(log_e_worse(seen, 0.05), 2)
    (-1.28, -1.72)
    >>> bound_evidence(seen, 0.05, WITHIN)
    0.0
    """
    beyond, counts = 0.0, []
    for s in strata:
        known = s.stable if s.stable.total else s.canary
        share = other = known.bad / (known.total or 1)
        if s.stable.total and s.canary.total:
            other = share + tolerance
            beyond += s.canary.bad - s.canary.total * other
        if not 0 <= other < 1:
            return math.inf
        for arm, t in ((s.stable, share), (s.canary, other)):
            counts += [(arm.bad, t), (arm.total - arm.bad, 1 - t)]
    if side * beyond <= 0:
        # The highest likelihood of all is on that side, and no average is above it.
        return 0.0
    if any(n and not p for n, p in counts):
        return math.inf
    return log_average(strata) - sum(n * math.log(p) for n, p in counts if n)
