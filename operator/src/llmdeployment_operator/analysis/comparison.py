"""The comparison of a canary with the stable revision: evidence gathered, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llmdeployment_operator.analysis.counts import (
    CACHED,
    ERRORS,
    LENGTH,
    UNKNOWN,
    CountKey,
    Counts,
    RevisionCounts,
    format_metric_key,
)
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    Result,
    SequentialPolicy,
    Stratum,
    Verdict,
    judge,
)
from llmdeployment_operator.api.rollout import TOLERANCE_PERCENT, AnalysisSpec, MetricSpec

ALPHA_FAIL, ALPHA_PASS = 0.01, 0.05
"""The highest probabilities of giving up a good canary in a whole rollout, and of passing a bad one in a step."""


@dataclass(frozen=True)
class Analysis:
    """What was counted of both since the canary's step began, by metric and stratum, and the last verdict's words.

    `message` and `requests_left` are for status; they are made anew from the counts.
    """

    counts: Mapping[CountKey, Stratum] = field(default_factory=dict)
    result: Result = Result.NEED_MORE_DATA
    message: str = ""
    requests_left: int | None = None


def collect_counts(before: Analysis, fresh: RevisionCounts, stable: int, canary: int) -> Analysis:
    """Return the evidence with what was counted since the last look added."""
    counted = fresh.get(stable, {}).keys() | fresh.get(canary, {}).keys()
    keys = {key for key in counted if key.group is None}
    added = {
        key: Stratum(
            _add_counts(before.counts.get(key, _NOTHING).stable, fresh.get(stable, {}).get(key)),
            _add_counts(before.counts.get(key, _NOTHING).canary, fresh.get(canary, {}).get(key)),
        )
        for key in sorted(keys)
    }
    return Analysis({**before.counts, **added})


def compare(spec: AnalysisSpec, evidence: Analysis, steps: int = 1) -> tuple[Verdict, Analysis]:
    """Return the verdict on the evidence, and the evidence with its words.

    Each step of a rollout is a test of its own, so the probability of a false alarm is divided by their number.
    """
    metrics = [
        ComparedMetric(
            name=format_metric_key(metric),
            tolerance=(metric.tolerance_percent or TOLERANCE_PERCENT[metric.name]) / 100,
            strata=select_strata(evidence, format_metric_key(metric)),
            adjective=_choose_adjective(metric),
        )
        for metric in spec.metrics
    ]
    limit = None if spec.max_requests is None else max(spec.max_requests, spec.min_requests)
    policy = SequentialPolicy(ALPHA_FAIL / steps, ALPHA_PASS, spec.min_requests, limit)
    verdict = judge(metrics, policy)
    verdict = replace(verdict, message=verdict.message + _describe_cache(evidence))
    told = Analysis(evidence.counts, verdict.result, verdict.message, verdict.requests_left)
    return verdict, told


def is_exhausted(spec: AnalysisSpec, verdict: Verdict) -> bool:
    """Say whether there is no verdict although the canary answered as many requests as it may."""
    asked = max((finding.requests for finding in verdict.findings), default=0)
    undecided = verdict.result is Result.NEED_MORE_DATA
    return undecided and spec.max_requests is not None and asked >= spec.max_requests


def fails_by_errors(verdict: Verdict) -> bool:
    """Say whether the canary failed for its errors, alone or among others."""
    return any(f.name == ERRORS and f.result is Result.FAIL for f in verdict.findings)


def select_strata(evidence: Analysis, metric: str) -> tuple[Stratum, ...]:
    """Return the strata of a metric by its key.

    They are one as soon as somebody counted without them: a replica of an older image on one side would be like nobody on the other.
    """
    found = {
        key.stratum: seen
        for key, seen in evidence.counts.items()
        if key.metric == metric and key.group is None
    }
    if UNKNOWN not in found:
        return tuple(found.values()) or (_NOTHING,)
    whole = _NOTHING
    for seen in found.values():
        whole = Stratum(
            _add_counts(whole.stable, seen.stable), _add_counts(whole.canary, seen.canary)
        )
    return (whole,)


def _choose_adjective(metric: MetricSpec) -> str:
    return {ERRORS: "errors", LENGTH: "long"}.get(metric.name, "slow")


def _describe_cache(evidence: Analysis) -> str:
    """Return how much of the prompts was in the prefix cache, if an engine tells: a cold cache is why a canary is slow at first."""
    seen = evidence.counts.get(CountKey(CACHED), _NOTHING)
    if not seen.canary.total and not seen.stable.total:
        return ""
    canary, stable = (
        f"{100 * arm.bad / arm.total:.0f} %" if arm.total else "unknown"
        for arm in (seen.canary, seen.stable)
    )
    return f" Cached prompt tokens: {canary} (canary), {stable} (stable)."


_NOTHING = Stratum(Counts(), Counts())


def _add_counts(before: Counts, more: Counts | None) -> Counts:
    if more is None:
        return before
    return Counts(before.total + more.total, before.bad + more.bad)
