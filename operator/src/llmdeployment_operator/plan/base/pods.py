"""What a pod that is not ready says about why."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.reasons import Finding, Reason

_PULL = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_INSUFFICIENT = re.compile(r"Insufficient ([\w.-]+/[\w.-]*\w)")
_LAST_LINES = 5


@dataclass(frozen=True)
class Capacity:
    """How much of an extended resource the cluster has, and how much of it pods have taken.

    `partial` says that pods of other namespaces could not be seen, so that less may be free.
    """

    total: int
    taken: int
    partial: bool


def sum_capacity(
    nodes: Iterable[Object], running: Iterable[Object], asking: Iterable[Object], *, partial: bool
) -> dict[str, Capacity]:
    """Return what there is of every extended resource that nodes have or pods ask for.

    Args:
        nodes: all of them.
        running: the pods that may have taken some.
        asking: pods whose resources are told of even if no node has any.
        partial: whether there are pods that could not be seen.

    >>> def pod(**s): return {"spec": {"containers": [{"resources": {"limits": {"x/gpu": "2"}}}], **s}, "status": {"phase": "Running"}}
    >>> sum_capacity([{"status": {"allocatable": {"cpu": "8", "x/gpu": "4"}}}], [pod(nodeName="n"), pod()], [], partial=False)
    {'x/gpu': Capacity(total=4, taken=2, partial=False)}
    """
    total: Counter[str] = Counter()
    for node in nodes:
        total.update(_extended(node.get("status", {}).get("allocatable", {})))
    taken: Counter[str] = Counter()
    for pod in running:
        live = pod.get("status", {}).get("phase") in {"Pending", "Running"}
        if live and pod["spec"].get("nodeName"):
            for limits in _limits(pod):
                taken.update(_extended(limits))
    asked = {name for pod in asking for limits in _limits(pod) for name in _extended(limits)}
    return {name: Capacity(total[name], taken[name], partial) for name in total.keys() | asked}


def _limits(pod: Object) -> list[Mapping[str, Any]]:
    return [c.get("resources", {}).get("limits", {}) for c in pod["spec"]["containers"]]


def _extended(amounts: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(amount) for name, amount in amounts.items() if "/" in name}


def is_ready(pod: Object) -> bool:
    """Say whether the pod is ready and not on its way out."""
    return not is_terminating(pod) and _find_condition(pod, "Ready").get("status") == "True"


def is_terminating(pod: Object) -> bool:
    """Say whether the pod has been told to go."""
    return "deletionTimestamp" in pod["metadata"]


def running_since(pod: Object) -> datetime | None:
    """Return since when all of the pod's containers run and its readiness is what it is, or None when one does not run."""
    containers = pod.get("status", {}).get("containerStatuses", [])
    starts = [c.get("state", {}).get("running", {}).get("startedAt") for c in containers]
    if not starts or None in starts:
        return None
    changed = _find_condition(pod, "Ready").get("lastTransitionTime")
    return max(datetime.fromisoformat(at) for at in [*starts, changed] if at is not None)


def check_pod(pod: Object, capacity: Mapping[str, Capacity]) -> Finding | None:
    """Return what keeps a pod from running its containers, or None when they run.

    Args:
        pod: a pod that is not ready.
        capacity: what the cluster has of extended resources, as far as it is known.
    """
    name = pod["metadata"]["name"]
    scheduled = _find_condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _check_scheduling(name, scheduled, pod, capacity)
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind, []):
            if (found := _check_container(name, container)) is not None:
                return found
    running = [c for c in status.get("containerStatuses", []) if "running" in c.get("state", {})]
    if not running:
        since = pod["metadata"].get("creationTimestamp", "")
        return Finding(
            Reason.STARTING_PODS,
            f"pod {name} is starting since {since}: its image may still be on its way",
        )
    return None


def check_pods(pods: Iterable[Object], capacity: Mapping[str, Capacity]) -> Finding | None:
    """Return the worst finding among pods that are not ready: what waiting will not mend comes first."""
    found = [
        finding
        for pod in pods
        if not is_ready(pod) and not is_terminating(pod)
        if (finding := check_pod(pod, capacity)) is not None
    ]
    ordinary = (Reason.STARTING_PODS, Reason.FETCHING_MODEL)
    return next((f for f in found if f.reason not in ordinary), found[0] if found else None)


