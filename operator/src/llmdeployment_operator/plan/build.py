"""The decision: from what is wanted, what is there and what time it is to what will be done."""

from datetime import datetime

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import telemetry
from llmdeployment_operator.plan.base.conditions import (
    STALLED_SECONDS,
    build_accepted,
    build_paused,
)
from llmdeployment_operator.plan.base.drift import is_satisfied
from llmdeployment_operator.plan.base.durations import seconds_to_next_age
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.objects import Object, Ref
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import describe_change
from llmdeployment_operator.plan.base.sentences import begin_sentence
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.cost.charge import charge_pass
from llmdeployment_operator.plan.cost.report import COST_SECONDS, CostReport, report_cost
from llmdeployment_operator.plan.desired.desired import DesiredState, decide_desired_state
from llmdeployment_operator.plan.desired.image_volumes import find_missing_image_volumes
from llmdeployment_operator.plan.desired.impersonation import find_impersonation
from llmdeployment_operator.plan.drift.report import DRIFT_SECONDS, report_drift
from llmdeployment_operator.plan.experiment.report import find_next_look, report_experiment
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.ray_serve import explain_put
from llmdeployment_operator.plan.observed.readiness import (
    count_live_workers,
    count_ready,
    find_ready_head,
)
from llmdeployment_operator.plan.plan import Plan, ServePut
from llmdeployment_operator.plan.removal import plan_removals
from llmdeployment_operator.plan.repair import find_empty_worker
from llmdeployment_operator.plan.rollout.recheck import find_next_recheck
from llmdeployment_operator.plan.rollout.weights import find_weights
from llmdeployment_operator.plan.scaling.report import report_scaling
from llmdeployment_operator.plan.status.drifting import (
    check_golden_set,
    choose_worst,
    read_rechecks,
)
from llmdeployment_operator.plan.status.findings import check_availability, find_problem
from llmdeployment_operator.plan.status.request_log import LOG_SECONDS, check_request_log
from llmdeployment_operator.plan.status.status import (
    StatusReport,
    build_failed_pass,
    build_refusal,
    build_status,
    list_events,
)
from llmdeployment_operator.plan.traffic import front_door

POLL_SECONDS = 2.0
"""How often Ray Serve and the gateways are asked, who send no events."""


def build_plan(
    deployment: LLMDeployment, cluster: ClusterState, settings: Settings, now: datetime
) -> Plan:
    """Return what one pass does for one LLMDeployment.

    Args:
        deployment: a spec that has been admitted.
        cluster: the cluster, as far as it concerns this object.
        settings: what the operator was installed with.
        now: the current time, UTC.
    """
    if (refused := find_impersonation(deployment, settings)) is not None:
        return refuse(deployment.metadata.generation, refused, cluster.status, now)
    if (refused := find_missing_image_volumes(deployment, settings)) is not None:
        return refuse(deployment.metadata.generation, refused, cluster.status, now)
    decision = decide_desired_state(deployment, cluster, settings, now)
    wanted = {(obj["kind"], obj["metadata"]["name"]): obj for obj in decision.objects}
    if unknown := frozenset(
        wanted.keys() - cluster.children.keys() - cluster.foreign.keys() - cluster.looked_up
    ):
        return Plan(lookups=unknown)
    if foreign := sorted(wanted.keys() & cluster.foreign.keys()):
        return refuse(
            deployment.metadata.generation,
            _describe_foreign(foreign, cluster),
            cluster.status,
            now,
        )
    finding, serving = find_problem(deployment, decision, cluster, now)
    account = charge_pass(deployment, cluster, now)
    cost = report_cost(deployment, account, cluster.status, decision.routes, now)
    status = _build_status(deployment, decision, cluster, finding, cost, now, serving=serving)
    status = telemetry.add_note(status, deployment, settings)
    due = _next_pass_after(deployment, decision, cluster, status, now)
    quiet = Plan(
        status=None if status == cluster.status else status,
        events=list_events(status, cluster.status),
        requeue_after=_first(due, _next_age_after(finding, now)),
        scaling=decision.scaling.memory,
        cost=account,
    )
    if deployment.spec.paused:
        return quiet
    apply = tuple(
        _bind_to_live(obj, live)
        for ref, obj in wanted.items()
        if not is_satisfied(obj, live := cluster.children.get(ref))
    )
    serve = tuple(_plan_declarations(decision, cluster))
    remove = plan_removals(
        cluster, wanted.keys(), routes_applied=_are_routes_applied(deployment, decision, cluster)
    )
    remove += tuple(
        gone for runtime in decision.puts for gone in find_empty_worker(cluster, runtime, now)
    )
    details = (
        *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply),
        *(f"declare to Ray Serve of {put.runtime}: {put.why}" for put in serve),
        *(f"delete {gone.kind} {gone.name}" for gone in remove),
        *(f"revision {a.step.stable} serves {a.name}: {a.step.why}" for a in decision.arms.steps),
    )
    return Plan(
        apply=apply,
        serve=serve,
        remove=remove,
        status=quiet.status,
        events=(*_list_created(decision), *quiet.events),
        requeue_after=quiet.requeue_after,
        scaling=quiet.scaling,
        cost=quiet.cost,
        details=details,
    )


