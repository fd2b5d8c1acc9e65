"""What a rollout is decided from, out of what a pass observed."""

from typing import Protocol

from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import Route, find_canary, find_stable
from llmdeployment_operator.plan.observed.adapters import check_adapters, count_carriers
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.ray_serve import ServeState
from llmdeployment_operator.plan.observed.readiness import check_runtime, count_ready
from llmdeployment_operator.plan.rollout.state import read_rollout_state
from llmdeployment_operator.plan.rollout.types import RolloutInputs


class HasTarget(Protocol):
    """An arm, and the revision that the spec asks of it."""

    @property
    def name(self) -> str:
        """Of the arm."""

    @property
    def target(self) -> Revision:
        """The revision."""


def find_stable_number(
    cluster: ClusterState,
    revisions: tuple[Revision, ...],
    arm: HasTarget,
    routes: tuple[Route, ...],
) -> int:
    """Return the revision that has an arm's traffic, or all of it but the canary's.

    The routes as they are in the cluster are the memory of that. Without any, because somebody took them away or there never were, it
    is who the status says, else the target.
    """
    last = find_stable(routes, arm.name) or read_rollout_state(cluster.status, arm.name).stable
    on_record = {revision.number for revision in revisions}
    return last if last is not None and last in on_record else arm.target.number


def build_inputs(
    cluster: ClusterState,
    revisions: tuple[Revision, ...],
    arm: HasTarget,
    routes: tuple[Route, ...],
    replicas: int,
    *,
    applied: bool,
) -> RolloutInputs:
    """Return the scene of one arm.

    Args:
        cluster: the cluster.
        revisions: those on record, the target among them.
        arm: its name and its target.
        routes: as the routes ConfigMap has them; empty when there is none.
        replicas: what carries all of the arm's requests.
        applied: whether every gateway routes by them.
    """
    on_record = {revision.number for revision in revisions}
    target = arm.target
    alive = {r.number: count_ready(cluster, r.runtime) for r in revisions}
    known = [
        r
        for r in revisions
        # Pods of an API elsewhere are born with all they need to know.
        if is_external(r.runtime) or _knows_revision(cluster.serve.get(r.runtime), r)
    ]
    lacking = check_runtime(cluster, target.runtime, replicas)
    lacking = lacking or check_adapters(cluster, target)
    canary, weight = find_canary(routes, arm.name) or (None, 0)
    own = canary == target.number
    other = canary if canary in on_record and not own else None
    return RolloutInputs(
        stable=find_stable_number(cluster, revisions, arm, routes),
        target=target.number,
        weight=weight if own else 0,
        ready={r.number: count_carriers(cluster, r, alive[r.number]) for r in known},
        alive=alive,
        answered={r.number for r in revisions if alive[r.number] or _has_answered(cluster, r)},
        applied=applied,
        replicas=replicas,
        fresh=cluster.fresh,
        runtimes={r.number: r.runtime for r in revisions},
        lacking=lacking.message if lacking is not None else "",
        other=other,
        other_weight=weight if other is not None else 0,
    )


def _knows_revision(state: ServeState | None, revision: Revision) -> bool:
    """Say whether a runtime's replicas were told of a revision and are at rest."""
    if state is None or state.error or state.status != "RUNNING" or state.config is None:
        return False
    told = (state.config.get("deployments") or [{}])[0].get("user_config") or {}
    return str(revision.number) in told.get("revisions", {})


def _has_answered(cluster: ClusterState, revision: Revision) -> bool:
    rows = cluster.status.revisions
    return any(row.number == revision.number and row.first_ready_at for row in rows)
