"""The conditions of an LLMDeployment.

`Accepted`: the operator can act on the spec. `Progressing`: the operator is at work, or waits for something. `Ready`: the newest spec
is fully rolled out. `Degraded`: something is wrong that does not heal by waiting. `Stalled`: the newest spec does not get further until
somebody acts (kstatus, which Flux and Helm 4 use, calls it Failed). `Available`: requests are answered, by whichever revision.

Progressing, Ready, Degraded and Stalled are derived from the same finding, so they cannot contradict each other:

| | Accepted | Progressing | Ready | Degraded | Stalled |
|---|---|---|---|---|---|
| the operator cannot act on the spec | False | False | False | Unknown | True |
| the API server refuses a write of it | False | False | False | Unknown | False |
| the current generation is starting | True | True | False | False | False |
| it cannot start without somebody's help, for less than a minute | True | True | False | True | False |
| for longer | True | False | False | True | True |
| the current generation was rolled back | True | False | False | True | True |
| no replica is asked for | True | False | True | False | False |
| there is no request, so autoscaling keeps no replica | True | False | True | False | False |
| the spec changed while no replica is asked for | True | False | False | False | False |
| it serves, and all replicas are ready | True | False | True | False | False |
| it serves, and more replicas are starting | True | True | True | False | False |
| it serves, and something is wrong | True | False | True | True | False |

The finding's sentence stands in one of them: in Ready while that is False, else in Degraded or in Progressing. The others point to it.

Unknown means that the operator does not observe what the condition is about, as in the Kubernetes API conventions. It never stands for
"not yet", which is False:

| | Available | Degraded |
|---|---|---|
| the operator cannot act on the spec, so it observes nothing | Unknown | Unknown |
| replicas and gateway pods are ready, and no gateway pod answers the operator | Unknown | as above |
| replicas are ready, and no controller has answered for the HTTPRoute | Unknown | as above |

`Scaling`, which exists with `spec.scaling` only, is False while a ready replica's metrics are missing, as ScalingActive of a
HorizontalPodAutoscaler is: the operator knows that it cannot scale down.

`BudgetExceeded`, which exists with `spec.cost.monthlyBudget` only, is True once all of the month's budget is spent. It stops nothing.

`RequestLog`, which exists with `spec.monitoring.requestLog` only, is False while lines are not written as the spec says: dropped, without
their content, or with nothing to write to. Requests are answered all the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from llmdeployment_operator.api.status import ConditionStatus
from llmdeployment_operator.plan.base.reasons import Finding, Reason, heals_by_waiting

_STATUSES: dict[bool | None, Literal["True", "False", "Unknown"]] = {
    True: "True",
    False: "False",
    None: "Unknown",
}
_UNOBSERVED = (
    "The operator does not check while it cannot act on the spec. What served before keeps serving."
)


STALLED_SECONDS = 60
"""How long something that needs somebody's help must last before it is Stalled: a registry may stumble, and a Secret may be applied a
moment after what refers to it."""
_ACT = "Nothing goes on until somebody acts on what the condition Ready says."
_WAITS = "The condition Ready says what it waits for."
_WRONG = "The condition Ready says what is wrong."
_RETRIED = "The operator tries again by itself."
_RESTS = "The operator has nothing to do."
_FINE = "Nothing is wrong."


@dataclass(frozen=True)
class Condition:
    """One condition before it is merged with what the object already says; a status of None is Unknown."""

    type: str
    status: bool | None
    reason: Reason
    message: str = ""


def build_refused(finding: Finding) -> list[Condition]:
    """Return the conditions of a spec that cannot be acted on."""
    retried = finding.reason in {Reason.API_ERROR, Reason.OPERATOR_ERROR}
    return [
        Condition(
            "Accepted",
            False,
            finding.reason,
            "The operator cannot act on the spec. The condition Ready says why.",
        ),
        Condition(
            "Progressing",
            False,
            finding.reason,
            "The operator changes nothing until this is resolved.",
        ),
        Condition("Ready", False, finding.reason, finding.message),
        Condition("Degraded", None, finding.reason, _UNOBSERVED),
        Condition("Stalled", not retried, finding.reason, _RETRIED if retried else _ACT),
        Condition("Available", None, finding.reason, _UNOBSERVED),
    ]


def build_accepted(
    serving: bool,  # noqa: FBT001  # because it is the first column of the table above
    finding: Finding | None,
    message: str,
    now: datetime,
    troubled_since: datetime | None = None,
) -> list[Condition]:
    """Return the conditions of an accepted spec.

    Args:
        serving: a request through the gateway is answered by the current generation, or by no replica as none is asked for.
        finding: what is not as the spec says, if anything.
        message: what serves, for the Ready condition.
        now: the current time, UTC; some findings heal by waiting only for so long.
        troubled_since: when Degraded became True, if it is.
    """
    stage = finding or Finding(Reason.SERVING, message)
    resting = stage.reason is Reason.SCALED_TO_ZERO
    waits = finding is not None and heals_by_waiting(finding, now)
    fine = finding is None or waits or resting
    stuck = not serving and not fine
    stalled = stuck and (stage.reason is Reason.ROLLED_BACK or _has_lasted(troubled_since, now))
    ready = Finding(Reason.SERVING, message) if serving and not resting else stage
    waited, wrong = (stage.message, stage.message) if serving else (_WAITS, _WRONG)
    moves = waits or (stuck and not stalled)
    rests = _ACT if stalled else _RESTS
    trouble = Finding(Reason.AS_EXPECTED, _FINE) if fine else Finding(stage.reason, wrong)
    needs = Finding(stage.reason, _ACT) if stalled else Finding(Reason.AS_EXPECTED, _FINE)
    return [
        Condition("Accepted", True, Reason.ACCEPTED, "The operator can act on the spec."),
        Condition("Progressing", moves, stage.reason, waited if moves else rests),
        Condition("Ready", serving, ready.reason, ready.message),
        Condition("Degraded", not fine, trouble.reason, trouble.message),
        Condition("Stalled", stalled, needs.reason, needs.message),
    ]


def _has_lasted(since: datetime | None, now: datetime) -> bool:
    return since is not None and (now - since).total_seconds() >= STALLED_SECONDS


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
    conditions: Iterable[Condition],
    previous: Iterable[ConditionStatus],
    generation: int,
    now: datetime,
) -> tuple[ConditionStatus, ...]:
    """Return the conditions as status holds them: a transition time moves only when the status does."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        _build_status(c, before.get(c.type), generation, format_time(now)) for c in conditions
    )


