"""From `/stats` of replicas and gateways to what the autoscaling law looks at.

Latencies are those of the rows by revision, summed: a replica measures them where its bytes leave it, with one set of buckets whatever
the engine. The engine's own histograms have the engine's buckets.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from llmdeployment_operator.autoscaler.types import BOUNDS, METRICS, Observation, ReplicaSample
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.observed.cluster_state import ClusterState, GatewayState
from llmdeployment_operator.plan.observed.readiness import select_pods


def read_sample(stats: Mapping[str, Any], at: float) -> ReplicaSample | None:
    """Return what a replica's `/stats` say, read at `at` (seconds, the operator's clock); None when it is nothing a replica writes.

    Whether the numbers can be true is for the law to see (`windows.usable`), which sees those of a recording too.
    """
    try:
        return ReplicaSample(
            at=at,
            running=_require_count(stats["running"]),
            waiting=_require_count(stats["waiting"]),
            kv_usage=float(stats["kvCacheUsage"]),
            prompt_tokens=_require_count(stats["promptTokens"]),
            generation_tokens=_require_count(stats["generationTokens"]),
            histograms={name: _sum_buckets(stats["revisions"].values(), name) for name in METRICS},
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def read_gateway(pod: str, stats: Mapping[str, Any]) -> GatewayState:
    """Return what a gateway's `/stats` say; one of an older image does not count requests by Service."""
    services = stats.get("services", {}).items()
    held, refused = (max(0, int(stats.get(key, 0))) for key in ("held", "refused"))
    return GatewayState(
        pod=pod,
        routes_hash=str(stats.get("routesHash", "")),
        up={name: int(each.get("up", 0)) for name, each in services},
        held=held,
        refused=refused,
        requests={name: int(each["requests"]) for name, each in services if "requests" in each},
    )


def observe_runtime(
    cluster: ClusterState, runtime: str, service: str, desired: int, at: float, *, held: bool
) -> Observation:
    """Return what there is to see of a runtime.

    Args:
        cluster: the cluster.
        runtime: its hash.
        service: the name of its Service.
        desired: replicas that were ordered.
        at: now, in seconds.
        held: whether the requests that the gateways hold wait for this runtime.
    """
    ready = [pod for pod in select_pods(cluster, "worker", runtime) if is_ready(pod)]
    uids = {pod["metadata"].get("uid", pod["metadata"]["name"]) for pod in ready}
    return Observation(
        at=at,
        ready=len(ready),
        pending=max(0, desired - len(ready)),
        samples={uid: each for uid, each in cluster.samples.items() if uid in uids},
        held=sum(gateway.held for gateway in cluster.gateways) if held else 0,
        refused=sum(gateway.refused for gateway in cluster.gateways),
        forwarded={g.pod: g.requests[service] for g in cluster.gateways if service in g.requests},
    )


def _sum_buckets(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[int, ...]:
    found = [0] * (len(BOUNDS) + 1)
    for row in rows:
        buckets = row[name]["buckets"]
        if [bound for bound, _ in buckets] != [*BOUNDS, "+Inf"]:
            raise ValueError(f"{name} has other buckets")
        counts = [_require_count(count) for _, count in buckets]
        found = [before + count for before, count in zip(found, counts, strict=True)]
    return tuple(found)


def _require_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a count")
    return value
