"""What a rollout is decided from, out of what a pass observed."""

from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import find_canary
from llmdeployment_operator.plan.observed.adapters import check_adapters, count_carriers
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.ray_serve import ServeState
from llmdeployment_operator.plan.observed.readiness import check_runtime, count_ready
from llmdeployment_operator.plan.rollout.snapshot import Snapshot
from llmdeployment_operator.plan.rollout.types import RolloutInputs


def build_inputs(snapshot: Snapshot, arm: str, target: Revision, replicas: int) -> RolloutInputs:
    """Return what the rollout of one arm is decided from.

    Args:
        snapshot: what the pass decides on.
        arm: its name.
        target: the revision that the spec asks of it.
        replicas: what carries all of the arm's requests.
    """
    cluster, revisions = snapshot.cluster, snapshot.revisions
    alive = {r.number: count_ready(cluster, r.runtime) for r in revisions}
    known = [
        r
        for r in revisions
        # Pods of an API elsewhere are born with all they need to know.
        if is_external(r.runtime) or _knows_revision(cluster.serve.get(r.runtime), r)
    ]
    lacking = check_runtime(cluster, target.runtime, replicas)
    lacking = lacking or check_adapters(cluster, target)
    canary, weight = find_canary(snapshot.routes, arm) or (None, 0)
    own = canary == target.number
    other = canary if canary in snapshot.runtimes and not own else None
    return RolloutInputs(
        stable=snapshot.find_stable_number(arm, target.number),
        target=target.number,
        weight=weight if own else 0,
        ready={r.number: count_carriers(cluster, r, alive[r.number]) for r in known},
        alive=alive,
        answered={r.number for r in revisions if alive[r.number] or _has_answered(cluster, r)},
        applied=snapshot.applied,
        replicas=replicas,
        fresh=cluster.fresh,
        past=cluster.past,
        users=cluster.users,
        shadow_fresh=cluster.shadow_fresh,
        runtimes=snapshot.runtimes,
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
