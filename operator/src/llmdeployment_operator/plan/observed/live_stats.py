"""What the answers of one round count together, for the points of the last hour."""

from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.plan.observed.live_counters import LiveCounters
from llmdeployment_operator.plan.observed.stats import (
    read_gateway_counters,
    read_replica_counters,
    read_waiting,
)


def count_live(
    replicas: Mapping[str, Mapping[str, Any]], gateways: Mapping[str, Mapping[str, Any]]
) -> LiveCounters:
    """Return what pods count, from their `/stats` by uid of the pod.

    >>> count_live({"a": {"waiting": 2, "revisions": {}}}, {"b": {"held": 1, "routes": []}}).waiting
    3
    """
    pods = {uid: read_replica_counters(stats) for uid, stats in replicas.items()}
    pods |= {uid: read_gateway_counters(stats) for uid, stats in gateways.items()}
    engines = [read_waiting(stats, "waiting") for stats in replicas.values()]
    held = [read_waiting(stats, "held") for stats in gateways.values()]
    known = [number for number in (*engines, *held) if number is not None]
    return LiveCounters(pods, sum(known) if known else None)
