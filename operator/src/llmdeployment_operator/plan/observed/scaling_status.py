"""What autoscaling remembers between looks, and how `status.scaling` holds it.

The law's state is kept in the operator's process and written to the status at decisions and now and then. Read leniently: a status that
was lost or written by another version costs what was learned, never the replicas, which are in the runtimes' Deployments.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from llmdeployment_operator.api.status import (
    STATE,
    ScaledRuntimeStatus,
    ScalingDecisionStatus,
    ScalingStatus,
    Status,
)
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.plan.base.conditions import format_time

DECISIONS = 10
"""Acting decisions that are kept."""


@dataclass(frozen=True)
class ScalingState:
    """What is known of every runtime that is scaled, by runtime, and the last decisions, newest last."""

    states: Mapping[str, AutoscalerState] = field(default_factory=dict)
    decisions: tuple[ScalingDecisionStatus, ...] = ()

    def with_record(self, record: ScalingDecisionStatus) -> "ScalingState":
        """Return the memory with one more decision, without the oldest if there are too many."""
        return replace(self, decisions=(*self.decisions, record)[-DECISIONS:])

    def having(self, runtime: str, replicas: int) -> "ScalingState":
        """Return the memory of a runtime that was given this many replicas by somebody else than the law."""
        state = replace(self.states.get(runtime, AutoscalerState()), desired=replicas)
        return replace(self, states={**self.states, runtime: state})


def read_scaling_state(status: Status) -> ScalingState:
    """Return what a status remembers; nothing of what cannot be read."""
    row = status.scaling or ScalingStatus()
    states = {entry.runtime: _read_state(entry) for entry in row.runtimes}
    return ScalingState(states, row.decisions[-DECISIONS:])


def build_scaling_status(memory: ScalingState, replicas: int, now: datetime) -> ScalingStatus:
    """Return `status.scaling`."""
    return ScalingStatus(
        replicas=replicas,
        written_at=format_time(now),
        runtimes=tuple(
            _build_runtime(runtime, state) for runtime, state in sorted(memory.states.items())
        ),
        decisions=memory.decisions,
    )


def _build_runtime(runtime: str, state: AutoscalerState) -> ScaledRuntimeStatus:
    text = json.dumps(state.as_dict(), separators=(",", ":"))
    return ScaledRuntimeStatus(
        runtime=runtime, desired=state.desired or 0, state=text if len(text) <= STATE else ""
    )


def _read_state(entry: ScaledRuntimeStatus) -> AutoscalerState:
    try:
        state = AutoscalerState.of(json.loads(entry.state or "{}"))
    except (AttributeError, KeyError, TypeError, ValueError):
        state = AutoscalerState()
    return replace(state, desired=entry.desired)
