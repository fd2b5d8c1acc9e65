"""The decision: from what is wanted, what is there and what time it is to what will be done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.children import RuntimeIntent, children
from llmdeployment_operator.plan.commands import commands_of
from llmdeployment_operator.plan.conditions import accepted, paused
from llmdeployment_operator.plan.intent import Object, digest, satisfied
from llmdeployment_operator.plan.memory import memory_of
from llmdeployment_operator.plan.names import routes_name, runtime_names
from llmdeployment_operator.plan.observed import Observed, Ref
from llmdeployment_operator.plan.plan import Event, Plan, ServePut
from llmdeployment_operator.plan.reasons import HEALS_BY_WAITING, Finding, Reason
from llmdeployment_operator.plan.removal import removals
from llmdeployment_operator.plan.repair import empty_worker
from llmdeployment_operator.plan.revisions import (
    Revision,
    described,
    revisions_of,
    runtime_hash,
    surplus,
    target_of,
    template_of,
)
from llmdeployment_operator.plan.rollout import Move, next_move, standing
from llmdeployment_operator.plan.routes import ARM, routes_hash, routes_of, rows
from llmdeployment_operator.plan.runtime import rendering
from llmdeployment_operator.plan.scene import scene_of
from llmdeployment_operator.plan.serve import attempt_of, put_needed, serve_config
from llmdeployment_operator.plan.settings import Settings
from llmdeployment_operator.plan.stage import (
    gateway_finding,
    live_workers,
    ready_head,
    ready_replicas,
    routes_applied,
    runtime_finding,
)
from llmdeployment_operator.plan.status import Report, events_of, refusal, status_of

POLL_SECONDS = 2.0
"""How often Ray Serve and the gateways are asked, who send no events."""


@dataclass(frozen=True)
class Decision:
    """What should be, before it is compared with what is.

    Attributes:
        target: the revision the spec asks for.
        move: what the rollout does now.
        kept: the revisions on record.
        objects: every child.
        needs: replicas by runtime.
        puts: what each runtime's Serve should run.
    """

    target: Revision
    move: Move
    kept: tuple[Revision, ...]
    objects: list[Object]
    needs: Mapping[str, int]
    puts: Mapping[str, dict[str, Any]]

    @property
    def stable(self) -> Revision:
        """The revision that serves."""
        return next(r for r in self.kept if r.number == self.move.stable)


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
    decision = _decide(deployment, observed, settings, now)
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
        requeue_after=_requeue(decision, observed, status, now),
    )
    if deployment.spec.paused:
        return quiet
    apply = tuple(
        _same_object(obj, live)
        for ref, obj in wanted.items()
        if not satisfied(obj, live := observed.children.get(ref))
    )
    serve = tuple(_declarations(decision, observed))
    remove = removals(observed, wanted.keys(), routes_applied=_routes_applied(decision, observed))
    remove += tuple(
        gone for runtime in decision.puts for gone in empty_worker(observed, runtime, now)
    )
    details = (
        *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply),
        *(f"declare to Ray Serve of {put.runtime}: {put.why}" for put in serve),
        *(f"delete {gone.kind} {gone.name}" for gone in remove),
        f"revision {decision.move.stable} serves: {decision.move.why}",
    )
    return Plan(
        apply=apply,
        serve=serve,
        remove=remove,
        status=quiet.status,
        events=(*_recorded(decision), *quiet.events),
        requeue_after=quiet.requeue_after,
        details=details,
    )


def refuse(generation: int, finding: Finding, previous: Mapping[str, Any], now: datetime) -> Plan:
    """Return the plan for a spec that cannot be acted on: to say so."""
    status = refusal(generation, finding, previous, now)
    if status == previous:
        return Plan()
    return Plan(status=status, events=events_of(status, previous))


def _decide(
    deployment: LLMDeployment, observed: Observed, settings: Settings, now: datetime
) -> Decision:
    known = revisions_of(
        obj for (kind, _), obj in observed.children.items() if kind == "ControllerRevision"
    )
    template = template_of(deployment)
    head_volume = _head_volume(settings, default_class=observed.default_storage_class)
    fresh = rendering(deployment, runtime_hash(template), settings, head_volume=head_volume)
    target = target_of(template, known, fresh)
    revisions = known if target in known else (*known, target)
    move, kept = _moved(deployment, observed, revisions, target, now)
    stable = next(r for r in kept if r.number == move.stable)
    canary = next((r for r in kept if r.number == move.canary), None)
    needs = _needs(move, kept)
    puts = {
        runtime: _put(deployment, kept, runtime, observed, need, now)
        for runtime, need in needs.items()
    }
    intents = {
        runtime: RuntimeIntent(
            born=next(r for r in reversed(kept) if r.runtime == runtime),
            token=observed.tokens.get(runtime) or digest([observed.fresh_token, runtime], 64),
            pods=_pods(observed, runtime, need),
        )
        for runtime, need in needs.items()
    }
    name = deployment.metadata.name
    coming = _service(name, canary) if canary is not None else None
    routes = rows(_service(name, stable), coming, move.weight)
    objects = children(deployment, kept, intents, routes, settings)
    return Decision(target, move, kept, objects, needs, puts)


def _moved(
    deployment: LLMDeployment,
    observed: Observed,
    revisions: tuple[Revision, ...],
    target: Revision,
    now: datetime,
) -> tuple[Move, tuple[Revision, ...]]:
    """Return the rollout's move, and the revisions that are kept."""
    live = observed.children.get(("ConfigMap", routes_name(deployment.metadata.name)))
    routes = routes_of(live)
    applied = live is not None and routes_applied(observed, routes_hash(live))
    scene = scene_of(observed, revisions, target, routes, deployment.spec.replicas, applied=applied)
    memory = memory_of(observed.status, ARM)
    on_record = {revision.number for revision in revisions}
    memory = replace(memory, warm=tuple(w for w in memory.warm if w.revision in on_record))
    commands = commands_of(deployment.metadata.annotations)
    if deployment.spec.paused:
        return standing(scene, memory), revisions
    move = next_move(deployment.spec.rollout, scene, memory, commands, now)
    if not applied:
        # A gateway may still send requests for any of them.
        return move, revisions
    in_use = frozenset({target.number, *move.needs, *(route.revision for route in routes)})
    gone = surplus(revisions, in_use, deployment.spec.revision_history_limit)
    return move, tuple(r for r in revisions if r not in gone)


