"""The span of a pass that wrote something or failed: in the trace of the rollout that is under way, else in one of its own."""

from datetime import datetime

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.span import Attribute, Span
from llmdeployment_operator.plan.plan import Plan
from llmdeployment_operator.plan.tracing.identity import (
    make_rollout_id,
    make_span_id,
    make_trace_id,
    name_deployment,
    to_nanoseconds,
)
from llmdeployment_operator.plan.tracing.rollout_spans import find_rollout

MOST_LINES = 20
"""Writes that a span names."""
LINE = 256
"""Characters of each."""

Times = tuple[datetime, datetime]
"""When a pass began and ended."""


def build_pass_span(
    deployment: LLMDeployment, before: Status, plan: Plan, times: Times
) -> Span | None:
    """Return the span of a pass that ended well, or None if it wrote nothing but its status."""
    if not (plan.apply or plan.serve or plan.remove or plan.events):
        return None
    attributes: dict[str, Attribute] = {
        "llmdeployment.pass.applied": len(plan.apply),
        "llmdeployment.pass.declared": len(plan.serve),
        "llmdeployment.pass.removed": len(plan.remove),
        "llmdeployment.pass.writes": tuple(line[:LINE] for line in plan.details[:MOST_LINES]),
        "llmdeployment.pass.events": tuple(
            f"{event.reason}: {event.message}"[:LINE] for event in plan.events[:MOST_LINES]
        ),
    }
    return _build_span(deployment, (before, plan.status or before), times, attributes, "")


def build_failed_span(
    deployment: LLMDeployment, before: Status, error: BaseException, times: Times
) -> Span:
    """Return the span of a pass that ended in an error."""
    kind = type(error).__name__
    return _build_span(
        deployment, (before, before), times, {"error.type": kind}, str(error)[:LINE] or kind
    )


def _build_span(
    deployment: LLMDeployment,
    statuses: tuple[Status, Status],
    times: Times,
    attributes: dict[str, Attribute],
    error: str,
) -> Span:
    uid, (start, end) = deployment.metadata.uid, times
    before, after = statuses
    rollout = find_rollout(deployment, after) or find_rollout(deployment, before)
    if rollout is not None:
        trace_id, parent = rollout.trace_id, rollout.root_id
    elif (starting := _find_starting(after)) is not None:
        trace_id = make_trace_id(uid, starting[1])
        parent = make_rollout_id(trace_id, starting[0], 1)
    else:
        trace_id, parent = make_span_id(uid, "pass", start) * 2, ""
    return Span(
        name="pass",
        trace_id=trace_id,
        span_id=make_span_id(trace_id, "pass", start),
        start=to_nanoseconds(start),
        end=to_nanoseconds(max(start, end)),
        parent_id=parent,
        attributes={**name_deployment(deployment), **attributes},
        error=error,
    )


def _find_starting(status: Status) -> tuple[str, int] | None:
    """Return the arm and the number of a revision that serves and was never ready."""
    unready = {row.number for row in status.revisions if row.first_ready_at is None}
    found = ((row.name, row.stable) for row in status.arms if row.stable in unready)
    return next(((name, stable) for name, stable in found if stable is not None), None)
