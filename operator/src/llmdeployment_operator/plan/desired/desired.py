"""What should be, before it is compared with what is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.names import routes_name
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.revisions import (
    Revision,
    revisions_of,
    runtime_hash,
    surplus,
    target_of,
    template_of,
)
from llmdeployment_operator.plan.base.routes import Route, routes_of
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.children import RuntimeIntent, children
from llmdeployment_operator.plan.desired.evaluation_job import evaluations
from llmdeployment_operator.plan.observed.observed import Observed
from llmdeployment_operator.plan.observed.ray_serve import attempt_of, serve_config
from llmdeployment_operator.plan.observed.readiness import live_workers
from llmdeployment_operator.plan.resources.runtime import rendering
from llmdeployment_operator.plan.rollout.arms import Arms, arms_of, moved, needs_of, routes_for
from llmdeployment_operator.plan.scaling.runtimes import Scaling, scaled
from llmdeployment_operator.plan.traffic import front_door


@dataclass(frozen=True)
class Decision:
    """What should be.

    Attributes:
        arms: what each arm's rollout does now.
        kept: the revisions on record.
        routes: who gets the requests.
        objects: every child.
        needs: replicas by runtime.
        puts: what each runtime's Serve should run.
        scaling: how many replicas the requests need, and why.
    """

    arms: Arms
    kept: tuple[Revision, ...]
    routes: tuple[Route, ...]
    objects: list[Object]
    needs: Mapping[str, int]
    puts: Mapping[str, dict[str, Any]]
    scaling: Scaling

    def revision(self, number: int) -> Revision:
        """Return the revision of a number that is kept."""
        return next(r for r in self.kept if r.number == number)

    @property
    def routes_map(self) -> Object:
        """The routes ConfigMap as decided."""
        return next(obj for obj in self.objects if obj["kind"] == "ConfigMap")


def decide(
    deployment: LLMDeployment, observed: Observed, settings: Settings, now: datetime
) -> Decision:
    """Return what should be. Arguments are those of `build_plan`."""
    known = revisions_of(
        obj for (kind, _), obj in observed.children.items() if kind == "ControllerRevision"
    )
    targets, revisions = _targets(deployment, known, observed, settings)
    name = deployment.metadata.name
    live = observed.children.get(("ConfigMap", routes_name(name)))
    routes = routes_of(live)
    applied = live is not None and front_door.applied(deployment, observed, live)
    scaling = scaled(deployment, observed, revisions, targets, routes, now)
    wanted = scaling.wanted
    arms = moved(deployment, observed, revisions, targets, routes, wanted, now, applied=applied)
    kept = revisions
    if applied and not deployment.spec.paused:
        # Until every gateway has the routes, one of them may send requests for any revision.
        in_use = arms.in_use() | {route.revision for route in routes}
        gone = surplus(revisions, in_use, deployment.spec.revision_history_limit)
        kept = tuple(r for r in revisions if r not in gone)
    needs = needs_of(arms, kept, wanted)
    puts = {
        runtime: _put(deployment, kept, runtime, observed, need, now)
        for runtime, need in needs.items()
        if not is_external(runtime)
    }
    intents = {
        runtime: RuntimeIntent(
            born=next(r for r in reversed(kept) if r.runtime == runtime),
            token=observed.tokens.get(runtime) or digest([observed.fresh_token, runtime], 64),
            pods=_pods(observed, runtime, need),
        )
        for runtime, need in needs.items()
    }
    following = routes_for(name, arms, kept)
    gateways = front_door.namespaces(deployment, observed)
    made, left = evaluations(deployment, arms, observed, settings)
    objects = children(deployment, kept, intents, following, settings, gateways, made)
    objects = [*objects, *left]
    return Decision(arms, kept, following, objects, needs, puts, scaling.given(needs))


def _targets(
    deployment: LLMDeployment,
    known: tuple[Revision, ...],
    observed: Observed,
    settings: Settings,
) -> tuple[dict[str, Revision], tuple[Revision, ...]]:
    """Return the revision each arm asks for, and all revisions, those that are new with it."""
    head_volume = _head_volume(settings, default_class=observed.default_storage_class)
    targets: dict[str, Revision] = {}
    revisions = known
    for arm in arms_of(deployment):
        template = template_of(arm.deployment)
        runtime = runtime_hash(template)
        fresh = rendering(arm.deployment, runtime, settings, head_volume=head_volume)
        target = target_of(template, revisions, fresh)
        targets[arm.name] = target
        if target not in revisions:
            revisions = (*revisions, target)
    return targets, revisions


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
    """Return how many worker pods a runtime needs: on the way down, a pod stays as long as its replica does.

    The last one goes at once: Serve keeps a replica for ever, and the pod's preStop hook waits for the requests.
    """
    if is_external(runtime) or not replicas:
        return replicas
    live = live_workers(observed, runtime)
    state = observed.serve.get(runtime)
    listed = state.replicas if state is not None else live
    return max(replicas, min(live, listed))


def _head_volume(settings: Settings, *, default_class: bool) -> str:
    if settings.head_storage == "auto":
        return "pvc" if default_class else "emptyDir"
    return settings.head_storage