def waits_for_extended_resource(pods: Iterable[Object]) -> bool:
    """Say whether the cluster's capacity is worth reading for the sake of a pod's message."""
    return any(
        _INSUFFICIENT.search(_find_condition(pod, "PodScheduled").get("message", ""))
        for pod in pods
    )


def _check_scheduling(
    name: str, scheduled: Mapping[str, Any], pod: Object, capacity: Mapping[str, Capacity]
) -> Finding:
    message = scheduled.get("message", "the scheduler has not looked at it yet")
    since = scheduled.get("lastTransitionTime", "")
    if (match := _INSUFFICIENT.search(message)) is not None:
        resource = match[1]
        asked = sum(
            int(container.get("resources", {}).get("limits", {}).get(resource, 0))
            for container in pod["spec"]["containers"]
        )
        return Finding(
            Reason.WAITING_FOR_GPU,
            f"pod {name} waits since {since} for {asked} {resource}; {describe_free(resource, capacity)}",
        )
    if "persistentvolumeclaim" in message:
        return Finding(
            Reason.VOLUME_MISSING, f"pod {name} cannot be scheduled since {since}: {message}"
        )
    if "unbound immediate" in message:
        return Finding(
            Reason.STARTING_PODS, f"pod {name} waits since {since} for its volume to be made"
        )
    return Finding(Reason.UNSCHEDULABLE, f"pod {name} cannot be scheduled since {since}: {message}")


def describe_free(resource: str, capacity: Mapping[str, Capacity]) -> str:
    """Return how many of an extended resource are free, for people."""
    known = capacity.get(resource)
    if known is None:
        return "the operator may not read nodes, so how many are free is not known"
    free = max(0, known.total - known.taken)
    seen = " (pods of namespaces this operator does not watch not counted)" if known.partial else ""
    return f"{free} of the cluster's {known.total} are free{seen}"


def _check_container(pod: str, container: Mapping[str, Any]) -> Finding | None:
    name = container["name"]
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return Finding(Reason.IMAGE_PULL_FAILED, f"pod {pod}: {waiting.get('message', reason)}")
    if reason in _CONFIG:
        return Finding(
            Reason.POD_CONFIG_ERROR,
            f"pod {pod}, container {name}: {waiting.get('message', reason)}",
        )
    if name == "fetch-model":
        return _check_fetch(pod, container, ended)
    failed = (
        ended
        and not container.get("ready")
        and "running" not in state
        and ended.get("exitCode", 0) != 0
    )
    if failed and ended.get("reason") == "OOMKilled":
        return Finding(
            Reason.OUT_OF_MEMORY, f"pod {pod}: container {name} was killed at its memory limit"
        )
    if failed:
        count = container.get("restartCount", 0)
        return Finding(
            Reason.CRASH_LOOP,
            f"pod {pod}: container {name} ended with exit code {ended['exitCode']}, {count} restarts: {_extract_tail(ended)}",
        )
    return None


def _check_fetch(
    pod: str, container: Mapping[str, Any], ended: Mapping[str, Any]
) -> Finding | None:
    state = container.get("state", {})
    if state.get("terminated", {}).get("exitCode") == 0:
        return None
    if ended.get("exitCode", 0) != 0:
        return Finding(Reason.MODEL_UNAVAILABLE, f"pod {pod}: {_extract_tail(ended)}")
    if "running" in state:
        since = state["running"].get("startedAt", "")
        return Finding(Reason.FETCHING_MODEL, f"pod {pod} downloads the model since {since}")
    return None


def _extract_tail(ended: Mapping[str, Any]) -> str:
    lines = [
        line.strip()
        for line in str(ended.get("message") or "it printed nothing").splitlines()
        if line.strip()
    ]
    return " | ".join(lines[-_LAST_LINES:])[:800]


def _find_condition(pod: Object, kind: str) -> Mapping[str, Any]:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c.get("type") == kind), {})
