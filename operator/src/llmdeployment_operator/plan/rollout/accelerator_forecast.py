"""What a change needs of accelerators beside what is in use, against what is free: said before its first pod is made.

It is said, not enforced: an autoscaler adds nodes only for pods that wait.
"""

from dataclasses import replace

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.pods import Capacity, describe_free
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import count_live_workers, select_pods
from llmdeployment_operator.plan.rollout import surge
from llmdeployment_operator.plan.rollout.arms import ArmStep
from llmdeployment_operator.plan.rollout.replicas import DesiredReplicas


def forecast_accelerators(
    deployment: LLMDeployment,
    arm: ArmStep,
    stable: Revision,
    cluster: ClusterState,
    wanted: DesiredReplicas,
    lack: Finding,
) -> Finding:
    """Return what an arm's new revision lacks, with what the change needs of accelerators where that matters.

    Args:
        deployment: the spec.
        arm: whose rollout it is.
        stable: the revision that serves it.
        cluster: the cluster; its capacity is known when a runtime is about to be made, and while a pod waits.
        wanted: how many replicas the requests need.
        lack: what keeps the new revision from answering.
    """
    target = arm.target
    asked = count_accelerators(target.template.get("resources", {}))
    if arm.step.canary != target.number or target.runtime == stable.runtime or not asked:
        return lack
    starts = (Kind.DEPLOYMENT, runtime_names(deployment.metadata.name, target.runtime).name)
    new = starts not in cluster.children
    if not new and lack.reason is not Reason.WAITING_FOR_GPU:
        return lack
    replicas = wanted.of_arm(arm.name, arm.weight)
    max_surge = deployment.spec.rollout.max_surge
    most = replicas if max_surge is None else min(replicas, surge.count_room(max_surge, replicas))
    placed = sum(
        "nodeName" in pod["spec"] for pod in select_pods(cluster, "worker", target.runtime)
    )
    in_use = count_accelerators(stable.template.get("resources", {}))
    workers = count_live_workers(cluster, stable.runtime)
    surging = (
        ""
        if most == replicas
        else f" With spec.rollout.maxSurge {max_surge}, replicas are replaced {most} at a time."
    )
    told = " ".join(
        f"Revision {target.number} needs {_count_needs(most, placed, each)} {name} "
        f"in addition to the {workers * in_use.get(name, 0)} in use.{surging} "
        f"{describe_free(name, cluster.capacity)}"
        f"{_advise(_count_needs(most, placed, each), each, cluster.capacity.get(name), most, replicas, workers * in_use.get(name, 0))}"
        for name, each in sorted(asked.items())
    )
    if new:
        return Finding(Reason.ACCELERATORS_PLANNED, told)
    return replace(lack, message=f"{lack.message} {told}")


def _count_needs(most: int, placed: int, each: int) -> int:
    return max(0, most - placed) * each


def _advise(
    needs: int, each: int, known: Capacity | None, most: int, replicas: int, in_use: int
) -> str:
    r"""Return what to do when fewer are free than are needed; it begins with a space.

    To end what serves is advised only where that makes room for what replaces it.

    >>> print(_advise(4, 1, Capacity(total=10, taken=8, partial=False), 4, 4, 8).replace(", ", ",\n"))
     The rollout waits for 2 more. Free them,
    add nodes,
    set spec.rollout.maxSurge: 2 (replicas are replaced 2 at a time),
    or set spec.rollout.strategy: Recreate (requests wait meanwhile).
    >>> _advise(4, 1, Capacity(total=0, taken=0, partial=False), 4, 4, 0)
    ' The rollout waits for 4 more. Free them, or add nodes.'
    >>> _advise(2, 2, Capacity(total=8, taken=8, partial=False), 1, 4, 8)
    ' The rollout waits for 2 more. Free them, add nodes, or set spec.rollout.strategy: Recreate (requests wait meanwhile).'
    >>> _advise(2, 2, Capacity(total=10, taken=8, partial=False), 1, 4, 8)
    ''
    """
    free = max(0, known.total - known.taken) if known is not None else needs
    if free >= needs:
        return ""
    fit = free // each
    limits = (
        most == replicas and 1 <= fit < replicas and surge.count_room(str(fit), replicas) == fit
    )
    ways = ["Free them", "add nodes"]
    if limits:
        ways.append(f"set spec.rollout.maxSurge: {fit} (replicas are replaced {fit} at a time)")
    if free + in_use >= needs:
        ways.append("set spec.rollout.strategy: Recreate (requests wait meanwhile)")
    told = ", ".join([*ways[:-1], f"or {ways[-1]}"])
    return f" The rollout waits for {needs - free} more. {told}."