def refuse(generation: int, finding: Finding, previous: Status, now: datetime) -> Plan:
    """Return the plan for a spec that cannot be acted on: to say so."""
    return _report_only(build_refusal(generation, finding, previous, now), previous)


def plan_failure(generation: int, finding: Finding, previous: Status, now: datetime) -> Plan:
    """Return the plan after passes that failed: to say so."""
    return _report_only(build_failed_pass(generation, finding, previous, now), previous)


def _report_only(status: Status, previous: Status) -> Plan:
    if status == previous:
        return Plan()
    return Plan(status=status, events=list_events(status, previous))


def _build_status(
    deployment: LLMDeployment,
    decision: DesiredState,
    cluster: ClusterState,
    finding: Finding | None,
    cost: CostReport,
    now: datetime,
    *,
    serving: bool,
) -> Status:
    finding = finding.at(now) if finding is not None else None
    told = _describe_serving(deployment, decision, cluster)
    since = _find_trouble(cluster.status)
    conditions = build_accepted(serving, finding, told, now, since)
    conditions = [*conditions, check_availability(deployment, cluster, finding)]
    conditions = front_door.add_note(conditions, deployment)
    if deployment.spec.paused:
        conditions = build_paused(conditions)
    said = report_scaling(deployment, decision.scaling, cluster.status, now)
    if said.condition is not None:
        conditions = [*conditions, said.condition]
    rechecks = read_rechecks(deployment, decision.arms, cluster)
    windows = report_drift(deployment, decision.arms, cluster, now)
    golden = check_golden_set(deployment, decision.arms, cluster, rechecks, now)
    if (drift := choose_worst([*golden, *windows.conditions])) is not None:
        conditions = [*conditions, drift]
    if cost.condition is not None:
        conditions = [*conditions, cost.condition]
    logged = check_request_log(deployment, decision.request_log, cluster.request_logs)
    if logged is not None:
        conditions = [*conditions, logged]
    tested = report_experiment(deployment, cluster, cost.account, now)
    if tested.condition is not None:
        conditions = [*conditions, tested.condition]
    report = StatusReport(
        conditions,
        decision.kept,
        decision.arms,
        decision.routes,
        decision.needs,
        decision.scaling.wanted.total,
        said,
        decision.references,
        rechecks,
        cost.row,
        tested.row,
        windows.rows,
    )
    return build_status(deployment, report, cluster, now)


def _find_trouble(status: Status) -> datetime | None:
    """Return when Degraded became True, if it is."""
    found = (c for c in status.conditions if c.type == "Degraded" and c.status == "True")
    return next((read_time(c.last_transition_time) for c in found), None)


def _is_stalled(status: Status) -> bool:
    return any(c.type == "Stalled" and c.status == "True" for c in status.conditions)


def _describe_serving(
    deployment: LLMDeployment, decision: DesiredState, cluster: ClusterState
) -> str:
    """Return a sentence about who serves."""
    revisions = [decision.revision(arm.step.stable) for arm in decision.arms.routed]
    ready = sum(count_ready(cluster, runtime) for runtime in {r.runtime for r in revisions})
    if not deployment.spec.arms:
        number, replicas = revisions[0].number, decision.scaling.wanted.total
        return f"Revision {number} serves. {ready} of {replicas} replicas are ready."
    shares = ", ".join(
        f"arm {arm.name} gets {arm.weight} % (revision {arm.step.stable})"
        for arm in decision.arms.routed
    )
    return f"{begin_sentence(shares)}. {ready} replicas are ready."


