"""The comparison of a canary with the stable revision: evidence gathered, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_operator.api.rollout import TOLERANCE_PERCENT, AnalysisSpec
from llmdeployment_operator.plan.samples import ERRORS, Samples, key_of
from llmdeployment_operator.plan.verdict import (
    Counts,
    Metric,
    Policy,
    Result,
    Stratum,
    Verdict,
    judge,
)

ALPHA_FAIL, ALPHA_PASS = 0.01, 0.05
"""The highest probabilities of giving up a good canary in a whole rollout, and of passing a bad one in a step."""


@dataclass(frozen=True)
class Analysis:
    """What was counted of both since the canary's step began, by metric's key, and the last verdict's words.

    `message` and `requests_left` are for status; they are made anew from the counts.
    """

    counts: Mapping[str, Stratum] = field(default_factory=dict)
    result: Result = Result.NEED_MORE_DATA
    message: str = ""
    requests_left: int | None = None


def gathered(before: Analysis, fresh: Samples, stable: int, canary: int) -> Analysis:
    """Return the evidence with what was counted since the last look added."""
    keys = fresh.get(stable, {}).keys() | fresh.get(canary, {}).keys()
    added = {
        key: Stratum(
            _sum(before.counts.get(key, _NOTHING).stable, fresh.get(stable, {}).get(key)),
            _sum(before.counts.get(key, _NOTHING).canary, fresh.get(canary, {}).get(key)),
        )
        for key in sorted(keys)
    }
    return Analysis({**before.counts, **added})


def judged(spec: AnalysisSpec, evidence: Analysis, steps: int = 1) -> tuple[Verdict, Analysis]:
    """Return the verdict on the evidence, and the evidence with its words.

    Each step of a rollout is a test of its own, so the probability of a false alarm is divided by their number.
    """
    metrics = [
        Metric(
            name=key_of(metric),
            tolerance=(metric.tolerance_percent or TOLERANCE_PERCENT[metric.name]) / 100,
            strata=(evidence.counts.get(key_of(metric), _NOTHING),),
            adjective="errors" if metric.name == ERRORS else "slow",
        )
        for metric in spec.metrics
    ]
    limit = None if spec.max_requests is None else max(spec.max_requests, spec.min_requests)
    policy = Policy(ALPHA_FAIL / steps, ALPHA_PASS, spec.min_requests, limit)
    verdict = judge(metrics, policy)
    told = Analysis(evidence.counts, verdict.result, verdict.message, verdict.requests_left)
    return verdict, told


def exhausted(spec: AnalysisSpec, verdict: Verdict) -> bool:
    """Say whether there is no verdict although the canary answered as many requests as it may."""
    asked = max((finding.requests for finding in verdict.findings), default=0)
    undecided = verdict.result is Result.NEED_MORE_DATA
    return undecided and spec.max_requests is not None and asked >= spec.max_requests


_NOTHING = Stratum(Counts(), Counts())


def _sum(before: Counts, more: Counts | None) -> Counts:
    if more is None:
        return before
    return Counts(before.total + more.total, before.bad + more.bad)
