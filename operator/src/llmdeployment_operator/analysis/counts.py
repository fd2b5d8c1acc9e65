"""What `/stats` of replicas and gateways say about an analysis' metrics: requests and how many of them were bad.

Counted by revision, metric and stratum; the strata are the replicas' buckets of prompt lengths. A gateway, and a replica of an older
image, knows none: its counts are of the stratum UNKNOWN.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmdeployment_operator.api.rollout import MetricSpec

UNKNOWN = ""
"""The stratum of requests whose prompt length nobody counted."""

STRATA = 8
"""How many there may be of a metric, UNKNOWN among them: status has room for no more."""

ERRORS, LENGTH = "errorRate", "outputTokens"

CACHED = "cachedPromptTokens"
"""Not a metric, but counted like one: prompt tokens, and those of them that were in the prefix cache."""


@dataclass(frozen=True)
class Counts:
    """How many requests there were and how many of them were bad; fractions are for counts that are only expected.

    Raises:
        ValueError: unless 0 <= bad <= total, naming the field.
    """

    total: float = 0
    bad: float = 0

    def __post_init__(self) -> None:
        if not 0 <= self.total < math.inf:
            raise ValueError(f"total: {self.total} is not a number of requests")
        if not 0 <= self.bad <= self.total:
            raise ValueError(f"bad: {self.bad} is not a part of {self.total} requests")


class CountKey(NamedTuple):
    """What is counted: a metric's name with its threshold, and where the stratum's prompts end, in bytes."""

    metric: str
    stratum: str = UNKNOWN


RevisionCounts = dict[int, dict[CountKey, Counts]]
"""Counts by revision; cumulative since whoever counts began, or differences of such."""


def format_metric_key(metric: MetricSpec) -> str:
    """Return the name under which a metric is counted: another threshold is another metric.

    >>> format_metric_key(MetricSpec(name="ttft", milliseconds=500)), format_metric_key(MetricSpec(name="errorRate"))
    ('ttft>500ms', 'errorRate')
    >>> format_metric_key(MetricSpec(name="outputTokens", tokens=500))
    'outputTokens>500'
    """
    if metric.tokens is not None:
        return f"{metric.name}>{metric.tokens}"
    return metric.name if metric.milliseconds is None else f"{metric.name}>{metric.milliseconds}ms"


def read_replica_counts(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> RevisionCounts:
    """Return what a replica's `/stats` say; nothing of one that is not what it should be.

    A metric that the replica does not count, being of an older image, is left out.
    """
    measured = [metric for metric in metrics if metric.name != ERRORS]
    try:
        return {
            int(number): _read_revision(row, measured) for number, row in stats["revisions"].items()
        }
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        return {}


def read_gateway_counts(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> RevisionCounts:
    """Return the error rate of a gateway's `/stats`; nothing of one that is not what it should be."""
    if all(metric.name != ERRORS for metric in metrics):
        return {}
    found: RevisionCounts = {}
    try:
        for row in stats["routes"]:
            # Two arms may have one revision.
            counts = found.setdefault(int(row["revision"]), {})
            before, requests = counts.get(CountKey(ERRORS), Counts()), row["requests"]
            total, bad = before.total + sum(requests.values()), before.bad + requests["5xx"]
            counts[CountKey(ERRORS)] = Counts(total, bad)
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return found


def _read_revision(row: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> dict[CountKey, Counts]:
    found = {
        CountKey(format_metric_key(metric), stratum): counts
        for metric in metrics
        if metric.name in row
        for stratum, counts in _count_beyond(row[metric.name], metric).items()
    }
    if CACHED in row:
        found[CountKey(CACHED)] = Counts(row["promptTokens"], row[CACHED])
    return found


def _count_beyond(histogram: Mapping[str, Any], metric: MetricSpec) -> dict[str, Counts]:
    """Return what a histogram counts beyond the metric's threshold, by stratum."""
    threshold = metric.tokens or (metric.milliseconds or 0) / 1000
    bounds = [bound for bound, _ in histogram["buckets"]]
    bad = next(i for i, bound in enumerate(bounds) if bound == "+Inf" or bound >= threshold) + 1
    strata = histogram.get("byPromptBytes")
    if strata is None:
        return {
            UNKNOWN: Counts(
                histogram["count"], histogram["count"] - histogram["buckets"][bad - 1][1]
            )
        }
    if len(strata) >= STRATA or any(len(counts) != len(bounds) for _, counts in strata):
        raise ValueError("the strata do not fit the histogram")
    return {
        _name_stratum(below): Counts(sum(counts), sum(counts[bad:])) for below, counts in strata
    }


def _name_stratum(below: object) -> str:
    if below == "+Inf" or (isinstance(below, int) and 0 < below < 10**9):
        return str(below)
    raise ValueError(f"{below!r} is not a prompt's length")
