"""The status of an LLMDeployment, and what is worth an Event about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llmdeployment_operator.api.cost_status import CostStatus
from llmdeployment_operator.api.drift_status import DriftStatus
from llmdeployment_operator.api.evaluation_status import RecheckStatus
from llmdeployment_operator.api.experiment_status import ExperimentStatus
from llmdeployment_operator.api.status import MOST_REVISIONS, ArmStatus, RevisionStatus, Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_refused,
    find_transitions,
    format_time,
    merge_conditions,
)
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import Revision, find_surplus
from llmdeployment_operator.plan.base.routes import BUCKETS, Route, measure_widths
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.model_pins import find_pins
from llmdeployment_operator.plan.observed.readiness import count_ready
from llmdeployment_operator.plan.observed.self_test import Reference, build_self_test_status
from llmdeployment_operator.plan.rollout.arms import Arms
from llmdeployment_operator.plan.rollout.gate import build_evaluation_status
from llmdeployment_operator.plan.rollout.state import (
    RolloutState,
    build_arm_status,
    read_rollout_state,
)
from llmdeployment_operator.plan.scaling import report as scaling_report
from llmdeployment_operator.plan.scaling.report import ScalingReport
from llmdeployment_operator.plan.status.shares import build_shares
from llmdeployment_operator.plan.traffic import front_door

_QUIET = frozenset(
    {
        Reason.ACCEPTED,
        Reason.AS_EXPECTED,
        Reason.FIRST_WINDOW,
        Reason.NO_DRIFT,
        Reason.WITHIN_BUDGET,
        Reason.LOG_WRITTEN,
        Reason.LOG_UNKNOWN,
    }
)
"""Reasons that are worth no Event."""
_BAD = frozenset(
    {
        ("Degraded", "True"),
        ("Accepted", "False"),
        ("Drifting", "True"),
        ("BudgetExceeded", "True"),
        ("RequestLog", "False"),
    }
)
"""Conditions that are worth a warning."""


_OF_FAILED_PASSES = frozenset({Reason.API_ERROR, Reason.OPERATOR_ERROR})


@dataclass(frozen=True)
class StatusReport:
    """What a pass found out, before it becomes a status."""

    conditions: list[Condition]
    revisions: tuple[Revision, ...]
    arms: Arms
    routes: tuple[Route, ...]
    needs: Mapping[str, int]
    replicas: int
    scaling: ScalingReport
    references: Mapping[str, Reference]
    rechecks: Mapping[int, RecheckStatus] = field(default_factory=dict)
    cost: CostStatus | None = None
    experiment: ExperimentStatus | None = None
    drift: Mapping[int, DriftStatus] = field(default_factory=dict)

    @property
    def stable(self) -> tuple[Revision, ...]:
        """The revisions that serve, by arm."""
        serving = [arm.step.stable for arm in self.arms.routed]
        return tuple(next(r for r in self.revisions if r.number == number) for number in serving)

    def percent(self, number: int) -> int:
        """Return the share of the requests that a revision gets, at least 1 if it gets any."""
        buckets = sum(
            width for route, width in measure_widths(self.routes) if route.revision == number
        )
        return max(1, round(buckets * 100 / BUCKETS)) if buckets else 0


def build_status(
    deployment: LLMDeployment, report: StatusReport, cluster: ClusterState, now: datetime
) -> Status:
    """Return the whole status."""
    meta = deployment.metadata
    runtimes = {revision.runtime for revision in report.stable}
    # The scale subresource has one selector: that of a single runtime, or of all.
    of_one = len(report.arms.steps) == 1
    which = {"runtime": report.arms.steps[0].target.runtime} if of_one else {}
    selector = names.selector(meta.name, component="worker", **which)
    in_use = report.arms.in_use() | {route.revision for route in report.routes}
    ready = sum(count_ready(cluster, runtime) for runtime in runtimes)
    answered = next((c.status for c in report.conditions if c.type == "Available"), None)
    pins = find_pins(meta.name, cluster, {revision.runtime for revision in report.revisions})
    hidden = find_surplus(report.revisions, in_use, MOST_REVISIONS - len(in_use))
    return Status(
        observed_generation=meta.generation,
        conditions=merge_conditions(
            report.conditions, cluster.status.conditions, meta.generation, now
        ),
        endpoint=front_door.find_endpoint(deployment),
        model=report.stable[0].template["model"].get("servedName") or meta.name,
        replicas=report.replicas,
        ready_replicas=ready,
        ready=f"{ready}/{report.replicas}",
        selector=",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        traffic="" if answered is False else _describe_traffic(deployment, report),
        arms=_build_arms(deployment, report.arms, cluster.status),
        revisions=tuple(
            _build_revision(deployment, r, report, cluster, now).model_copy(
                update={"commit": pins.get(r.runtime)}
            )
            for r in report.revisions
            if r not in hidden
        ),
        scaling=report.scaling.row,
        cost=report.cost,
        experiment=report.experiment,
    )


def _build_arms(deployment: LLMDeployment, arms: Arms, previous: Status) -> tuple[ArmStatus, ...]:
    """Return a row for each arm; arms of the spec whose users an experiment has moved follow with a weight of 0."""
    rows = [build_arm_status(arm.step.state, arm.name, arm.weight) for arm in arms.steps]
    known = {row.name for row in rows}
    without = [arm.name for arm in deployment.spec.arms if arm.name not in known]
    return (*rows, *(_build_arm_without_users(previous, name) for name in without))


def _build_arm_without_users(previous: Status, name: str) -> ArmStatus:
    """Return the row of an arm without users: of its rollout nothing but a revision that was rolled back, so that it stays so."""
    state = read_rollout_state(previous, name)
    kept = (
        RolloutState()
        if state.rejected is None
        else RolloutState(stable=state.stable, rejected=state.rejected)
    )
    return build_arm_status(kept, name, 0)


def build_refusal(generation: int, finding: Finding, previous: Status, now: datetime) -> Status:
    """Return the status of a spec that cannot be acted on: what is known of the past stays."""
    conditions = merge_conditions(build_refused(finding), previous.conditions, generation, now)
    return previous.model_copy(update={"observed_generation": generation, "conditions": conditions})


def build_failed_pass(generation: int, finding: Finding, previous: Status, now: datetime) -> Status:
    """Return the status after passes that failed: nothing moves, and why. What was known of the past stays.

    A condition keeps its word only if it was given for this generation.
    """
    known = {row.type: row for row in previous.conditions}
    stale = [row.type for row in previous.conditions if row.observed_generation != generation]
    ready = known.get("Ready")
    kept = ready is not None and "Ready" not in stale and ready.reason not in _OF_FAILED_PASSES
    told = finding.message if kept else "The condition Ready says why."
    conditions = [
        Condition("Progressing", False, finding.reason, "The operator tries again by itself."),
        Condition("Degraded", True, finding.reason, told),
        Condition("Stalled", False, finding.reason, "The operator tries again by itself."),
    ]
    if not kept:
        conditions.append(Condition("Ready", False, finding.reason, finding.message))
    unknown = "The operator could not check this since the spec was changed."
    conditions += [
        Condition(kind, None, finding.reason, unknown)
        for kind in stale
        if kind not in {condition.type for condition in conditions}
    ]
    new = merge_conditions(conditions, previous.conditions, generation, now)
    merged = {**known, **{row.type: row for row in new}}
    return previous.model_copy(
        update={"observed_generation": generation, "conditions": tuple(merged.values())}
    )


def list_events(status: Status, previous: Status) -> tuple[Event, ...]:
    """Return one Event for each reason that is new, Warning when somebody has to act, and one for traffic that moves."""
    found: dict[str, Event] = {}
    ready = {each.reason: each.message for each in status.conditions if each.type == "Ready"}
    for condition in find_transitions(status.conditions, previous.conditions):
        bad = (condition.type, condition.status) in _BAD
        if bad or (condition.reason not in found and condition.reason not in _QUIET):
            # The others point to Ready, and an Event stands alone.
            text = ready.get(condition.reason, condition.message)
            kind = "Warning" if bad else "Normal"
            found[condition.reason] = Event(kind, condition.reason, text)
    before, traffic = previous.traffic, status.traffic
    if before and traffic and traffic != before:
        found["TrafficChanged"] = Event(
            "Normal", "TrafficChanged", f"The traffic changed from {before} to {traffic}."
        )
    return (*found.values(), *scaling_report.list_scaling_events(status, previous))


def _describe_traffic(deployment: LLMDeployment, report: StatusReport) -> str:
    """Return who gets the requests, for people: `rev1 95% rev2 5%`, with arms `control rev1 90% terse rev2 10%`."""
    shares: dict[str, list[tuple[int, float]]] = {}
    for route, width in measure_widths(report.routes):
        shares.setdefault(route.arm, []).append((route.revision, width * 100 / BUCKETS))
    arms = (
        (arm, " ".join(f"rev{number} {percent:g}%" for number, percent in sorted(rows) if percent))
        for arm, rows in shares.items()
    )
    return " ".join(f"{arm} {text}" if deployment.spec.arms else text for arm, text in arms)


def _build_url(deployment: LLMDeployment, revision: Revision) -> str:
    meta = deployment.metadata
    service = names.runtime_names(meta.name, revision.runtime).name
    return f"http://{service}.{meta.namespace}:{names.REPLICA_PORT}/v1"


def _build_revision(
    deployment: LLMDeployment,
    revision: Revision,
    report: StatusReport,
    cluster: ClusterState,
    now: datetime,
) -> RevisionStatus:
    number, live = revision.number, revision.runtime in report.needs
    ready = count_ready(cluster, revision.runtime) if live else 0
    percent = report.percent(number)
    before = next((row for row in cluster.status.revisions if row.number == number), None)
    first = before.first_ready_at if before is not None else None
    if first is None and percent > 0 and ready > 0:
        first = format_time(now)
    created = before.created_at if before is not None else None
    promoted = before.promoted_at if before is not None else None
    shares, shares_at = build_shares(cluster, number, before, now) if live else ((), None)
    if number in report.arms.stable() and number not in {a.stable for a in cluster.status.arms}:
        promoted = format_time(now)
    return RevisionStatus(
        name=names.revision_name(deployment.metadata.name, number),
        number=number,
        hash=revision.hash,
        runtime=revision.runtime,
        replicas=report.needs.get(revision.runtime, 0),
        ready=ready,
        traffic_percent=percent,
        url=_build_url(deployment, revision) if live else None,
        created_at=created or revision.created_at or format_time(now),
        first_ready_at=first,
        promoted_at=promoted,
        evaluation=build_evaluation_status(
            deployment, cluster, number, _find_rival(report.arms, cluster, number)
        ),
        recheck=report.rechecks.get(number),
        self_test=build_self_test_status(
            cluster, revision.runtime, report.references.get(revision.runtime), before
        ),
        shares=shares,
        shares_at=shares_at,
        drift=report.drift.get(number),
    )


def _find_rival(arms: Arms, cluster: ClusterState, number: int) -> int | None:
    """Return the revision that had an arm's requests when this pass began and that this one is to take over from, if it has not."""
    before = {row.name: row.stable for row in cluster.status.arms}
    found = (before.get(arm.name) for arm in arms.steps if arm.target.number == number)
    return next((rival for rival in found if rival is not None and rival != number), None)
