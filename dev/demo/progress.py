"""Waits for an LLMDeployment with a line per change, and explains why one does not get ready."""

import sys
import time
from collections.abc import Callable, Mapping

from dev.cluster.stages import StageError
from dev.demo.kube import Kube, KubeError, Object

OWNER = "llmdeployment.dev/name"
LOG_LINES = 15
EVENTS = 15
PODS = 6
POINTER = "condition Ready says"
"""What the message of a condition has that leaves the sentence to Ready."""


def wait_ready(kube: Kube, name: str, seconds: float, say: Callable[[str], None]) -> None:
    """Wait until the LLMDeployment is Ready for its newest generation.

    Raises:
        StageError: it is not Ready within `seconds`.
    """
    started, known = time.monotonic(), dict[str, str]()
    while True:
        found = kube.get("llm", name)
        if found is None:
            raise StageError(
                f"the LLMDeployment {name} does not exist (any more)",
                advice="start over with `make demo`",
            )
        for line in _find_changes(_describe(kube, found), known):
            say(f"{time.monotonic() - started:7.1f} s  {line}")
        if is_ready(found):
            return
        if time.monotonic() - started > seconds:
            raise StageError(f"{name} is not Ready after {seconds:.0f} s")
        time.sleep(0.5)  # why: polling


def is_ready(found: Object) -> bool:
    """Return whether an LLMDeployment is Ready for its newest generation."""
    ready = find_condition(found, "Ready")
    return (
        ready.get("status") == "True"
        and ready.get("observedGeneration") == found["metadata"]["generation"]
    )


def find_condition(found: Object, kind: str) -> dict[str, str]:
    """Return a condition, or an empty dict if there is none."""
    conditions: list[dict[str, str]] = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def find_message(found: Object, kind: str) -> str:
    """Return what a condition says. The operator says it once: in Ready, where the others point to that."""
    message = find_condition(found, kind).get("message", "")
    if POINTER in message:
        return find_condition(found, "Ready").get("message", "")
    return message


def explain(kube: Kube, name: str) -> None:
    """Print conditions, events, pods and logs of an LLMDeployment that does not get ready. Reads no Secret."""
    _print_section("conditions")
    for each in (kube.get("llm", name) or {}).get("status", {}).get("conditions", []):
        _print_line(f"{each['type']}={each['status']} {each['reason']}: {each.get('message', '')}")
    _print_section("events")
    _show(kube, "get", "events", "--sort-by=.lastTimestamp", last=EVENTS)
    _print_section("pods")
    _show(kube, "get", "pods", "--output=wide")
    pods = kube.all("pods", f"{OWNER}={name}")
    troubled = [pod for pod in pods if not _is_pod_ready(pod)] or pods
    for pod in troubled[:PODS]:
        pod_name = pod["metadata"]["name"]
        _print_section(f"end of the log of {pod_name}")
        options = ["--all-containers", f"--tail={LOG_LINES}", "--ignore-errors"]
        _show(kube, "logs", pod_name, *options)
    _print_section("end of the operator's log")
    _show(
        kube.system, "logs", "--selector=app.kubernetes.io/name=llmdeployment-operator", "--tail=15"
    )


def _describe(kube: Kube, found: Object) -> dict[str, tuple[str, str]]:
    """Return the state and what to say beside it, by the name of their condition or pod."""
    now = {}
    for each in found.get("status", {}).get("conditions", []):
        state = f"{each['type']}={each['status']} ({each['reason']})"
        message = each.get("message", "")
        now[each["type"]] = (state, "" if POINTER in message else message)
    for pod in kube.all("pods", f"{OWNER}={found['metadata']['name']}"):
        state = f"pod {pod['metadata']['name']}: {_describe_pod(pod)}"
        now[pod["metadata"]["name"]] = (state, "")
    return now


def _find_changes(now: Mapping[str, tuple[str, str]], known: dict[str, str]) -> list[str]:
    """Return a line for each changed state, with a message once: it may count seconds, and stand in several conditions."""
    lines, said = [], set[str]()
    for key, (state, message) in now.items():
        if known.get(key) == state:
            continue
        lines.append(f"{state}: {message}" if message and message not in said else state)
        said.add(message)
        known[key] = state
    return lines


def _is_pod_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _describe_pod(pod: Object) -> str:
    if _is_pod_ready(pod):
        return "ready"
    status = pod.get("status", {})
    containers = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    waiting = [each.get("state", {}).get("waiting", {}).get("reason") for each in containers]
    phase: str = status.get("phase", "Pending")
    return next((reason for reason in waiting if reason), phase)


def _print_section(title: str) -> None:
    print(f"\n--- {title}", file=sys.stderr)


def _print_line(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


def _show(kube: Kube, *arguments: str, last: int = 40) -> None:
    try:
        lines = kube.run(*arguments).splitlines()
    except KubeError as error:
        lines = [str(error)]
    for text in lines[-last:]:
        _print_line(text)
