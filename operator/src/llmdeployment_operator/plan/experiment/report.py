"""What people are told of an experiment: the condition Experimenting and `status.experiment`, which is also its memory.

Counts are written every half minute, not at every look: they are many, and an experiment lasts for days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmdeployment_operator.analysis.experiment import (
    ArmComparison,
    Outcome,
    compare_arms,
    conclude,
)
from llmdeployment_operator.analysis.power_plan import plan_power
from llmdeployment_operator.api.experiment import ExperimentSpec, parse_duration_seconds
from llmdeployment_operator.api.experiment_status import ExperimentStatus
from llmdeployment_operator.api.status_part import MESSAGE
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.costs.types import CostAccount
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.conditions import Condition, format_time
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.routes import read_routes, sum_weights
from llmdeployment_operator.plan.experiment.cost import describe_cost
from llmdeployment_operator.plan.experiment.counting import (
    WRITE_SECONDS,
    ArmCounts,
    Situation,
    count,
    count_cost,
    find_price_ratios,
    find_situations,
    has_requests,
)
from llmdeployment_operator.plan.experiment.experiment_status import build_arm, read_arm
from llmdeployment_operator.plan.experiment.sentences import (
    BACK,
    KNOWN,
    describe_end,
    describe_plan,
    describe_progress,
    describe_shift,
    write_patch,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.weights import describe_design, find_shift, find_winner
from llmdeployment_operator.plan.traffic import front_door

PLAN_SECONDS = 600
"""How often it is said anew how long an experiment takes."""

_ENDED = {Outcome.TIMED_OUT.value: Reason.EXPERIMENT_TIMED_OUT}


@dataclass(frozen=True)
class ExperimentReport:
    """The condition and the status of an experiment; neither without `spec.experiment`."""

    condition: Condition | None = None
    row: ExperimentStatus | None = None


def report_experiment(
    deployment: LLMDeployment, cluster: ClusterState, account: CostAccount | None, now: datetime
) -> ExperimentReport:
    """Return what is said now, and what has to be remembered: what was, as long as nothing happened that is worth a write.

    Args:
        deployment: has the experiment, if there is one.
        cluster: the cluster.
        account: what everything cost up to now, None without `spec.cost`.
        now: the current time, UTC.
    """
    spec = deployment.spec.experiment
    if spec is None:
        return ExperimentReport()
    before = cluster.status.experiment
    design = describe_design(deployment, spec)
    if before is not None and before.design == design and _is_over(before, spec, now):
        return ExperimentReport(_build_condition(deployment, before, cluster), before)
    began = (read_time(before.started_at) if before is not None else None) or now
    same = before if before is not None and before.design == design else None
    situations = _find_situations(deployment, spec, cluster)
    arms = _read_arms(same, situations, now)
    changed = _is_changed(deployment, cluster)
    if same is not None and not changed and not _is_due(same, spec, situations, arms, cluster, now):
        return ExperimentReport(_build_condition(deployment, same, cluster), same)
    note = ""
    if before is not None and same is None:
        began = now
        note = f"The experiment began anew at {format_time(now)}, because its control, metrics, arms, weights or salt changed."
        winner = find_winner(before)
        if winner is not None and _has_all(deployment, cluster, winner):
            note += BACK
    seconds = _count_seconds(same, now)
    counted = [
        count(arm, situations[arm.name], cluster.experiment_fresh, cluster.experiment_users, seconds, now)
        for arm in arms
    ]  # fmt: skip  # because a line each is easier to read
    counted = [count_cost(*pair, account) for pair in zip(arms, counted, strict=True)]
    plan = _plan(deployment, spec, counted, same, cluster)
    row = _build_row(deployment, spec, counted, began, now, note or _keep_note(same), plan)
    return ExperimentReport(_build_condition(deployment, row, cluster), row)


def find_next_look(row: ExperimentStatus | None) -> float | None:
    """Return when to look again, in seconds, or None: there is no experiment, or it has ended."""
    return None if row is None or row.ended_at is not None else WRITE_SECONDS


def is_counted(before: ExperimentStatus | None, after: ExperimentStatus | None) -> bool:
    """Say whether a status that is written has the requests since the last look, so that they need not be kept."""
    return after is not None and after != before


def _is_over(row: ExperimentStatus, spec: ExperimentSpec, now: datetime) -> bool:
    """Say whether an experiment has ended; one that timed out goes on if it may last longer now."""
    if row.ended_at is None:
        return False
    return row.outcome != Outcome.TIMED_OUT.value or _measure_age(row, now) >= _find_limit(spec)


def _find_limit(spec: ExperimentSpec) -> int:
    return parse_duration_seconds(spec.max_duration)


def _measure_age(row: ExperimentStatus, now: datetime) -> float:
    began = read_time(row.started_at) or now
    return (now - began).total_seconds()


def _count_seconds(row: ExperimentStatus | None, now: datetime) -> float:
    written = read_time(row.written_at) if row is not None else None
    return (now - written).total_seconds() if written is not None else 0.0


def _find_situations(
    deployment: LLMDeployment, spec: ExperimentSpec, cluster: ClusterState
) -> dict[str, Situation]:
    live = cluster.children.get((Kind.CONFIG_MAP, names.routes_name(deployment.metadata.name)))
    applied = live is not None and front_door.is_applied(deployment, cluster, live)
    return find_situations(deployment, spec, read_routes(live), applied)


def _read_arms(
    row: ExperimentStatus | None, situations: Mapping[str, Situation], now: datetime
) -> list[ArmCounts]:
    rows = {arm.name: arm for arm in row.arms} if row is not None else {}
    return [read_arm(rows.get(name), name, now) for name in situations]


def _is_due(
    row: ExperimentStatus,
    spec: ExperimentSpec,
    situations: Mapping[str, Situation],
    arms: Sequence[ArmCounts],
    cluster: ClusterState,
    now: datetime,
) -> bool:
    """Say whether there is something to write: a situation is new, time is up, or there were requests for half a minute."""
    if any(not arm.is_in(situations[arm.name]) for arm in arms):
        return True
    if row.ended_at is not None or _measure_age(row, now) >= _find_limit(spec):
        return True
    asked = any(arm.counting and has_requests(arm, cluster.experiment_fresh) for arm in arms)
    # A clock that was put back must not keep requests from being counted.
    return asked and not 0 <= _count_seconds(row, now) < WRITE_SECONDS


def _keep_note(row: ExperimentStatus | None) -> str:
    """Return why the experiment began anew, if the last message says so."""
    start, _, _ = (row.message if row is not None else "").partition(" changed.")
    if row is None or not start.startswith("The experiment began anew"):
        return ""
    return f"{start} changed." + (BACK if BACK in row.message else "")


def _plan(
    deployment: LLMDeployment,
    spec: ExperimentSpec,
    counted: Sequence[ArmCounts],
    same: ExperimentStatus | None,
    cluster: ClusterState,
) -> str:
    """Return about how long it takes: as it was said, for as long as that is news enough, since it is much to compute."""
    evidence = {arm.name: arm.evidence for arm in counted}
    if same is not None and same.plan.startswith(KNOWN) and not _is_changed(deployment, cluster):
        rows = {arm.name: arm.evidence for arm in same.arms}
        before = max((row.seconds for row in rows.values() if row is not None), default=0)
        if (
            before // PLAN_SECONDS
            == max(each.seconds for each in evidence.values()) // PLAN_SECONDS
        ):
            return same.plan
    growth = {arm.name: arm.growth for arm in counted}
    return describe_plan(spec, evidence, plan_power(spec, evidence, growth))


def _is_changed(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    return cluster.status.observed_generation != deployment.metadata.generation


def _build_row(
    deployment: LLMDeployment,
    spec: ExperimentSpec,
    counted: Sequence[ArmCounts],
    began: datetime,
    now: datetime,
    note: str,
    plan: str,
) -> ExperimentStatus:
    evidence = {arm.name: arm.evidence for arm in counted}
    comparisons = compare_arms(spec, evidence, find_price_ratios(counted))
    outcome, winner = conclude(comparisons, (now - began).total_seconds(), _find_limit(spec))
    keeps = winner or spec.control
    over = outcome is not Outcome.RUNNING
    return ExperimentStatus(
        started_at=format_time(began),
        ended_at=format_time(now) if over else None,
        written_at=format_time(now),
        control=spec.control,
        design=describe_design(deployment, spec),
        outcome=outcome.value,
        winner=winner,
        message=_write_message(spec, outcome, winner, comparisons, counted, note),
        plan=plan,
        patch=write_patch(deployment, keeps) if over and outcome is not Outcome.TIMED_OUT else None,
        arms=tuple(map(build_arm, counted, comparisons)),
    )


def _write_message(
    spec: ExperimentSpec,
    outcome: Outcome,
    winner: str | None,
    comparisons: Sequence[ArmComparison],
    counted: Sequence[ArmCounts],
    note: str,
) -> str:
    if outcome is not Outcome.RUNNING:
        end = describe_end(spec, outcome, winner, comparisons)
        costs = (describe_cost(arm.name, arm.cost) for arm in counted if winner in {None, arm.name})
        return " ".join([end, *(text for text in costs if text)])
    return f"{note} {describe_progress(comparisons, counted)}".strip()


def _build_condition(
    deployment: LLMDeployment, row: ExperimentStatus, cluster: ClusterState
) -> Condition:
    if row.ended_at is not None:
        reason = _ENDED.get(row.outcome, Reason.EXPERIMENT_CONCLUDED)
        return Condition(
            "Experimenting", False, reason, row.message + _explain_end(deployment, row, cluster)
        )
    counts = any(arm.counting for arm in row.arms)
    reason = Reason.EXPERIMENT_RUNNING if counts else Reason.EXPERIMENT_WAITING
    return Condition("Experimenting", True, reason, f"{row.message} {row.plan}".strip())


def _explain_end(deployment: LLMDeployment, row: ExperimentStatus, cluster: ClusterState) -> str:
    """Return who has the users at the end, and how to act on it; a patch that there is no room for is left to the command."""
    meta = deployment.metadata
    if row.patch is None:
        return " Raise maxDuration to go on, or remove spec.experiment."
    keeps, shift = row.winner or row.control, find_shift(deployment, row)
    moved, aim = "", f"give {keeps} all users"
    if shift is not None:
        moved = describe_shift(deployment, shift, done=_has_all(deployment, cluster, shift))
        aim = f"write {keeps} into your spec"
    command = f"kubectl patch llm {meta.name} -n {meta.namespace} --type json -p '{row.patch}'"
    text = f"{moved} To {aim}, run {command}"
    if len(row.message) + len(text) > MESSAGE:
        return f"{moved} To {aim}, run the command that `kubectl llm experiment {meta.name} --patch` prints."
    return text


def _has_all(deployment: LLMDeployment, cluster: ClusterState, arm: str) -> bool:
    """Say whether an arm has all requests although the spec has others."""
    live = cluster.children.get((Kind.CONFIG_MAP, names.routes_name(deployment.metadata.name)))
    return len(deployment.spec.arms) > 1 and list(sum_weights(read_routes(live))) == [arm]
