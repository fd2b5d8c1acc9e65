"""An LLMDeployment's arms, as its status describes them.

Reads leniently: leaves out what an operator of another version wrote there, and raises no error for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_cli.errors import Refusal

Object = dict[str, Any]
"""An object of the Kubernetes API, as JSON."""


@dataclass(frozen=True)
class Arm:
    """One arm's rollout.

    Attributes:
        name: its name; `main` where none is named.
        weight: its share of all requests, in percent.
        stable: the revision that serves.
        canary: the revision on its way, or None.
        leaving: whether the canary is being rolled back.
        canary_weight: the canary's share of the arm's requests, in percent.
        canary_ready: replicas of the canary that were ready, at most.
        step: the canary's step, from 1.
        steps: how many there are, the promotion being the last.
        since: when every gateway had applied the step's weight.
        attempt: how often this canary was started.
        rejected: `revision`, `attempt`, `at`, `message` of the revision that was rolled back, or None.
        warm: `revision` and `until` of the revisions that are kept warm.
        analysis: `result`, `message`, `requestsLeft`, `metrics`, or None.
    """

    name: str
    weight: int = 100
    stable: int | None = None
    canary: int | None = None
    leaving: bool = False
    canary_weight: int = 0
    canary_ready: int = 0
    step: int = 1
    steps: int = 1
    since: str | None = None
    attempt: int = 1
    rejected: Mapping[str, Any] | None = None
    warm: tuple[Mapping[str, Any], ...] = field(default=())
    analysis: Mapping[str, Any] | None = None


def get_name(deployment: Object) -> str:
    """Return the name of an object."""
    return str(deployment["metadata"]["name"])


def read_annotation(deployment: Object, name: str) -> dict[str, str]:
    """Return the values of the annotation `llmdeployment.dev/<name>`, by revision.

    >>> read_annotation({"metadata": {"annotations": {"llmdeployment.dev/promote": "3/2, 4"}}}, "promote")
    {'3': '3/2', '4': '4'}
    """
    found = (deployment["metadata"].get("annotations") or {}).get(f"llmdeployment.dev/{name}", "")
    values = (value.strip() for value in str(found).split(","))
    return {value.split("/")[0]: value for value in values if value}


def read_arms(deployment: Object) -> tuple[Arm, ...]:
    """Return the arms in the status, in its order; none before the operator's first pass over the object.

    >>> read_arms({"spec": {}, "status": {"arms": [{"name": "main", "stable": 3}]}})[0].stable
    3
    """
    rollout = deployment.get("spec", {}).get("rollout") or {}
    steps = len(rollout.get("steps") or ()) + 1
    rows = (deployment.get("status") or {}).get("arms") or ()
    return tuple(_read_arm(row, steps) for row in rows)


def find_arm(deployment: Object, name: str | None) -> Arm:
    """Return the arm of a name; without a name the only one, or the only one with a canary.

    Raises:
        Refusal: no arm matches, or more than one.
    """
    arms = read_arms(deployment)
    if not arms:
        raise Refusal(
            f"{get_name(deployment)} has no rollout yet. Either the operator has not seen it, or it refused the spec. "
            f"`kubectl llm status {get_name(deployment)}` shows which."
        )
    if name is not None:
        found = [arm for arm in arms if arm.name == name]
        if not found:
            known = ", ".join(arm.name for arm in arms)
            raise Refusal(f"{get_name(deployment)} has no arm {name}. Its arms are: {known}.")
        return found[0]
    moving = [arm for arm in arms if arm.canary is not None]
    if len(arms) > 1 and len(moving) != 1:
        known = ", ".join(arm.name for arm in moving or arms)
        raise Refusal(f"{get_name(deployment)} has several arms. Choose one with --arm: {known}.")
    return moving[0] if moving else arms[0]


def _read_arm(row: Mapping[str, Any], steps: int) -> Arm:
    return Arm(
        name=str(row.get("name", "main")),
        weight=int(row.get("weight", 100)),
        stable=row.get("stable"),
        canary=row.get("canary"),
        leaving="canary" in row and "step" not in row,
        canary_weight=int(row.get("canaryWeight") or 0),
        canary_ready=int(row.get("canaryReady") or 0),
        step=int(row.get("step") or 1),
        steps=steps,
        since=row.get("stepStartedAt"),
        attempt=int(row.get("attempt") or 1),
        rejected=row.get("rejected"),
        warm=tuple(row.get("warm") or ()),
        analysis=row.get("analysis"),
    )