def find_transitions(
    conditions: Iterable[ConditionStatus], previous: Iterable[ConditionStatus]
) -> list[ConditionStatus]:
    """Return the conditions whose status or reason changed: those worth an Event."""
    before = {condition.type: (condition.status, condition.reason) for condition in previous}
    return [c for c in conditions if (c.status, c.reason) != before.get(c.type)]


def read_state(conditions: Iterable[ConditionStatus]) -> str:
    """Return the state of an LLMDeployment in one word: ready, progressing, degraded, refused or paused.

    >>> read_state([])
    'progressing'
    """
    found = {each.type: each for each in conditions}
    holds = {kind: each.status == "True" for kind, each in found.items()}
    if not holds.get("Accepted", True):
        return "refused"
    if "Progressing" in found and found["Progressing"].reason == Reason.PAUSED:
        return "paused"
    if holds.get("Degraded"):
        return "degraded"
    return "ready" if holds.get("Ready") else "progressing"


def format_time(now: datetime) -> str:
    """Return a time as the API writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _build_status(
    condition: Condition, before: ConditionStatus | None, generation: int, time: str
) -> ConditionStatus:
    status = _STATUSES[condition.status]
    kept = before is not None and before.status == status
    return ConditionStatus(
        type=condition.type,
        status=status,
        reason=condition.reason.value,
        message=condition.message,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if kept and before is not None else time,
    )