def _list_created(decision: DesiredState) -> tuple[Event, ...]:
    """Return an Event for each revision that this pass records beside an earlier one."""
    fresh: dict[int, Event] = {}
    for arm in decision.arms.steps:
        target, stable = arm.target, decision.revision(arm.step.stable)
        before = next((r for r in reversed(decision.kept) if r.uid is not None), None)
        if target is stable:
            # An arm that is new has none to differ from but the newest on record.
            stable = before or stable
        if target.uid is None and target is not stable:
            text = describe_change(target, stable)
            fresh[target.number] = Event("Normal", "RevisionCreated", text, target.number)
    return tuple(fresh.values())


def _are_routes_applied(
    deployment: LLMDeployment, decision: DesiredState, cluster: ClusterState
) -> bool:
    return front_door.is_applied(deployment, cluster, decision.routes_map)


def _plan_declarations(decision: DesiredState, cluster: ClusterState) -> list[ServePut]:
    found = []
    for runtime, body in decision.puts.items():
        head, state = find_ready_head(cluster, runtime), cluster.serve.get(runtime)
        if head is None or state is None or state.error:
            continue
        if (why := explain_put(body, state)) is not None:
            found.append(ServePut(runtime, head["metadata"]["name"], body, why))
    return found


def _bind_to_live(intent: Object, live: Object | None) -> Object:
    """Return the intent bound to the object that was looked at, so that a newcomer of its name is left alone."""
    if live is None:
        return intent
    return {**intent, "metadata": {**intent["metadata"], "uid": live["metadata"]["uid"]}}


def _describe_foreign(foreign: list[Ref], cluster: ClusterState) -> Finding:
    kind, name = foreign[0]
    if "deletionTimestamp" in cluster.foreign[foreign[0]]["metadata"]:
        return Finding(
            Reason.NOT_OWNED,
            f"{kind} {name} belongs to another owner and is being deleted. The operator waits until it is gone.",
        )
    return Finding(
        Reason.NOT_OWNED,
        f"{kind} {name} exists and does not belong to this LLMDeployment. "
        "Delete or rename it, or rename this LLMDeployment.",
    )


def _next_pass_after(
    deployment: LLMDeployment,
    decision: DesiredState,
    cluster: ClusterState,
    status: Status,
    now: datetime,
) -> float | None:
    """Return when to look again: those who send no events are asked until everything is as it should be, and what costs all the time."""
    if deployment.spec.scaling is not None and not deployment.spec.paused:
        return POLL_SECONDS
    if find_weights(deployment, status) != find_weights(deployment, cluster.status):
        # An experiment ends with this pass, and the next one moves its users.
        return POLL_SECONDS
    costs = COST_SECONDS if deployment.spec.cost is not None else None
    silent = (
        any(find_ready_head(cluster, runtime) for runtime in cluster.tokens) or cluster.gateways
    )
    leaving = any(count_live_workers(cluster, r) > decision.needs.get(r, 0) for r in cluster.tokens)
    applied = _are_routes_applied(deployment, decision, cluster)
    if silent and (leaving or not applied or not _is_settled(status)):
        return POLL_SECONDS
    later = min((a.step.look_at for a in decision.arms.steps if a.step.look_at), default=None)
    asked = find_next_recheck(deployment.spec.rollout.evaluation, now)
    later = min((each for each in (later, asked) if each is not None), default=None)
    due = max(POLL_SECONDS, (later - now).total_seconds()) if later is not None else None
    due = _first(due, costs)
    if deployment.spec.monitoring.drift is not None:
        due = _first(due, DRIFT_SECONDS)
    if deployment.spec.monitoring.request_log is not None:
        due = _first(due, LOG_SECONDS)
    if (since := _find_trouble(status)) is not None and not _is_stalled(status):
        left = STALLED_SECONDS - (now - since).total_seconds()
        due = _first(due, max(POLL_SECONDS, left) if left > 0 else None)
    due = _first(due, find_next_look(status.experiment))
    return _first(due, front_door.recheck_after(deployment, cluster))


def _next_age_after(finding: Finding | None, now: datetime) -> float | None:
    """Return when the message of a finding says another age, or None when it says none."""
    if finding is None or finding.since is None:
        return None
    return max(POLL_SECONDS, seconds_to_next_age((now - finding.since).total_seconds()))


def _first(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)


def _is_settled(status: Status) -> bool:
    found = {condition.type: condition for condition in status.conditions}
    degraded = found["Degraded"]
    # A revision that was rolled back stays so until somebody says otherwise, and that is an event.
    fine = degraded.status == "False" or degraded.reason == Reason.ROLLED_BACK
    return fine and found["Progressing"].status == "False"
