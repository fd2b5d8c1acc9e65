"""What `/stats` say of the bounded sample: requests of which a user who sends much has about 20 in ten minutes.

Replicas and gateways count them a second time, in the form of all requests (`stats`). Here they are metrics of their own beside those of
all requests (`name_bounded`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from llmdeployment_operator.analysis.counts import (
    BOUNDED_GROUPS,
    CACHED,
    CountKey,
    RevisionCounts,
    name_bounded,
)
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.plan.observed.stats import read_gateway_counts, read_replica_counts


def read_bounded_replica_counts(
    stats: Mapping[str, Any], metrics: Iterable[MetricSpec]
) -> RevisionCounts:
    """Return the bounded sample of a replica's `/stats`; nothing of one that is not what it should be, or of an older image."""
    try:
        rows = stats["revisions"].items()
        bounded = {number: dict(row["bounded"]) for number, row in rows if "bounded" in row}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return _rename(read_replica_counts({"revisions": bounded}, metrics))


def read_bounded_gateway_counts(
    stats: Mapping[str, Any], metrics: Iterable[MetricSpec]
) -> RevisionCounts:
    """Return the bounded sample of a gateway's `/stats`; nothing of one that is not what it should be, or of an older image."""
    try:
        rows = [row for row in stats["routes"] if "bounded" in row]
        bounded = [{**row["bounded"], "revision": row["revision"]} for row in rows]
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return _rename(read_gateway_counts({"routes": bounded}, metrics))


def _rename(found: RevisionCounts) -> RevisionCounts:
    return {
        revision: {
            CountKey(name_bounded(key.metric), key.stratum, key.group): counts
            for key, counts in row.items()
            if key.metric != CACHED and (key.group or 0) < BOUNDED_GROUPS
        }
        for revision, row in found.items()
    }
