"""What autoscaling remembers between looks, and how `status.scaling` holds it.

The law's state is kept in the operator's process and written to the status at decisions and now and then. Read leniently: a status that
was lost or written by another version costs what was learned, never the replicas, which are in the runtimes' Deployments.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.plan.base.conditions import format_time

DECISIONS = 10
"""Acting decisions that are kept."""

_MESSAGE, _STATE = 512, 32768
"""What the status has room for: longer ones would be refused as a whole."""


@dataclass(frozen=True)
class ScalingRecord:
    """A decision that changed a runtime's number of replicas."""

    at: str
    runtime: str
    before: int
    after: int
    reason: str
    message: str
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def up(self) -> bool:
        """Whether it asked for more."""
        return self.after > self.before


@dataclass(frozen=True)
class ScalingState:
    """What is known of every runtime that is scaled, by runtime, and the last decisions, newest last."""

    states: Mapping[str, AutoscalerState] = field(default_factory=dict)
    decisions: tuple[ScalingRecord, ...] = ()

    def with_record(self, record: ScalingRecord) -> "ScalingState":
        """Return the memory with one more decision, without the oldest if there are too many."""
        return replace(self, decisions=(*self.decisions, record)[-DECISIONS:])

    def having(self, runtime: str, replicas: int) -> "ScalingState":
        """Return the memory of a runtime that was given this many replicas by somebody else than the law."""
        state = replace(self.states.get(runtime, AutoscalerState()), desired=replicas)
        return replace(self, states={**self.states, runtime: state})


def read_scaling_state(status: Mapping[str, Any]) -> ScalingState:
    """Return what a status remembers; nothing of what cannot be read."""
    row = status.get("scaling") or {}
    states = {}
    for entry in row.get("runtimes") or []:
        try:
            states[entry["runtime"]] = _read_state(entry)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    records = []
    for entry in row.get("decisions") or []:
        try:
            records.append(_read_record(entry))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return ScalingState(states, tuple(records[-DECISIONS:]))


def format_scaling_state(memory: ScalingState, replicas: int, now: datetime) -> dict[str, Any]:
    """Return `status.scaling`."""
    return {
        "replicas": replicas,
        "writtenAt": format_time(now),
        "runtimes": [
            _format_runtime(runtime, state) for runtime, state in sorted(memory.states.items())
        ],
        "decisions": [format_decision(record) for record in memory.decisions],
    }


def format_decision(record: ScalingRecord) -> dict[str, Any]:
    """Return one entry of `status.scaling.decisions`."""
    return {
        "at": record.at,
        "runtime": record.runtime,
        "from": record.before,
        "to": record.after,
        "reason": record.reason,
        "message": record.message[:_MESSAGE],
        "inputs": dict(record.inputs),
    }


def _format_runtime(runtime: str, state: AutoscalerState) -> dict[str, Any]:
    row: dict[str, Any] = {"runtime": runtime, "desired": state.desired or 0}
    text = json.dumps(state.as_dict(), separators=(",", ":"))
    return {**row, "state": text} if len(text) <= _STATE else row


def _read_state(entry: Mapping[str, Any]) -> AutoscalerState:
    desired = int(entry["desired"])
    try:
        state = AutoscalerState.of(json.loads(entry.get("state") or "{}"))
    except (AttributeError, KeyError, TypeError, ValueError):
        state = AutoscalerState()
    return replace(state, desired=desired)


def _read_record(entry: Mapping[str, Any]) -> ScalingRecord:
    return ScalingRecord(
        at=entry["at"],
        runtime=entry["runtime"],
        before=int(entry["from"]),
        after=int(entry["to"]),
        reason=entry["reason"],
        message=entry.get("message", ""),
        inputs={str(key): str(value) for key, value in (entry.get("inputs") or {}).items()},
    )
