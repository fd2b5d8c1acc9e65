"""What a rollout is decided from, and what it does."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from llmdeployment_operator.analysis.counts import RevisionCounts
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.plan.base.reasons import Finding
from llmdeployment_operator.plan.rollout import surge
from llmdeployment_operator.plan.rollout.gate import Gate
from llmdeployment_operator.plan.rollout.state import RolloutState


@dataclass(frozen=True)
class RolloutInputs:
    """What a rollout is decided from.

    Attributes:
        stable: the revision that has the traffic, or all of it but the canary's.
        target: the revision the spec asks for.
        weight: percent of the traffic that the target has.
        ready: replicas that answer and know the revision, by revision.
        alive: replicas that answer, by revision.
        answered: revisions that answered at any time.
        applied: whether every gateway routes by the current routes.
        replicas: how many a revision with all the traffic needs.
        fresh: requests counted since the last look, for the analysis.
        past: requests counted before those, for the analysis.
        users: how many users had requests so far, by revision, for the analysis.
        shadow_fresh: requests that canaries were asked too, counted since the last look.
        gate: the evaluation before the target's first request, or None when the spec asks for none.
        lacking: what keeps the target's replicas from answering, for people.
        runtimes: whose pods a revision runs in, by revision: of those in the same pods none has to make room for another.
        room: how many replicas may exist beyond `replicas`, if that limits the change.
        other: the revision that still has requests as a canary although the spec asks for another one.
        other_weight: percent of the traffic that it has.
        crowded: whether a replica that is needed has no place, here or in another arm.
    """

    stable: int
    target: int
    weight: int
    ready: Mapping[int, int]
    alive: Mapping[int, int]
    answered: AbstractSet[int]
    applied: bool
    replicas: int
    fresh: RevisionCounts = field(default_factory=dict)
    past: RevisionCounts = field(default_factory=dict)
    users: Mapping[int, int] = field(default_factory=dict)
    shadow_fresh: RevisionCounts = field(default_factory=dict)
    gate: Gate | None = None
    lacking: str = ""
    runtimes: Mapping[int, str] = field(default_factory=dict)
    room: int | None = None
    other: int | None = None
    other_weight: int = 0
    crowded: bool = False

    @property
    def canary(self) -> tuple[int, int] | None:
        """The revision beside the stable one that has requests, and its percent of them."""
        if self.weight:
            return self.target, self.weight
        return (self.other, self.other_weight) if self.other is not None else None


@dataclass(frozen=True)
class RolloutStep:
    """What a rollout does now.

    Attributes:
        stable: the revision that serves.
        canary: the revision on its way, or None.
        weight: the canary's percent of the traffic.
        needs: replicas that must exist, by revision: the stable one, the canary, those kept warm.
        memory: what has to be remembered.
        why: the traffic as it will be, for the log.
        stage: what people are told of the rollout while it is under way or has failed.
        look_at: when to look again, if nothing happens before.
    """

    stable: int
    canary: int | None
    weight: int
    needs: Mapping[int, int]
    state: RolloutState
    why: str
    stage: Finding | None = None
    look_at: datetime | None = None


def share_pods(inputs: RolloutInputs, one: int, other: int) -> bool:
    """Say whether two revisions run in the same pods."""
    return one in inputs.runtimes and inputs.runtimes[one] == inputs.runtimes.get(other)


def count_room_between(
    policy: RolloutSpec, inputs: RolloutInputs, one: int, other: int
) -> int | None:
    """Return how many replicas two revisions may have beyond those asked for, if that is less than both need."""
    if policy.max_surge is None or share_pods(inputs, one, other):
        return None
    room = surge.count_room(policy.max_surge, inputs.replicas)
    return room if room < inputs.replicas else None


def add_warm(
    needs: Mapping[int, int], state: RolloutState, inputs: RolloutInputs
) -> dict[int, int]:
    """Return replicas by revision, those kept warm among them."""
    return {**{warm.revision: inputs.replicas for warm in state.warm}, **needs}
