"""How far a runtime and the gateway are, as a chain of small checks: the first that finds something names the stage."""

import re

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.external import check_external, is_external
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.base.pods import (
    check_pods,
    is_ready,
    is_terminating,
    read_time,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.ray_serve import ServeState

_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})
_SELF_TEST = re.compile(r"(?P<sentence>the self-test failed on pod (?P<pod>[^:\s]+):.*)")
_NO_PLACE = frozenset({Reason.WAITING_FOR_GPU, Reason.UNSCHEDULABLE, Reason.FAILED_CREATE})


def select_pods(cluster: ClusterState, component: str, runtime: str | None = None) -> list[Object]:
    """Return the pods of a component, of one runtime if it is given."""
    wanted = {names.COMPONENT: component} | ({names.RUNTIME: runtime} if runtime else {})
    return [p for p in cluster.pods if wanted.items() <= p["metadata"].get("labels", {}).items()]


def count_ready(cluster: ClusterState, runtime: str) -> int:
    """Return how many of a runtime's worker pods answer."""
    return sum(1 for pod in select_pods(cluster, "worker", runtime) if is_ready(pod))


def find_ready_head(cluster: ClusterState, runtime: str) -> Object | None:
    """Return the head pod that answers, if there is one."""
    return next((pod for pod in select_pods(cluster, "head", runtime) if is_ready(pod)), None)


def are_routes_applied(cluster: ClusterState, routes_hash: str) -> bool:
    """Say whether there are gateways and all of them route by these routes."""
    ready = {pod["metadata"]["name"] for pod in select_pods(cluster, "gateway") if is_ready(pod)}
    return bool(ready) and ready <= {
        g.pod for g in cluster.gateways if g.routes_hash == routes_hash
    }


def count_live_workers(cluster: ClusterState, runtime: str) -> int:
    """Return how many worker pods a runtime has, those on their way out not counted."""
    return sum(1 for pod in select_pods(cluster, "worker", runtime) if not is_terminating(pod))


def check_runtime(cluster: ClusterState, runtime: str, replicas: int) -> Finding | None:
    """Return what a runtime still lacks to answer with all its replicas, or None."""
    ready = count_ready(cluster, runtime)
    if ready >= replicas:
        return None
    if is_external(runtime):
        pods = select_pods(cluster, "worker", runtime)
        return check_external(pods, cluster.capacity, ready, replicas)
    return (
        _check_head(cluster, runtime)
        or check_pods(select_pods(cluster, "worker", runtime), cluster.capacity, cluster.fetches)
        or _check_creation(cluster, runtime)
        or _check_self_test(cluster, runtime)
        or _check_serve(cluster.serve.get(runtime))
        or _describe_loading(cluster, runtime, ready, replicas)
    )


def check_placement(cluster: ClusterState, runtime: str) -> Finding | None:
    """Return why a worker pod that was ordered is on no node; None when none is refused one."""
    pods = check_pods(select_pods(cluster, "worker", runtime), cluster.capacity)
    found = (pods, _check_creation(cluster, runtime))
    return next((each for each in found if each is not None and each.reason in _NO_PLACE), None)


def check_gateway(cluster: ClusterState, routes_hash: str, service: str) -> Finding | None:
    """Return what the gateway lacks to route to a service by the current routes, or None."""
    pods = select_pods(cluster, "gateway")
    if (found := check_pods(pods, cluster.capacity)) is not None and not any(map(is_ready, pods)):
        return found
    ready = {p["metadata"]["name"] for p in pods if is_ready(p)}
    if not ready:
        return Finding(Reason.STARTING_GATEWAY, "No gateway pod is ready yet.")
    if silent := sorted(ready - {gateway.pod for gateway in cluster.gateways}):
        return Finding(
            Reason.STARTING_GATEWAY, f"Gateway pod {silent[0]} has not answered the operator yet."
        )
    applied = {gateway.pod for gateway in cluster.gateways if gateway.routes_hash == routes_hash}
    if late := sorted(ready - applied):
        return Finding(
            Reason.STARTING_GATEWAY,
            f"Gateway pod {late[0]} has not applied the current routes yet.",
        )
    if blind := sorted(g.pod for g in cluster.gateways if g.up.get(service, 0) == 0):
        return Finding(
            Reason.STARTING_GATEWAY, f"Gateway pod {blind[0]} reaches no replica of {service} yet."
        )
    return None


