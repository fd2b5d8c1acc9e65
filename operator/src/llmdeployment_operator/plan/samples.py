"""What `/stats` of replicas and gateways say about an analysis' metrics, by revision: requests and how many of them were bad."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.plan.verdict import Counts

Samples = dict[int, dict[str, Counts]]
"""Counts by revision and metric's key; cumulative since whoever counts began, or differences of such."""

ERRORS = "errorRate"


def key_of(metric: MetricSpec) -> str:
    """Return the name under which a metric is counted: another threshold is another metric.

    >>> key_of(MetricSpec(name="ttft", milliseconds=500)), key_of(MetricSpec(name="errorRate"))
    ('ttft>500ms', 'errorRate')
    """
    return metric.name if metric.milliseconds is None else f"{metric.name}>{metric.milliseconds}ms"


def of_replica(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> Samples:
    """Return the latency metrics of a replica's `/stats`; nothing of one that is not what it should be."""
    timed = [metric for metric in metrics if metric.milliseconds is not None]
    try:
        return {
            int(number): {key_of(metric): _slow(row[metric.name], metric) for metric in timed}
            for number, row in stats["revisions"].items()
        }
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        return {}


def of_gateway(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> Samples:
    """Return the error rate of a gateway's `/stats`; nothing of one that is not what it should be."""
    if all(metric.name != ERRORS for metric in metrics):
        return {}
    found: Samples = {}
    try:
        for row in stats["routes"]:
            # Two arms may have one revision.
            counts = found.setdefault(int(row["revision"]), {})
            before, requests = counts.get(ERRORS, Counts()), row["requests"]
            total, bad = before.total + sum(requests.values()), before.bad + requests["5xx"]
            counts[ERRORS] = Counts(total, bad)
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return found


def _slow(histogram: Mapping[str, Any], metric: MetricSpec) -> Counts:
    seconds = (metric.milliseconds or 0) / 1000
    within = next(
        count for bound, count in histogram["buckets"] if bound == "+Inf" or bound >= seconds
    )
    return Counts(histogram["count"], histogram["count"] - within)
