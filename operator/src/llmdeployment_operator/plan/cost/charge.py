"""From the pods of a pass to the account: which replicas occupy what, since when, at what price."""

from datetime import datetime
from decimal import Decimal

from llmdeployment_operator.api.cost import CostSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.costs.account import advance
from llmdeployment_operator.costs.rates import read_amount
from llmdeployment_operator.costs.types import CostAccount, CostObservation, Price, Replica
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.cost.memory import read_account
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

_ENDED = frozenset({"Succeeded", "Failed"})


def charge_pass(
    deployment: LLMDeployment, cluster: ClusterState, now: datetime
) -> CostAccount | None:
    """Return the account up to now; None without `spec.cost`."""
    spec = deployment.spec.cost
    if spec is None:
        return None
    replicas = {
        str(pod["metadata"].get("uid", pod["metadata"]["name"])): _read_replica(spec, cluster, pod)
        for pod in select_pods(cluster, "worker")
        if _occupies_node(pod)
    }
    account = cluster.cost or read_account(cluster.status)
    return advance(account, CostObservation(now.timestamp(), spec.currency, replicas))


def _read_replica(spec: CostSpec, cluster: ClusterState, pod: Object) -> Replica:
    meta = pod["metadata"]
    runtime = names.runtime_of(pod) or ""
    since = read_time(pod.get("status", {}).get("startTime") or meta.get("creationTimestamp"))
    return Replica(
        runtime=runtime,
        price=find_price(spec, pod, external=is_external(runtime)),
        since=since.timestamp() if since is not None else None,
        usage=cluster.usage.get(str(meta.get("uid", meta["name"]))),
    )


def _occupies_node(pod: Object) -> bool:
    """Say whether a pod has a node and has not ended: one that waits for room costs nothing, one that is stopping costs what it did."""
    status = pod.get("status", {})
    bound = "nodeName" in pod.get("spec", {}) or "startTime" in status
    return status.get("phase") not in _ENDED and (bound or status.get("phase") == "Running")


def find_price(spec: CostSpec, pod: Object, *, external: bool) -> Price:
    """Return what a replica costs: per hour, or per accelerator and hour * its accelerators; of an API elsewhere also its tokens."""
    tokens = spec.external if external else None
    hour = _read(spec.per_replica_hour)
    if spec.per_accelerator_hour is not None:
        hour = _read(spec.per_accelerator_hour) * count_pod_accelerators(pod)
    return Price(
        replica_hour=hour,
        prompt_million=_read(tokens.prompt_per_million_tokens if tokens else None),
        output_million=_read(tokens.output_per_million_tokens if tokens else None),
    )


def count_pod_accelerators(pod: Object) -> int:
    """Return the accelerators of a pod: the largest number of one kind, so that network cards beside them do not count.

    >>> count_pod_accelerators({"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "8", "rdma/hca": "1"}}}, {}]}})
    8
    """
    kinds: dict[str, int] = {}
    for container in pod.get("spec", {}).get("containers", []):
        for name, count in count_accelerators(container.get("resources") or {}).items():
            kinds[name] = kinds.get(name, 0) + count
    return max(kinds.values(), default=0)


def _read(amount: str | None) -> Decimal:
    return read_amount(amount or "0")
