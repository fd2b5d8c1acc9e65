"""The evidence of a comparison as a row of status: counts by metric, stratum, group and minute."""

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CACHED, STRATA, UNKNOWN, CountKey, Counts
from llmdeployment_operator.analysis.design_effect import Users
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.sequential_test import Result
from llmdeployment_operator.api.analysis_status import (
    AnalysisStatus,
    MetricStatus,
    PromptTokensStatus,
    StratumStatus,
)
from llmdeployment_operator.plan.rollout.evidence_status import (
    build_minutes,
    format_groups,
    parse_groups,
    read_minutes,
)

_METRICS = 24
"""What the status has room for: longer ones would be refused as a whole."""


def build_analysis(analysis: Analysis) -> AnalysisStatus:
    """Return the evidence, and what was said of it, as status holds them."""
    names = [
        name for name in dict.fromkeys(key.metric for key in analysis.counts) if name != CACHED
    ]
    return AnalysisStatus(
        result=analysis.result.value,
        message=analysis.message,
        requests_left=analysis.requests_left,
        metrics=tuple(_build_metric(analysis, name) for name in names[-_METRICS:]),
        stable_users=analysis.users.stable,
        canary_users=analysis.users.canary,
        seconds=analysis.seconds,
        prompt_tokens=_build_cache(analysis.counts.get(CountKey(CACHED))),
    )


def _build_metric(analysis: Analysis, name: str) -> MetricStatus:
    strata = [
        (key.stratum, seen)
        for key, seen in analysis.counts.items()
        if key.metric == name and key.group is None
    ]
    rows = tuple(_build_stratum(stratum, seen) for stratum, seen in strata[-STRATA:])
    return MetricStatus(
        name=name,
        stable=sum(row.stable for row in rows),
        stable_bad=sum(row.stable_bad for row in rows),
        canary=sum(row.canary for row in rows),
        canary_bad=sum(row.canary_bad for row in rows),
        before=sum(row.before for row in rows),
        before_bad=sum(row.before_bad for row in rows),
        strata=() if [row.prompt_bytes for row in rows] == [UNKNOWN] else rows,
        groups=format_groups(analysis.counts, name),
        minutes=build_minutes(analysis.minutes.get(name)),
    )


def _build_stratum(stratum: str, seen: Stratum) -> StratumStatus:
    return StratumStatus(
        prompt_bytes=stratum,
        stable=int(seen.stable.total),
        stable_bad=int(seen.stable.bad),
        canary=int(seen.canary.total),
        canary_bad=int(seen.canary.bad),
        before=int(seen.before.total),
        before_bad=int(seen.before.bad),
    )


def _build_cache(seen: Stratum | None) -> PromptTokensStatus | None:
    if seen is None:
        return None
    return PromptTokensStatus(
        stable=int(seen.stable.total),
        stable_cached=int(seen.stable.bad),
        canary=int(seen.canary.total),
        canary_cached=int(seen.canary.bad),
    )


def read_analysis(row: AnalysisStatus) -> Analysis:
    """Return the evidence of a row.

    Raises:
        ValueError: it holds what is no count or no result.
    """
    counts: dict[CountKey, Stratum] = {}
    for metric in row.metrics:
        # A status of before there were strata has the sums alone.
        for seen in metric.strata or (metric,):
            stratum = seen.prompt_bytes if isinstance(seen, StratumStatus) else UNKNOWN
            counts[CountKey(metric.name, stratum)] = Stratum(
                Counts(seen.stable, seen.stable_bad),
                Counts(seen.canary, seen.canary_bad),
                Counts(seen.before, seen.before_bad),
            )
        counts |= parse_groups(metric.name, metric.groups)
    if (cache := row.prompt_tokens) is not None:
        counts[CountKey(CACHED)] = Stratum(
            Counts(cache.stable, cache.stable_cached), Counts(cache.canary, cache.canary_cached)
        )
    return Analysis(
        counts,
        {m.name: read_minutes(m.minutes) for m in row.metrics if m.minutes is not None},
        Users(row.stable_users, row.canary_users),
        row.seconds,
        Result(row.result),
        row.message,
        row.requests_left,
    )