def _needs(move: Move, revisions: tuple[Revision, ...]) -> dict[str, int]:
    """Return replicas by runtime: as many as the revision on it that needs most."""
    wanted = [(r.runtime, move.needs[r.number]) for r in revisions if r.number in move.needs]
    # The stable one first: what serves is written before what comes.
    wanted.sort(key=lambda pair: pair[0] != _runtime_of(revisions, move.stable))
    needs: dict[str, int] = {}
    for runtime, need in wanted:
        needs[runtime] = max(need, needs.get(runtime, 0))
    return needs


def _runtime_of(revisions: tuple[Revision, ...], number: int) -> str:
    return next(r.runtime for r in revisions if r.number == number)


def _service(name: str, revision: Revision) -> tuple[int, str]:
    return revision.number, runtime_names(name, revision.runtime).name


def _put(
    deployment: LLMDeployment,
    revisions: tuple[Revision, ...],
    runtime: str,
    observed: Observed,
    replicas: int,
    now: datetime,
) -> dict[str, Any]:
    carried = tuple(r for r in revisions if r.runtime == runtime)
    state = observed.serve.get(runtime)
    attempt = attempt_of(state, now.timestamp()) if state is not None else 0
    return serve_config(deployment, carried, replicas, attempt)


def _pods(observed: Observed, runtime: str, replicas: int) -> int:
    """Return how many worker pods a runtime needs: on the way down, a pod stays as long as its replica does."""
    live = live_workers(observed, runtime)
    state = observed.serve.get(runtime)
    listed = state.replicas if state is not None else live
    return max(replicas, min(live, listed))


