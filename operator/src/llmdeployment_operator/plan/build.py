"""The decision: from what is wanted, what is there and what time it is to what will be done."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.conditions import accepted, paused
from llmdeployment_operator.plan.base.drift import satisfied
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.objects import Object, Ref
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import described
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.desired import Decision, decide
from llmdeployment_operator.plan.observed.observed import Observed
from llmdeployment_operator.plan.observed.ray_serve import put_needed
from llmdeployment_operator.plan.observed.readiness import (
    live_workers,
    ready_head,
    ready_replicas,
)
from llmdeployment_operator.plan.plan import Plan, ServePut
from llmdeployment_operator.plan.removal import removals
from llmdeployment_operator.plan.repair import empty_worker
from llmdeployment_operator.plan.scaling.report import said_of
from llmdeployment_operator.plan.status.findings import finding_of
from llmdeployment_operator.plan.status.status import Report, events_of, refusal, status_of
from llmdeployment_operator.plan.traffic import front_door

POLL_SECONDS = 2.0
"""How often Ray Serve and the gateways are asked, who send no events."""


def build_plan(
    deployment: LLMDeployment, observed: Observed, settings: Settings, now: datetime
) -> Plan:
    """Return what one pass does for one LLMDeployment.

    Args:
        deployment: a spec that has been admitted.
        observed: the cluster, as far as it concerns this object.
        settings: what the operator was installed with.
        now: the current time, UTC.
    """
    decision = decide(deployment, observed, settings, now)
    wanted = {(obj["kind"], obj["metadata"]["name"]): obj for obj in decision.objects}
    if unknown := frozenset(
        wanted.keys() - observed.children.keys() - observed.strangers.keys() - observed.looked_up
    ):
        return Plan(lookups=unknown)
    if foreign := sorted(wanted.keys() & observed.strangers.keys()):
        return refuse(
            deployment.metadata.generation, _not_owned(foreign, observed), observed.status, now
        )
    status = _status(deployment, decision, observed, now)
    quiet = Plan(
        status=None if status == observed.status else status,
        events=events_of(status, observed.status),
        requeue_after=_requeue(deployment, decision, observed, status, now),
        scaling=decision.scaling.memory,
    )
    if deployment.spec.paused:
        return quiet
    apply = tuple(
        _same_object(obj, live)
        for ref, obj in wanted.items()
        if not satisfied(obj, live := observed.children.get(ref))
    )
    serve = tuple(_declarations(decision, observed))
    remove = removals(
        observed, wanted.keys(), routes_applied=_routes_applied(deployment, decision, observed)
    )
    remove += tuple(
        gone for runtime in decision.puts for gone in empty_worker(observed, runtime, now)
    )
    details = (
        *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply),
        *(f"declare to Ray Serve of {put.runtime}: {put.why}" for put in serve),
        *(f"delete {gone.kind} {gone.name}" for gone in remove),
        *(f"revision {a.move.stable} serves {a.name}: {a.move.why}" for a in decision.arms.moves),
    )
    return Plan(
        apply=apply,
        serve=serve,
        remove=remove,
        status=quiet.status,
        events=(*_recorded(decision), *quiet.events),
        requeue_after=quiet.requeue_after,
        scaling=quiet.scaling,
        details=details,
    )


def refuse(generation: int, finding: Finding, previous: Mapping[str, Any], now: datetime) -> Plan:
    """Return the plan for a spec that cannot be acted on: to say so."""
    status = refusal(generation, finding, previous, now)
    if status == previous:
        return Plan()
    return Plan(status=status, events=events_of(status, previous))


def _status(
    deployment: LLMDeployment, decision: Decision, observed: Observed, now: datetime
) -> dict[str, Any]:
    finding, serving = finding_of(deployment, decision, observed, now)
    conditions = accepted(serving, finding, _serves(deployment, decision, observed))
    conditions = front_door.noted(conditions, deployment)
    if deployment.spec.paused:
        conditions = paused(conditions)
    said = said_of(deployment, decision.scaling, observed.status, now)
    if said.condition is not None:
        conditions = [*conditions, said.condition]
    report = Report(
        conditions,
        decision.kept,
        decision.arms,
        decision.routes,
        decision.needs,
        decision.scaling.wanted.total,
        said,
    )
    return status_of(deployment, report, observed, now)


def _serves(deployment: LLMDeployment, decision: Decision, observed: Observed) -> str:
    """Return who answers, for people."""
    revisions = [decision.revision(arm.move.stable) for arm in decision.arms.routed]
    ready = sum(ready_replicas(observed, runtime) for runtime in {r.runtime for r in revisions})
    if not deployment.spec.arms:
        number, replicas = revisions[0].number, decision.scaling.wanted.total
        return f"revision {number} answers with {ready} of {replicas} replicas"
    shares = ", ".join(
        f"arm {arm.name} {arm.weight} % revision {arm.move.stable}" for arm in decision.arms.routed
    )
    return f"{shares}; {ready} replicas answer"


def _recorded(decision: Decision) -> tuple[Event, ...]:
    """Return an Event for each revision that this pass records beside an earlier one."""
    fresh: dict[int, Event] = {}
    for arm in decision.arms.moves:
        target, stable = arm.target, decision.revision(arm.move.stable)
        before = next((r for r in reversed(decision.kept) if r.uid is not None), None)
        if target is stable:
            # An arm that is new has none to differ from but the newest on record.
            stable = before or stable
        if target.uid is None and target is not stable:
            text = described(target, stable)
            fresh[target.number] = Event("Normal", "RevisionCreated", text)
    return tuple(fresh.values())


def _routes_applied(deployment: LLMDeployment, decision: Decision, observed: Observed) -> bool:
    return front_door.applied(deployment, observed, decision.routes_map)


def _declarations(decision: Decision, observed: Observed) -> list[ServePut]:
    found = []
    for runtime, body in decision.puts.items():
        head, state = ready_head(observed, runtime), observed.serve.get(runtime)
        if head is None or state is None or state.error:
            continue
        if (why := put_needed(body, state)) is not None:
            found.append(ServePut(runtime, head["metadata"]["name"], body, why))
    return found


def _same_object(intent: Object, live: Object | None) -> Object:
    """Return the intent bound to the object that was looked at, so that a newcomer of its name is left alone."""
    if live is None:
        return intent
    return {**intent, "metadata": {**intent["metadata"], "uid": live["metadata"]["uid"]}}


def _not_owned(foreign: list[Ref], observed: Observed) -> Finding:
    kind, name = foreign[0]
    if "deletionTimestamp" in observed.strangers[foreign[0]]["metadata"]:
        return Finding(
            Reason.NOT_OWNED,
            f"{kind} {name} of another owner is still being deleted: waiting for it to go",
        )
    return Finding(
        Reason.NOT_OWNED,
        f"{kind} {name} exists and does not belong to this LLMDeployment: delete or rename it, or rename this one",
    )


def _requeue(
    deployment: LLMDeployment,
    decision: Decision,
    observed: Observed,
    status: Mapping[str, Any],
    now: datetime,
) -> float | None:
    """Return when to look again: those who send no events are asked until everything is as it should be."""
    if deployment.spec.scaling is not None and not deployment.spec.paused:
        return POLL_SECONDS
    silent = any(ready_head(observed, runtime) for runtime in observed.tokens) or observed.gateways
    leaving = any(live_workers(observed, r) > decision.needs.get(r, 0) for r in observed.tokens)
    applied = _routes_applied(deployment, decision, observed)
    if silent and (leaving or not applied or not _settled(status)):
        return POLL_SECONDS
    later = min((a.move.look_at for a in decision.arms.moves if a.move.look_at), default=None)
    due = max(POLL_SECONDS, (later - now).total_seconds()) if later is not None else None
    again = front_door.look_again(deployment, observed)
    return min((each for each in (due, again) if each is not None), default=None)


def _settled(status: Mapping[str, Any]) -> bool:
    found = {condition["type"]: condition for condition in status["conditions"]}
    degraded = found["Degraded"]
    # A revision that was given up stays so until somebody says otherwise, and that is an event.
    fine = degraded["status"] == "False" or degraded["reason"] == Reason.ROLLED_BACK
    return fine and bool(found["Progressing"]["status"] == "False")
