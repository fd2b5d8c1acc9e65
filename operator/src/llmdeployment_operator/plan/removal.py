"""What has to go, and in which order.

A runtime that lost its traffic goes in three steps, each visible in the cluster, so a restart in between loses nothing:
every gateway has applied the routes without it; its worker pods end, each after its last stream; then the rest.
A front door that is not asked for any more stays until the other one routes.
Secrets go before anything else that names the runtime, because the operator finds a runtime by its other objects.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Kind, Object, Ref, Removal
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods


def plan_removals(
    cluster: ClusterState, wanted: AbstractSet[Ref], *, routes_applied: bool
) -> tuple[Removal, ...]:
    """Return the deletions that are safe now.

    Args:
        cluster: the cluster.
        wanted: the objects that should exist.
        routes_applied: whether the front door that is asked for routes by the current routes, everywhere.
    """
    unwanted = [obj for ref, obj in cluster.children.items() if ref not in wanted]
    going = {runtime for obj in unwanted if (runtime := _find_retired(obj, wanted)) is not None}
    safe = [
        obj
        for obj in unwanted
        if _find_retired(obj, wanted) is None and (routes_applied or not _is_front_door(obj))
    ]
    for runtime in sorted(going):
        parts = [obj for obj in unwanted if _find_retired(obj, wanted) == runtime]
        safe += _list_next_step(cluster, runtime, parts, routes_applied=routes_applied)
    ordered = sorted(safe, key=lambda obj: obj["kind"] != Kind.SECRET)
    return tuple(
        Removal(o["kind"], o["metadata"]["name"], o["metadata"]["uid"])
        for o in ordered
        if not _is_going(o)
    )


def _list_next_step(
    cluster: ClusterState, runtime: str, parts: list[Object], *, routes_applied: bool
) -> Iterable[Object]:
    if not routes_applied:
        return []
    workers = [obj for obj in parts if obj["kind"] == Kind.DEPLOYMENT]
    if workers:
        return workers
    return [] if select_pods(cluster, "worker", runtime) else parts


def _find_retired(obj: Object, wanted: AbstractSet[Ref]) -> str | None:
    """Return the runtime an object belongs to, if none of that runtime is wanted any more; records outlive it."""
    runtime = names.runtime_of(obj)
    if runtime is None or obj["kind"] == Kind.CONTROLLER_REVISION:
        return None
    deployment = obj["metadata"]["labels"][names.OWNER]
    kept = (Kind.DEPLOYMENT, names.runtime_names(deployment, runtime).name) in wanted
    return None if kept else runtime


def _is_front_door(obj: Object) -> bool:
    """Say whether an object is of the gateway, or the HTTPRoute: what is neither a runtime's, nor a record, nor an evaluation's."""
    if obj["metadata"]["labels"].get(names.COMPONENT) == names.EVALUATION:
        return False
    return obj["kind"] != Kind.CONTROLLER_REVISION and names.runtime_of(obj) is None


def _is_going(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]
