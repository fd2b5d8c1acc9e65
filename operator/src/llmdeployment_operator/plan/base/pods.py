"""What a pod that is not ready says about why."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from llmdeployment_operator.plan.base.drift import parse_quantity
from llmdeployment_operator.plan.base.fetching import (
    ADAPTERS,
    CONTAINER,
    FetchProgress,
    describe_progress,
)
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import join_sentences

_PULL = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_INSUFFICIENT = re.compile(r"Insufficient ([\w.-]+/[\w.-]*\w)")
_TOO_LITTLE = re.compile(r"Insufficient (cpu|memory)\b")
_LAST_LINES = 5
_NONE: Mapping[str, FetchProgress] = {}


@dataclass(frozen=True)
class Capacity:
    """How much of an extended resource the cluster has, and how much of it pods have taken.

    `partial` says that pods of other namespaces could not be seen, so that less may be free. `largest` is the most that is free on
    one node, for cpu (cores) and memory (bytes) alone.
    """

    total: int
    taken: int
    partial: bool
    largest: Decimal | None = None


def sum_capacity(
    nodes: Iterable[Object], running: Iterable[Object], asking: Iterable[Object], *, partial: bool
) -> dict[str, Capacity]:
    """Return what there is of every extended resource that nodes have or pods ask for, and how much cpu and memory a node has free.

    Args:
        nodes: all of them.
        running: the pods that may have taken some.
        asking: pods whose resources are told of even if no node has any.
        partial: whether there are pods that could not be seen.

    >>> def pod(**s): return {"spec": {"containers": [{"resources": {"limits": {"x/gpu": "2"}}}], **s}, "status": {"phase": "Running"}}
    >>> node = {"metadata": {"name": "n"}, "status": {"allocatable": {"x/gpu": "4"}}}
    >>> sum_capacity([node], [pod(nodeName="n"), pod()], [], partial=False)
    {'x/gpu': Capacity(total=4, taken=2, partial=False, largest=None)}
    """
    nodes, running = list(nodes), list(running)
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
    found = {name: Capacity(total[name], taken[name], partial) for name in total.keys() | asked}
    return found | {
        name: Capacity(0, 0, partial, largest)
        for name in ("cpu", "memory")
        if (largest := _find_largest(name, nodes, running)) is not None
    }


def _find_largest(name: str, nodes: list[Object], running: list[Object]) -> Decimal | None:
    """Return the most of cpu or memory that pods have not asked for on any node; None where no node says what it has.

    >>> node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2"}}}
    >>> pod = {"spec": {"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": "500m"}}}]}, "status": {"phase": "Running"}}
    >>> _find_largest("cpu", [node], [pod])
    Decimal('1.500')
    """
    taken: Counter[str] = Counter()
    for pod in running:
        if pod.get("status", {}).get("phase") in {"Pending", "Running"}:
            taken[pod["spec"].get("nodeName", "")] += _sum_requests(pod, name)  # type: ignore[assignment]  # because a Counter of Decimals works
    free = [
        parse_quantity(node["status"]["allocatable"][name]) - taken[node["metadata"]["name"]]
        for node in nodes
        if name in node.get("status", {}).get("allocatable", {})
    ]
    return max(free, default=None)


def _sum_requests(pod: Object, name: str) -> Decimal:
    asked = (
        c.get("resources", {}).get("requests", {}).get(name, 0) for c in pod["spec"]["containers"]
    )
    return sum(map(parse_quantity, asked), Decimal(0))


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


def check_pod(
    pod: Object,
    capacity: Mapping[str, Capacity],
    fetches: Mapping[str, FetchProgress] = _NONE,
) -> Finding | None:
    """Return what keeps a pod from running its containers, or None when they run.

    Args:
        pod: a pod that is not ready.
        capacity: what the cluster has of extended resources, as far as it is known.
        fetches: how far downloads are, by pod.
    """
    name = pod["metadata"]["name"]
    scheduled = _find_condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _check_scheduling(name, scheduled, pod, capacity)
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind, []):
            if (found := _check_container(name, container, fetches.get(name))) is not None:
                return found
    running = [c for c in status.get("containerStatuses", []) if "running" in c.get("state", {})]
    if not running:
        return Finding(
            Reason.STARTING_PODS,
            f"Pod {name} is starting. Its images may still be downloading.",
            read_time(pod["metadata"].get("creationTimestamp")),
        )
    return None


def check_pods(
    pods: Iterable[Object],
    capacity: Mapping[str, Capacity],
    fetches: Mapping[str, FetchProgress] = _NONE,
) -> Finding | None:
    """Return the worst finding among pods that are not ready: what waiting will not mend comes first."""
    found = [
        finding
        for pod in pods
        if not is_ready(pod) and not is_terminating(pod)
        if (finding := check_pod(pod, capacity, fetches)) is not None
    ]
    ordinary = (Reason.STARTING_PODS, Reason.FETCHING_MODEL)
    return next((f for f in found if f.reason not in ordinary), found[0] if found else None)


def waits_for_room(pods: Iterable[Object]) -> bool:
    """Say whether the cluster's capacity is worth reading for the sake of a pod's message."""
    told = [_find_condition(pod, "PodScheduled").get("message", "") for pod in pods]
    return any(_INSUFFICIENT.search(text) or _TOO_LITTLE.search(text) for text in told)


def _check_scheduling(
    name: str, scheduled: Mapping[str, Any], pod: Object, capacity: Mapping[str, Capacity]
) -> Finding:
    message = scheduled.get("message", "it has not considered the pod yet")
    since = read_time(scheduled.get("lastTransitionTime"))
    if (match := _INSUFFICIENT.search(message)) is not None:
        resource = match[1]
        asked = sum(
            int(container.get("resources", {}).get("limits", {}).get(resource, 0))
            for container in pod["spec"]["containers"]
        )
        return Finding(
            Reason.WAITING_FOR_GPU,
            f"Pod {name} is waiting for {asked} {resource}. {describe_free(resource, capacity)} "
            "Free some, or add a node.",
            since,
        )
    room = _describe_room(message, pod, capacity)
    refused = join_sentences(f"Pod {name} cannot be scheduled. {room}The scheduler says: {message}")
    if "persistentvolumeclaim" in message:
        advice = "Create the PersistentVolumeClaim, or correct its name."
        return Finding(Reason.VOLUME_MISSING, f"{refused} {advice}", since)
    if "unbound immediate" in message:
        text = f"Pod {name} is waiting until its volume is provisioned."
        return Finding(Reason.STARTING_PODS, text, since)
    return Finding(Reason.UNSCHEDULABLE, refused, since)


def _describe_room(message: str, pod: Object, capacity: Mapping[str, Capacity]) -> str:
    """Return a sentence with what a pod asks for and what a node has free, for each of cpu and memory that the scheduler names."""
    told = []
    for name in dict.fromkeys(_TOO_LITTLE.findall(message)):
        known = capacity.get(name)
        if known is None or known.largest is None:
            continue
        asked, free = (
            _format_amount(name, each) for each in (_sum_requests(pod, name), known.largest)
        )
        unseen = ", or less" if known.partial else ""
        told.append(f"It asks for {asked} {name}, and no node has more than {free} free{unseen}. ")
    return "".join(told)


def _format_amount(name: str, amount: Decimal) -> str:
    """Return an amount for people.

    >>> _format_amount("cpu", Decimal("0.250")), _format_amount("memory", Decimal(6 * 2**30))
    ('0.25', '6.0Gi')
    """
    amount = max(amount, Decimal(0))
    return f"{amount / 2**30:.1f}Gi" if name == "memory" else f"{float(amount):.3g}"


def describe_free(resource: str, capacity: Mapping[str, Capacity]) -> str:
    """Return a sentence that says how many of an extended resource are free."""
    known = capacity.get(resource)
    if known is None:
        return "How many are free is unknown, because the operator may not read nodes."
    if not known.total:
        return f"No node has any {resource}. Is the device plugin of its vendor installed?"
    free = max(0, known.total - known.taken)
    unseen = (
        ", apart from those of pods in namespaces that this operator does not watch"
        if known.partial
        else ""
    )
    return f"{free} of the cluster's {known.total} are free{unseen}."


def _check_container(
    pod: str, container: Mapping[str, Any], progress: FetchProgress | None
) -> Finding | None:
    name = container["name"]
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        text = join_sentences(
            f"Pod {pod} cannot pull the image of container {name}. The kubelet says: "
            f"{waiting.get('message', reason)}",
            "Check the image's name, its tag and the pull secret.",
        )
        return Finding(Reason.IMAGE_PULL_FAILED, text)
    if reason in _CONFIG:
        text = join_sentences(
            f"Container {name} of pod {pod} cannot be created. The kubelet says: "
            f"{waiting.get('message', reason)}",
            "Create or correct what it names.",
        )
        return Finding(Reason.POD_CONFIG_ERROR, text)
    if name in {CONTAINER, ADAPTERS}:
        return _check_fetch(pod, container, ended, progress)
    failed = (
        ended
        and not container.get("ready")
        and "running" not in state
        and ended.get("exitCode", 0) != 0
    )
    if failed and ended.get("reason") == "OOMKilled":
        return Finding(
            Reason.OUT_OF_MEMORY,
            f"Container {name} of pod {pod} was killed at its memory limit. Raise the limit.",
        )
    if failed:
        text = join_sentences(
            f"Container {name} of pod {pod} ended with exit code {ended['exitCode']}. "
            f"Restarts so far: {container.get('restartCount', 0)}. It said: {_extract_tail(ended)}",
            f"Run kubectl logs {pod} -c {name} --previous for more.",
        )
        return Finding(Reason.CRASH_LOOP, text)
    return None


def _check_fetch(
    pod: str,
    container: Mapping[str, Any],
    ended: Mapping[str, Any],
    progress: FetchProgress | None,
) -> Finding | None:
    state = container.get("state", {})
    what = "the model" if container["name"] == CONTAINER else "adapters"
    if state.get("terminated", {}).get("exitCode") == 0:
        return None
    if ended.get("exitCode", 0) != 0:
        text = join_sentences(
            f"Pod {pod} could not download {what}. It said: {_extract_tail(ended)}"
        )
        return Finding(Reason.MODEL_UNAVAILABLE, text)
    if "running" in state:
        since = read_time(state["running"].get("startedAt"))
        text = f"Pod {pod} is downloading {what}{describe_progress(progress)}"
        return Finding(Reason.FETCHING_MODEL, text, since)
    return None


def _extract_tail(ended: Mapping[str, Any]) -> str:
    lines = [
        line.strip()
        for line in str(ended.get("message") or "(nothing)").splitlines()
        if line.strip()
    ]
    return " | ".join(lines[-_LAST_LINES:])[:800]


def read_time(text: object) -> datetime | None:
    """Return a time that an object tells, or None when it tells none that can be read."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _find_condition(pod: Object, kind: str) -> Mapping[str, Any]:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c.get("type") == kind), {})
