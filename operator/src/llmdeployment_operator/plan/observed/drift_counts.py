"""What replicas count that is compared with a revision's first window, and what its status says of recent answers."""

from collections.abc import Collection, Mapping
from typing import Any

from llmdeployment_operator.analysis.counts import CACHED, RevisionCounts
from llmdeployment_operator.api.drift import OUTPUT_TOKENS, PROMPT_LENGTH, list_metrics
from llmdeployment_operator.api.monitoring import MonitoringSpec
from llmdeployment_operator.api.rollout import PATTERN, SHARES, MetricSpec
from llmdeployment_operator.plan.observed.stats import read_prompt_lengths, read_replica_counts

PROMPT_BYTES = (1024, 8192)
"""Where the replicas' buckets of prompt lengths end."""
PROMPT_METRICS = tuple(f"{PROMPT_LENGTH}>={below}" for below in PROMPT_BYTES)
TOKENS = (
    *(10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750),
    *(1000, 1500, 2000, 3000, 5000, 10000, 20000),
)
"""Lengths of answers that are counted in a first window, of which two are compared later: bounds of the replicas' histogram."""


def read_drift_counts(stats: Mapping[str, Any], monitoring: MonitoringSpec) -> RevisionCounts:
    """Return what a replica's `/stats` say of all that may be compared; nothing of one that is not what it should be."""
    if monitoring.drift is None:
        return {}
    names = list_metrics(monitoring.drift, [each.name for each in monitoring.output_patterns])
    found = _read(stats, names)
    if PROMPT_LENGTH in names:
        for number, counts in read_prompt_lengths(stats, PROMPT_LENGTH).items():
            found.setdefault(number, {}).update(counts)
    return found


def read_share_counts(stats: Mapping[str, Any], monitoring: MonitoringSpec) -> RevisionCounts:
    """Return what a replica's `/stats` say of the built-in shares and of the patterns, without groups of users.

    Nothing of one that is not what it should be.
    """
    names = (*SHARES, *(PATTERN + each.name for each in monitoring.output_patterns))
    return {
        number: {key: counts for key, counts in row.items() if key.group is None}
        for number, row in _read(stats, names).items()
    }


def _read(stats: Mapping[str, Any], names: Collection[str]) -> RevisionCounts:
    return {
        number: {key: counts for key, counts in row.items() if key.metric != CACHED}
        for number, row in read_replica_counts(stats, _list_specs(names)).items()
    }


def _list_specs(names: Collection[str]) -> list[MetricSpec]:
    shares = [MetricSpec(name=name) for name in names if name not in {PROMPT_LENGTH, OUTPUT_TOKENS}]
    if OUTPUT_TOKENS not in names:
        return shares
    return shares + [MetricSpec(name=OUTPUT_TOKENS, tokens=length) for length in TOKENS]
