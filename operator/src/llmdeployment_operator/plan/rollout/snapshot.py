"""All that one pass decides on, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import (
    Route,
    find_canary,
    find_stable,
    sum_weights,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.commands import Commands, read_commands
from llmdeployment_operator.plan.rollout.state import RolloutState, read_rollout_state
from llmdeployment_operator.plan.rollout.weights import find_weights


@dataclass(frozen=True)
class Snapshot:
    """The spec, the cluster, and what is read out of both.

    Attributes:
        deployment: the spec.
        cluster: the cluster.
        revisions: those on record, the targets among them.
        targets: what the spec asks of each of its arms.
        routes: as the routes ConfigMap has them, empty without one; who has the requests.
        applied: whether every gateway routes by them.
        now: the current time, UTC.
    """

    deployment: LLMDeployment
    cluster: ClusterState
    revisions: tuple[Revision, ...]
    targets: Mapping[str, Revision]
    routes: tuple[Route, ...]
    applied: bool
    now: datetime

    @cached_property
    def commands(self) -> Commands:
        """What the annotations ask of rollouts."""
        return read_commands(self.deployment.metadata.annotations)

    @cached_property
    def runtimes(self) -> Mapping[int, str]:
        """The runtime of each revision on record, by number."""
        return {revision.number: revision.runtime for revision in self.revisions}

    @cached_property
    def states(self) -> Mapping[str, RolloutState]:
        """What the status remembers of each arm's rollout."""
        status = self.cluster.status
        return {row.name: read_rollout_state(status, row.name) for row in status.arms}

    @cached_property
    def weights(self) -> Mapping[str, int]:
        """The percent of the requests that each arm has: by the routes, or by the status when somebody took them away."""
        recorded = {row.name: row.weight for row in self.cluster.status.arms if row.weight}
        return sum_weights(self.routes) or recorded

    @cached_property
    def desired_weights(self) -> Mapping[str, int]:
        """The percent that each arm is to have."""
        return find_weights(self.deployment, self.cluster.status)

    def state_of(self, arm: str) -> RolloutState:
        """Return what is remembered of an arm's rollout; nothing for a new one."""
        return self.states.get(arm, RolloutState())

    def is_rolling(self, arm: str) -> bool:
        """Say whether an arm's rollout is under way, forth or back."""
        return self.state_of(arm).canary is not None or find_canary(self.routes, arm) is not None

    def find_current(self, arm: str) -> Revision | None:
        """Return the revision that an arm's requests go to, while it is on record."""
        number = find_stable(self.routes, arm)
        return next((r for r in self.revisions if r.number == number), None)

    def find_stable_number(self, arm: str, target: int) -> int:
        """Return the revision that has an arm's traffic, or all of it but the canary's.

        The routes as they are in the cluster are the memory of that. Without any, because somebody took them away or there never were,
        it is who the status says, else the target.
        """
        last = find_stable(self.routes, arm) or self.state_of(arm).stable
        return last if last is not None and last in self.runtimes else target
