"""The conditions of an LLMDeployment.

`Available` says whether requests are answered at all, by whichever revision. `Ready` says whether the newest spec is fully
rolled out. The others say what the operator is doing about the difference.

Ready, Progressing and Degraded are derived from the same findings, so they cannot contradict each other:

| | Accepted | Progressing | Ready | Degraded |
|---|---|---|---|---|
| the spec cannot be acted on | False | False | False | False |
| the current generation is coming up | True | True | False | False |
| it cannot come up without somebody's help | True | True | False | True |
| the current generation was rolled back | True | False | False | True |
| nothing is asked to serve | True | False | False | False |
| no request, so that autoscaling keeps no replica | True | False | True | False |
| it serves, all replicas are ready | True | False | True | False |
| it serves, more replicas are coming | True | True | True | False |
| it serves, something is wrong | True | False | True | True |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.plan.base.reasons import HEALS_BY_WAITING, Finding, Reason


@dataclass(frozen=True)
class Condition:
    """One condition before it is merged with what the object already says; a status of None is Unknown."""

    type: str
    status: bool | None
    reason: Reason
    message: str = ""


def build_refused(finding: Finding) -> list[Condition]:
    """Return the conditions of a spec that cannot be acted on."""
    return [
        Condition("Accepted", False, finding.reason, finding.message),
        Condition(
            "Progressing",
            False,
            finding.reason,
            "The operator changes nothing until this is resolved.",
        ),
        Condition("Ready", False, finding.reason, finding.message),
        Condition("Degraded", False, finding.reason),
        Condition(
            "Available",
            None,
            finding.reason,
            "The operator does not check while the spec is refused. What served before keeps serving.",
        ),
    ]


def build_accepted(serving: bool, finding: Finding | None, message: str) -> list[Condition]:  # noqa: FBT001  reason=the first column of the table above
    """Return the conditions of an accepted spec.

    Args:
        serving: a request through the gateway is answered by the current generation.
        finding: what is not as the spec says, if anything.
        message: what is served, for the Ready condition.
    """
    stage = finding or Finding(Reason.SERVING, message)
    resting = stage.reason is Reason.SCALED_TO_ZERO
    still = resting or stage.reason is Reason.ROLLED_BACK
    waits = stage.reason in HEALS_BY_WAITING
    ready = Finding(Reason.SERVING, message) if serving and not resting else stage
    fine = finding is None or waits or resting
    trouble = Finding(Reason.AS_EXPECTED, "") if fine else stage
    return [
        Condition("Accepted", True, Reason.ACCEPTED),
        Condition("Progressing", not still and (waits or not serving), stage.reason, stage.message),
        Condition("Ready", serving, ready.reason, ready.message),
        Condition("Degraded", not fine, trouble.reason, trouble.message),
    ]


def build_paused(conditions: list[Condition]) -> list[Condition]:
    """Return the conditions of an object that is left alone: what is true of it, and that nothing moves."""
    still = Condition(
        "Progressing",
        False,
        Reason.PAUSED,
        "spec.paused is true. The operator changes nothing until it is false.",
    )
    return [still if condition.type == "Progressing" else condition for condition in conditions]


def merge_conditions(
    conditions: list[Condition], previous: list[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions as status holds them: a transition time moves only when the status does."""
    before = {condition.get("type"): condition for condition in previous}
    return [
        _format_condition(c, before.get(c.type), generation, format_time(now)) for c in conditions
    ]


def find_transitions(
    conditions: list[dict[str, Any]], previous: list[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the conditions whose status or reason changed: those worth an Event."""
    before = {condition.get("type"): condition for condition in previous}
    return [c for c in conditions if _summarize(c) != _summarize(before.get(c["type"], {}))]


def format_time(now: datetime) -> str:
    """Return a time as the API writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _summarize(condition: Mapping[str, Any]) -> tuple[Any, Any]:
    return condition.get("status"), condition.get("reason")


def _format_condition(
    condition: Condition, before: Mapping[str, Any] | None, generation: int, time: str
) -> dict[str, Any]:
    status = {True: "True", False: "False", None: "Unknown"}[condition.status]
    kept = before is not None and before.get("status") == status
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason.value,
        "message": condition.message[:1024],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if kept and before is not None else time,
    }
