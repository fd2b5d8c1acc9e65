"""What people are told of autoscaling: the condition Scaling, `status.scaling`, an Event for each decision.

The law looks every two seconds and learns at each look. The status is written when something happens, and once a minute for what was
learned; a reason that comes and goes is told at most every ten seconds.
"""

from dataclasses import dataclass
from datetime import datetime

from llmdeployment_operator.api.rollout import parse_seconds
from llmdeployment_operator.api.scaling import IDLE, ScalingSpec
from llmdeployment_operator.api.status import ScalingDecisionStatus, ScalingStatus, Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.autoscaler.types import ScalingReason
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.durations import format_duration
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.observed.scaling_status import (
    ScalingState,
    build_scaling_status,
    read_scaling_state,
)
from llmdeployment_operator.plan.scaling.runtimes import RuntimeRecommendation, ScalingPlan

LEARNED_SECONDS = 60.0
"""How often what was learned is written: so much an operator that starts again may have to learn anew."""

REASON_SECONDS = 10.0

_REASONS = {
    ScalingReason.DATA_MISSING: (False, Reason.METRICS_UNAVAILABLE),
    ScalingReason.AT_MAXIMUM: (True, Reason.TOO_MANY_REPLICAS),
    ScalingReason.BELOW_MINIMUM: (True, Reason.TOO_FEW_REPLICAS),
    ScalingReason.BEYOND_REACH: (False, Reason.TARGET_OUT_OF_REACH),
}
"""What the law says that is a state, and not a step; in the order in which one is told of several runtimes."""


@dataclass(frozen=True)
class ScalingReport:
    """The condition and the status of autoscaling; neither without `spec.scaling`."""

    condition: Condition | None = None
    row: ScalingStatus | None = None


def report_scaling(
    deployment: LLMDeployment, scaling: ScalingPlan, previous: Status, now: datetime
) -> ScalingReport:
    """Return what is said now: what was said before, as long as nothing happened that is worth a write."""
    spec = deployment.spec.scaling
    if spec is None or scaling.memory is None:
        return ScalingReport()
    condition = _build_condition(deployment, spec, scaling)
    before = _read_previous(previous)
    if before is not None and not _is_news(deployment, scaling, previous, before, condition, now):
        return before
    return ScalingReport(condition, build_scaling_status(scaling.memory, scaling.wanted.total, now))


def _is_news(  # because it compares what is with what was
    deployment: LLMDeployment,
    scaling: ScalingPlan,
    previous: Status,
    before: ScalingReport,
    condition: Condition,
    now: datetime,
) -> bool:
    """Say whether something happened that is worth a write."""
    if before.condition is None or before.row is None or scaling.memory is None:
        return True
    if previous.observed_generation != deployment.metadata.generation:
        return True
    if _extract_substance(scaling.memory) != _extract_substance(read_scaling_state(previous)):
        return True
    other = before.condition.reason is not condition.reason
    if deployment.spec.paused:
        return other
    if not scaling.recommendations:
        # The autoscaler did not decide: it was asked again too soon.
        return False
    age = (now - datetime.fromisoformat(before.row.written_at or "")).total_seconds()
    return not 0 <= age < (REASON_SECONDS if other else LEARNED_SECONDS)


def list_scaling_events(status: Status, previous: Status) -> tuple[Event, ...]:
    """Return an Event for each decision that was not told before."""
    return tuple(
        Event(
            "Normal",
            "ScaledUp" if each.after > each.before else "ScaledDown",
            _write_sentence(each),
        )
        for each in find_new_decisions(status, previous)
    )


def find_new_decisions(status: Status, previous: Status) -> tuple[ScalingDecisionStatus, ...]:
    """Return the decisions of a status that the one before does not have."""
    known = read_scaling_state(previous).decisions
    return tuple(each for each in read_scaling_state(status).decisions if each not in known)


def _write_sentence(record: ScalingDecisionStatus) -> str:
    return (
        f"Runtime {record.runtime} was scaled from {record.before} to {record.after} replicas "
        f"({record.reason}). {record.message}"
    )


def _build_condition(
    deployment: LLMDeployment, spec: ScalingSpec, scaling: ScalingPlan
) -> Condition:
    ends = (
        f"spec.scaling asks for {scaling.wanted.total} replicas, within {spec.min_replicas} to {spec.max_replicas}. "
        "spec.replicas, which kubectl scale writes, has no effect."
    )
    if deployment.spec.paused:
        return Condition("Scaling", False, Reason.PAUSED, f"spec.paused is true. {ends}")
    if scaling.blocked is not None:
        why = f"No more replicas are ordered until the ordered ones have a place. {scaling.blocked.message}"
        return Condition("Scaling", False, scaling.blocked.reason, f"{why} {ends}")
    stands = (_find_standing(each) for each in scaling.recommendations)
    found = next((each for each in stands if each is not None), None)
    if found is not None:
        (status, reason), message = found
        return Condition("Scaling", status, reason, f"{message} {ends}")
    last = scaling.memory.decisions[-1] if scaling.memory and scaling.memory.decisions else None
    recommendations = f" {_write_sentence(last)}" if last is not None else ""
    return Condition("Scaling", True, Reason.SCALING_ACTIVE, f"{ends}{recommendations}")


def _find_standing(
    recommendations: RuntimeRecommendation,
) -> tuple[tuple[bool, Reason], str] | None:
    found = _REASONS.get(recommendations.reason)
    return (found, recommendations.message) if found is not None else None


def _extract_substance(
    memory: ScalingState,
) -> tuple[dict[str, int], tuple[ScalingDecisionStatus, ...]]:
    desired = {runtime: state.desired or 0 for runtime, state in memory.states.items()}
    return desired, memory.decisions


def _read_previous(previous: Status) -> ScalingReport | None:
    """Return what a status says; None when it says nothing, or nothing that can be read."""
    condition = next((each for each in previous.conditions if each.type == "Scaling"), None)
    row = previous.scaling
    if condition is None or row is None or row.written_at is None:
        return None
    try:
        if datetime.fromisoformat(row.written_at).tzinfo is None:
            return None
        reason = Reason(condition.reason)
    except ValueError:
        return None
    return ScalingReport(
        Condition("Scaling", condition.status == "True", reason, condition.message), row
    )


def explain_zero(spec: ScalingSpec) -> Finding:
    """Return what people are told while there is no replica because nobody asks."""
    after = spec.scale_to_zero_after or IDLE
    why = (
        f"No replica is kept, because there was no request for {format_duration(parse_seconds(after))} (spec.scaling). "
        "The gateway holds the next request and a replica starts for it. The Ray head stays."
    )
    return Finding(Reason.SCALED_TO_ZERO, why)