def _check_creation(cluster: ClusterState, runtime: str) -> Finding | None:
    """Return why the Deployment of a runtime's workers may not make a pod, by its condition ReplicaFailure."""
    deployments = (
        obj
        for (kind, _), obj in cluster.children.items()
        if kind == Kind.DEPLOYMENT and names.runtime_of(obj) == runtime
    )
    conditions = (
        each for obj in deployments for each in obj.get("status", {}).get("conditions", [])
    )
    refused = ("ReplicaFailure", "True", "FailedCreate")
    for each in conditions:
        if (each["type"], each["status"], each.get("reason")) == refused:
            text = join_sentences(
                f"The cluster refuses to create a pod. It says: {each.get('message', '(nothing)')}",
                "Raise the quota or change the admission policy that it names.",
            )
            return Finding(Reason.FAILED_CREATE, text)
    return None


def _check_head(cluster: ClusterState, runtime: str) -> Finding | None:
    heads = [pod for pod in select_pods(cluster, "head", runtime) if not is_terminating(pod)]
    if not heads:
        return Finding(Reason.STARTING_RAY, "The pod of the Ray head does not exist yet.")
    if (found := check_pods(heads, cluster.capacity)) is not None:
        return found
    if not any(map(is_ready, heads)):
        return Finding(
            Reason.STARTING_RAY,
            f"The Ray head {heads[0]['metadata']['name']} is starting.",
            read_time(heads[0]["metadata"].get("creationTimestamp")),
        )
    return None


def _check_self_test(cluster: ClusterState, runtime: str) -> Finding | None:
    """Return which replica computes wrongly; Ray Serve has the message of its self-test."""
    state = cluster.serve.get(runtime)
    found = _SELF_TEST.search(state.message) if state is not None else None
    if found is None:
        return None
    pods = select_pods(cluster, "worker", runtime)
    # A long name is cut in the container.
    mine = next((p for p in pods if p["metadata"]["name"].startswith(found["pod"])), {})
    node = mine.get("spec", {}).get("nodeName")
    text = join_sentences(
        f"A replica computes wrongly and gets no requests. It says: {found['sentence']}",
        f"The pod is on node {node}. Check its accelerator or CPU, and delete the pod to try another node."
        if node
        else "",
        "If all replicas say so, correct spec.engine.args or the image. "
        "spec.engine.selfTest.enabled: false serves without the test.",
    )
    return Finding(Reason.SELF_TEST_FAILED, text)


def _check_serve(state: ServeState | None) -> Finding | None:
    if state is None or state.error or state.config is None:
        error = f"The last error: {state.error}" if state is not None and state.error else ""
        return Finding(Reason.STARTING_RAY, join_sentences("Ray Serve is starting.", error))
    if state.status in _FAILED and state.message:
        text = join_sentences(
            f"The engine fails in a replica. It says: {state.message}",
            "Check spec.engine.args, spec.model.source and spec.resources.",
        )
        return Finding(Reason.ENGINE_FAILED, text)
    return None


def _describe_loading(cluster: ClusterState, runtime: str, ready: int, replicas: int) -> Finding:
    waiting = [
        p
        for p in select_pods(cluster, "worker", runtime)
        if not is_ready(p) and not is_terminating(p)
    ]
    since = min((p["metadata"].get("creationTimestamp", "") for p in waiting), default="")
    message = f"{ready} of {replicas} replicas are ready. The others are loading the model."
    state = cluster.serve.get(runtime)
    if state is not None and state.message:
        message = join_sentences(message, f"Ray Serve says: {state.message}")
    return Finding(Reason.LOADING_MODEL, message, read_time(since))