def _head_volume(settings: Settings, *, default_class: bool) -> str:
    if settings.head_storage == "auto":
        return "pvc" if default_class else "emptyDir"
    return settings.head_storage


def _status(
    deployment: LLMDeployment, decision: Decision, observed: Observed, now: datetime
) -> dict[str, Any]:
    finding, serving = _finding(deployment, decision, observed)
    stable = decision.stable
    ready = ready_replicas(observed, stable.runtime)
    message = (
        f"revision {stable.number} answers with {ready} of {deployment.spec.replicas} replicas"
    )
    conditions = accepted(serving, finding, message)
    if deployment.spec.paused:
        conditions = paused(conditions)
    report = Report(
        conditions, decision.kept, stable, decision.target, decision.move, decision.needs
    )
    return status_of(deployment, report, observed, now)


def _finding(
    deployment: LLMDeployment, decision: Decision, observed: Observed
) -> tuple[Finding | None, bool]:
    """Return what is not as the spec says, if anything, and whether the current generation answers nevertheless."""
    target, move = decision.target, decision.move
    gateway = gateway_finding(
        observed, routes_hash(_routes(decision)), f"{deployment.metadata.name}-{target.runtime}"
    )
    current = move.stable == target.number
    answers = current and gateway is None and ready_replicas(observed, target.runtime) > 0
    if observed.missing_secrets:
        missing = observed.missing_secrets[0]
        return Finding(
            Reason.SECRET_MISSING, f"{missing} does not exist in this namespace: create it"
        ), answers
    stable = runtime_finding(observed, decision.stable.runtime, deployment.spec.replicas)
    if stable is not None and stable.reason not in HEALS_BY_WAITING:
        return stable, answers
    if move.stage is not None and move.stage.reason is Reason.ROLLED_BACK:
        return move.stage, answers
    runtime = runtime_finding(observed, target.runtime, decision.needs.get(target.runtime, 0))
    if runtime is not None:
        return runtime, answers
    if deployment.spec.replicas == 0:
        return Finding(
            Reason.SCALED_TO_ZERO, "spec.replicas is 0: the gateway holds requests"
        ), False
    return (gateway if current else move.stage), answers


def _recorded(decision: Decision) -> tuple[Event, ...]:
    """Return the Event of a revision that this pass records beside an earlier one."""
    target, stable = decision.target, decision.stable
    if target.uid is not None or target is stable:
        return ()
    return (Event("Normal", "RevisionCreated", described(target, stable)),)


def _routes(decision: Decision) -> Object:
    return next(obj for obj in decision.objects if obj["kind"] == "ConfigMap")


def _routes_applied(decision: Decision, observed: Observed) -> bool:
    return routes_applied(observed, routes_hash(_routes(decision)))


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
    decision: Decision, observed: Observed, status: Mapping[str, Any], now: datetime
) -> float | None:
    """Return when to look again: those who send no events are asked until everything is as it should be."""
    silent = any(ready_head(observed, runtime) for runtime in observed.tokens) or observed.gateways
    leaving = any(live_workers(observed, r) > decision.needs.get(r, 0) for r in observed.tokens)
    if silent and (leaving or not _routes_applied(decision, observed) or not _settled(status)):
        return POLL_SECONDS
    later = decision.move.look_at
    return max(POLL_SECONDS, (later - now).total_seconds()) if later is not None else None


def _settled(status: Mapping[str, Any]) -> bool:
    found = {condition["type"]: condition for condition in status["conditions"]}
    degraded = found["Degraded"]
    # A revision that was given up stays so until somebody says otherwise, and that is an event.
    fine = degraded["status"] == "False" or degraded["reason"] == Reason.ROLLED_BACK
    return fine and bool(found["Progressing"]["status"] == "False")
