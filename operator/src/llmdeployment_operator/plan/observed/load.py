"""What the autoscaling law looks at: the load of one runtime.

Latencies are those of the rows by revision, summed: a replica measures them where its bytes leave it, with one set of buckets whatever
the engine. The engine's own histograms have the engine's buckets.
"""

from llmdeployment_operator.autoscaler.types import Observation
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods


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
