"""What people are told of drift: `status.revisions[].drift`, which is also its memory, and its part of the condition Drifting.

Counts are written when a block is over, and otherwise every few minutes while there are requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.api.drift import OUTPUT_TOKENS, PROMPT_LENGTH, DriftSpec, list_metrics
from llmdeployment_operator.api.drift_status import DriftStatus
from llmdeployment_operator.api.rollout import PATTERN
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.drift.memory import build_row, read_state
from llmdeployment_operator.plan.drift.sentences import describe_drift
from llmdeployment_operator.plan.drift.windows import (
    LONGER,
    DriftState,
    MetricState,
    advance,
    find_block,
    is_clock_wrong,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.drift_counts import PROMPT_METRICS, TOKENS
from llmdeployment_operator.plan.rollout.arms import Arms

REFERENCE = "llmdeployment.dev/baseline"
"""The annotation with which somebody takes the present as the new first window: any other value begins one."""
DRIFT_SECONDS = 60.0
"""How often replicas are asked for their counts."""
WRITE_SECONDS = 300.0
"""How often counts are written: an operator that starts again has missed no more."""
_REFERENCE_CHARACTERS = 64


@dataclass(frozen=True)
class DriftReport:
    """The rows of the revisions that serve, and what is said of each; nothing without `spec.monitoring.drift`."""

    rows: Mapping[int, DriftStatus] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


def report_drift(
    deployment: LLMDeployment, arms: Arms, cluster: ClusterState, now: datetime
) -> DriftReport:
    """Return what is said now and has to be remembered: what was, as long as nothing happened that is worth a write."""
    spec = deployment.spec.monitoring.drift
    if spec is None:
        return DriftReport()
    numbers = sorted({arm.step.stable for arm in arms.routed})
    known = {row.number: row.drift for row in cluster.status.revisions if row.drift is not None}
    design = describe_design(deployment, spec)
    kept = {
        number: state
        for number in numbers
        if (state := read_state(known.get(number))) is not None
        and state.design == design
        and not is_clock_wrong(state, spec, now)
    }
    due = any(
        _is_due(state, spec, cluster.drift_fresh.get(n, {}), now) for n, state in kept.items()
    )
    rows = {number: known[number] for number in kept}
    if due or not known.keys() == kept.keys() == set(numbers):
        # All of them, as requests are only new once.
        states = {
            number: advance(
                kept[number], spec, cluster.drift_fresh.get(number, {}), len(numbers), now
            )
            if number in kept
            else _begin(deployment, spec, design, now)
            for number in numbers
        }
        rows = {number: build_row(state) for number, state in states.items()}
        # As they are remembered: what is said must not change before the row does.
        kept = {number: read_state(row) or states[number] for number, row in rows.items()}
    return DriftReport(
        rows, tuple(describe_drift(number, state, spec) for number, state in kept.items())
    )


def is_counted(before: Status, after: Status) -> bool:
    """Say whether a status that is written has the requests since the last look, so that they need not be kept."""
    return _list_rows(after) != _list_rows(before)


def read_figures(status: Status) -> dict[tuple[str, str], float]:
    """Return by how much each metric differs from the first window, as a difference of shares, by revision and metric."""
    return {
        (str(row.number), metric.name): round(
            (float(metric.present) - float(metric.first)) / 100, 3
        )
        for row in status.revisions
        for metric in (row.drift.metrics if row.drift is not None else ())
        if metric.first is not None and metric.present is not None
    }


def describe_design(deployment: LLMDeployment, spec: DriftSpec) -> str:
    """Return what begins a new first window when it changes. Another pattern counts other answers."""
    patterns = {
        PATTERN + each.name: each.pattern for each in deployment.spec.monitoring.output_patterns
    }
    names = list_metrics(spec, [each.name for each in deployment.spec.monitoring.output_patterns])
    counted = [[name, patterns.get(name, "")] for name in names]
    reference = deployment.metadata.annotations.get(REFERENCE, "")[:_REFERENCE_CHARACTERS]
    return f"window={spec.first_window} metrics={digest(counted)} reference={reference}"


def _list_rows(status: Status) -> dict[int, DriftStatus | None]:
    return {row.number: row.drift for row in status.revisions}


def _begin(deployment: LLMDeployment, spec: DriftSpec, design: str, now: datetime) -> DriftState:
    """Return the state of a revision whose first window begins. Requests of before are not in it."""
    names = list_metrics(spec, [each.name for each in deployment.spec.monitoring.output_patterns])
    # The status has whole seconds.
    now = now.replace(microsecond=0)
    metrics = {counted: MetricState() for name in names for counted in _list_counted(name)}
    return DriftState(design, now, now, metrics=metrics)


def _list_counted(name: str) -> tuple[str, ...]:
    """Return under which names a metric is counted in the first window."""
    if name == PROMPT_LENGTH:
        return PROMPT_METRICS
    return tuple(f"{LONGER}{length}" for length in TOKENS) if name == OUTPUT_TOKENS else (name,)


def _is_due(
    state: DriftState, spec: DriftSpec, fresh: Mapping[CountKey, Counts], now: datetime
) -> bool:
    """Say whether there is something to write: a block with requests is over, or there were requests for some minutes."""
    asked = any(each.total for each in fresh.values())
    if find_block(state, spec, now) > state.block:
        return asked or any(each.window.current.total for each in state.metrics.values())
    # A clock that was put back must not keep requests from being counted.
    return asked and not 0 <= (now - state.written).total_seconds() < WRITE_SECONDS
