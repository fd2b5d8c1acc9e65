"""What should be, before it is compared with what is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.names import OWNER, routes_name
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.base.request_log import RequestLogPlan, plan_request_log
from llmdeployment_operator.plan.base.revisions import (
    MOST_HISTORY,
    Revision,
    extract_template,
    find_surplus,
    find_target,
    hash_runtime,
    read_revisions,
)
from llmdeployment_operator.plan.base.routes import Route, read_routes
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.children import (
    FrontDoorIntent,
    RuntimeIntent,
    build_children,
)
from llmdeployment_operator.plan.desired.evaluation_job import plan_evaluations
from llmdeployment_operator.plan.desired.recheck_job import plan_rechecks
from llmdeployment_operator.plan.desired.shadowing import (
    build_shadow_policies,
    cast_shadows,
    list_shadowed,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.model_pins import find_pins
from llmdeployment_operator.plan.observed.ray_serve import build_serve_config, count_attempt
from llmdeployment_operator.plan.observed.readiness import count_live_workers
from llmdeployment_operator.plan.observed.self_test import (
    Reference,
    build_settings,
    find_references,
)
from llmdeployment_operator.plan.resources.runtime import render_runtime
from llmdeployment_operator.plan.rollout.arms import (
    Arms,
    count_needs,
    list_arms,
    plan_arms,
    plan_routes,
)
from llmdeployment_operator.plan.rollout.snapshot import Snapshot
from llmdeployment_operator.plan.scaling.runtimes import ScalingPlan, plan_scaling
from llmdeployment_operator.plan.traffic import front_door
from llmdeployment_operator.plan.traffic.gateway import choose_feedback_key


@dataclass(frozen=True)
class DesiredState:
    """What should be.

    Attributes:
        arms: what each arm's rollout does now.
        kept: the revisions on record.
        routes: who gets the requests.
        objects: every child.
        needs: replicas by runtime.
        puts: what each runtime's Serve should run.
        scaling: how many replicas the requests need, and why.
        references: what the self-tests are held to, by runtime.
        request_log: what replicas log of requests; None: nothing.
    """

    arms: Arms
    kept: tuple[Revision, ...]
    routes: tuple[Route, ...]
    objects: list[Object]
    needs: Mapping[str, int]
    puts: Mapping[str, dict[str, Any]]
    scaling: ScalingPlan
    references: Mapping[str, Reference]
    request_log: RequestLogPlan | None = None

    def revision(self, number: int) -> Revision:
        """Return the revision of a number that is kept."""
        return next(r for r in self.kept if r.number == number)

    @property
    def routes_map(self) -> Object:
        """The routes ConfigMap as decided."""
        return next(obj for obj in self.objects if _is_routes_map(obj))


def _is_routes_map(obj: Object) -> bool:
    metadata = obj["metadata"]
    named = routes_name(metadata["labels"][OWNER])
    return bool(obj["kind"] == Kind.CONFIG_MAP and metadata["name"] == named)


def decide_desired_state(
    deployment: LLMDeployment, cluster: ClusterState, settings: Settings, now: datetime
) -> DesiredState:
    """Return what should be. Arguments are those of `build_plan`."""
    known = read_revisions(
        obj for (kind, _), obj in cluster.children.items() if kind == Kind.CONTROLLER_REVISION
    )
    targets, revisions = _find_targets(deployment, known, cluster, settings)
    name = deployment.metadata.name
    live = cluster.children.get((Kind.CONFIG_MAP, routes_name(name)))
    routes = read_routes(live)
    applied = live is not None and front_door.is_applied(deployment, cluster, live)
    snapshot = Snapshot(deployment, cluster, revisions, targets, routes, applied, now)
    scaling = plan_scaling(snapshot)
    wanted = scaling.wanted
    arms = plan_arms(snapshot, wanted)
    kept = revisions
    if not deployment.spec.paused:
        # Until every gateway has the routes, one of them may send requests for any revision, within reason.
        limit = deployment.spec.revision_history_limit if applied else MOST_HISTORY
        # What an arm without users asks for stays on record: it would be made anew at each pass.
        in_use = arms.in_use() | {target.number for target in targets.values()}
        in_use |= {route.revision for route in routes}
        gone = find_surplus(revisions, in_use, limit)
        kept = tuple(r for r in revisions if r not in gone)
    needs = count_needs(arms, kept, wanted)
    references = find_references(deployment, cluster, (r.runtime for r in kept))
    following = plan_routes(name, arms, kept)
    routed = {route.revision for route in following}
    logged = plan_request_log(deployment, settings, (r for r in kept if r.number in routed))
    puts = {
        runtime: _build_put(
            deployment, carried, cluster, need, references.get(runtime), logged, now
        )
        for runtime, need in needs.items()
        if not is_external(runtime)
        if (carried := tuple(r for r in kept if r.runtime == runtime))
    }
    shadowed = list_shadowed(arms, kept)
    pins = find_pins(name, cluster, needs)
    intents = {
        runtime: RuntimeIntent(
            born=next(r for r in reversed(kept) if r.runtime == runtime),
            token=cluster.tokens.get(runtime) or digest([cluster.new_token, runtime], 64),
            pods=_count_pods(cluster, runtime, need),
            pin=pins.get(runtime, ""),
            request_log=logged,
        )
        for runtime, need in needs.items()
    }
    made, left = plan_evaluations(deployment, arms, cluster, settings)
    again, asked = plan_rechecks(deployment, arms, cluster, settings, now)
    door = FrontDoorIntent(
        choose_feedback_key(cluster.feedback_key, cluster.new_token),
        front_door.list_namespaces(deployment, cluster),
    )
    more = [*made, *again, *build_shadow_policies(name, shadowed, settings)]
    objects = build_children(deployment, kept, intents, following, settings, door, more)
    objects = [*objects, *left, *asked]
    return DesiredState(
        arms,
        kept,
        following,
        objects,
        needs,
        cast_shadows(deployment, puts, shadowed),
        scaling.with_needs(needs),
        references,
        logged,
    )


def _find_targets(
    deployment: LLMDeployment,
    known: tuple[Revision, ...],
    cluster: ClusterState,
    settings: Settings,
) -> tuple[dict[str, Revision], tuple[Revision, ...]]:
    """Return the revision each arm asks for, and all revisions, those that are new with it."""
    head_volume = _choose_head_volume(settings, default_class=cluster.default_storage_class)
    targets: dict[str, Revision] = {}
    revisions = known
    for arm in list_arms(deployment):
        template = extract_template(arm.deployment)
        runtime = hash_runtime(template)
        fresh = render_runtime(arm.deployment, runtime, settings, head_volume=head_volume)
        target = find_target(template, revisions, fresh)
        targets[arm.name] = target
        if target not in revisions:
            revisions = (*revisions, target)
    return targets, revisions


def _build_put(
    deployment: LLMDeployment,
    carried: tuple[Revision, ...],
    cluster: ClusterState,
    replicas: int,
    reference: Reference | None,
    request_log: RequestLogPlan | None,
    now: datetime,
) -> dict[str, Any]:
    state = cluster.serve.get(carried[0].runtime)
    attempt = count_attempt(state, now.timestamp()) if state is not None else 0
    self_test = build_settings(deployment, reference)
    return build_serve_config(deployment, carried, replicas, attempt, self_test, request_log)


def _count_pods(cluster: ClusterState, runtime: str, replicas: int) -> int:
    """Return how many worker pods a runtime needs: on the way down, a pod stays as long as its replica does.

    The last one goes at once: Serve keeps a replica for ever, and the pod's preStop hook waits for the requests.
    """
    if is_external(runtime) or not replicas:
        return replicas
    live = count_live_workers(cluster, runtime)
    state = cluster.serve.get(runtime)
    listed = state.replicas if state is not None else live
    return max(replicas, min(live, listed))


def _choose_head_volume(settings: Settings, *, default_class: bool) -> str:
    if settings.head_storage == "auto":
        return "pvc" if default_class else "emptyDir"
    return settings.head_storage
