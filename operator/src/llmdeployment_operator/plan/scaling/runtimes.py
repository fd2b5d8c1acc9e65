"""How many replicas there are with `spec.scaling`: the law of `autoscale`, for each runtime that serves or is about to.

The bounds of the spec are of all arms together; each runtime has the part that its arms have of the requests, rounded up. During a
rollout nothing is given back on either side: the stable runtime must be able to take everything back, and what the canary has proved it
needs is what it will have as the stable one. After the promotion the law goes on from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from llmdeployment_operator.api.scaling import ScalingSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.autoscaler.policy import policy_of, schedules_of
from llmdeployment_operator.autoscaler.recommend import decide
from llmdeployment_operator.autoscaler.schedules import floor
from llmdeployment_operator.autoscaler.state import State
from llmdeployment_operator.autoscaler.types import Policy, Why
from llmdeployment_operator.plan.base.conditions import stamp
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.reasons import Finding
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import Route, canary_of
from llmdeployment_operator.plan.observed.observed import Observed
from llmdeployment_operator.plan.observed.readiness import no_place
from llmdeployment_operator.plan.observed.replica_stats import look_of
from llmdeployment_operator.plan.observed.scaling_status import Memory, Record, memory_of
from llmdeployment_operator.plan.rollout import state as rollouts
from llmdeployment_operator.plan.rollout.arms import Asked, asked_of
from llmdeployment_operator.plan.rollout.inputs import stable_number
from llmdeployment_operator.plan.rollout.replicas import Wanted
from llmdeployment_operator.plan.rollout.surge import WHOLE, share

SOONEST = 1.0
"""Seconds between two looks: passes that come sooner, since something happened, are no new evidence."""

CLOCK_SLIP = 60.0
"""Seconds that a state may be ahead of the clock before it is taken for one of another clock."""


@dataclass(frozen=True)
class Group:
    """A runtime, and whose requests it carries.

    Attributes:
        runtime: its hash.
        arms: percent of all requests, by arm; of a canary's runtime none.
        rolling: whether a rollout is under way.
        grows: the percent that its arms get next, if that is more than they have.
    """

    runtime: str
    arms: Mapping[str, int]
    rolling: bool
    grows: int = 0

    @property
    def percent(self) -> int:
        """Its part of the bounds."""
        return min(WHOLE, sum(self.arms.values())) if self.arms else WHOLE


@dataclass(frozen=True)
class Told:
    """What the law said of a runtime at this look."""

    runtime: str
    replicas: int
    reason: Why
    message: str


@dataclass(frozen=True)
class Scaling:
    """What autoscaling comes to in a pass.

    Attributes:
        wanted: how many replicas the requests need.
        memory: what has to be remembered; None without `spec.scaling`.
        told: what the law said; nothing when it did not look.
        blocked: why replicas that were ordered have no place, if they have none.
        canaries: the runtimes of canaries.
    """

    wanted: Wanted
    memory: Memory | None = None
    told: tuple[Told, ...] = ()
    blocked: Finding | None = None
    canaries: frozenset[str] = field(default_factory=frozenset)

    def given(self, needs: Mapping[str, int]) -> "Scaling":
        """Return it with what the canaries' runtimes get: their share of the requests may be more than the law asked for."""
        memory = self.memory
        for runtime in sorted(self.canaries & needs.keys()) if memory is not None else ():
            memory = memory.having(runtime, needs[runtime]) if memory is not None else None
        return replace(self, memory=memory)


def scaled(
    deployment: LLMDeployment,
    observed: Observed,
    revisions: tuple[Revision, ...],
    targets: Mapping[str, Revision],
    routes: tuple[Route, ...],
    now: datetime,
) -> Scaling:
    """Return how many replicas the requests need now.

    Args:
        deployment: the spec.
        observed: the cluster, with the replicas' samples.
        revisions: those on record, the targets among them.
        targets: what the spec asks of each of its arms.
        routes: as they are in the cluster.
        now: the current time, UTC.
    """
    spec = deployment.spec.scaling
    if spec is None:
        return Scaling(Wanted(deployment.spec.replicas))
    asked = asked_of(deployment, observed, revisions, targets, routes)
    serving = _serving(observed, revisions, routes, asked)
    coming = _coming(deployment, observed, revisions, routes, asked, serving)
    before = observed.scaling if observed.scaling is not None else memory_of(observed.status)
    states = _begun(deployment, spec, observed, before, (*serving, *coming))
    policy = policy_of(spec)
    least = max(policy.minimum, floor(schedules_of(spec), now.timestamp()))
    policy = replace(policy, minimum=min(policy.maximum, least))
    total = sum(states[group.runtime].desired or 0 for group in serving)
    law = _Law(deployment.metadata.name, policy, observed, total, now)
    memory, told, blocked = Memory({}, before.decisions), [], None
    for group in (*serving, *coming):
        state, place = states[group.runtime], no_place(observed, group.runtime)
        blocked = blocked or place
        if deployment.spec.paused:
            memory = replace(memory, states={**memory.states, group.runtime: state})
            continue
        after, said, record = law.looked(group, state, blocked=place is not None)
        memory = replace(memory, states={**memory.states, group.runtime: after})
        memory = memory.with_record(record) if record is not None else memory
        told += [said] if said is not None else []
    return Scaling(
        wanted=_wanted(deployment, memory, serving, coming),
        memory=memory,
        told=tuple(told),
        blocked=blocked,
        canaries=frozenset(group.runtime for group in coming),
    )


@dataclass(frozen=True)
class _Law:
    """The law, and all that is the same for every runtime."""

    name: str
    policy: Policy
    observed: Observed
    total: int
    now: datetime

    def looked(
        self, group: Group, state: State, *, blocked: bool
    ) -> tuple[State, Told | None, Record | None]:
        """Return a runtime's state after this look, what the law said, and the decision if it is one to act on."""
        at, current = self.now.timestamp(), state.desired or 0
        if state.at is not None and state.at > at + CLOCK_SLIP:
            # Of another clock: what was learned is kept by nobody's time.
            state = State(desired=current)
        new = state.at is None or at - state.at >= SOONEST
        when = at if new or state.at is None else state.at
        held = bool(group.arms)
        service = runtime_names(self.name, group.runtime).name
        look = look_of(self.observed, group.runtime, service, current, when, held=held)
        made = decide(self._policy(group, current, blocked=blocked), look, state, at)
        said = Told(group.runtime, made.replicas, made.reason, made.message)
        if made.replicas == current:
            return made.state, said if new else None, None
        record = Record(
            at=stamp(self.now),
            runtime=group.runtime,
            before=current,
            after=made.replicas,
            reason=made.reason.value,
            message=made.message,
            inputs={name: f"{value:g}" for name, value in made.inputs.items()},
        )
        return made.state, said, record

    def _policy(self, group: Group, current: int, *, blocked: bool) -> Policy:
        """Return the law's policy for one runtime: its part of the bounds, narrower where it may not go down, or not up."""
        whole = self.policy
        least = share(whole.minimum, group.percent) if group.arms else 0
        most = share(whole.maximum, group.percent)
        least = max(least, share(self.total, group.grows) if group.grows else 0)
        if group.rolling:
            # Nor is there a way to judge a new revision without replicas.
            least = max(least, current, 1)
        if blocked:
            # What was ordered has no place yet: more of it would not have one either.
            most = min(most, max(current, least))
        return replace(whole, minimum=min(least, most), maximum=most)


def _serving(
    observed: Observed,
    revisions: tuple[Revision, ...],
    routes: tuple[Route, ...],
    asked: Iterable[Asked],
) -> tuple[Group, ...]:
    """Return the runtimes of the arms' stable revisions."""
    groups: dict[str, Group] = {}
    for arm in asked:
        runtime = _runtime(revisions, stable_number(observed, revisions, arm, routes))
        group = groups.get(runtime, Group(runtime, {}, rolling=False))
        groups[runtime] = Group(
            runtime,
            {**group.arms, arm.name: arm.percent},
            rolling=group.rolling or _rolls(observed, routes, arm.name),
            grows=group.grows + (arm.weight if arm.grows else 0),
        )
    return tuple(groups.values())


def _coming(
    deployment: LLMDeployment,
    observed: Observed,
    revisions: tuple[Revision, ...],
    routes: tuple[Route, ...],
    asked: Iterable[Asked],
    serving: Iterable[Group],
) -> tuple[Group, ...]:
    """Return the runtimes of canaries that have pods of their own."""
    taken, found = {group.runtime for group in serving}, {}
    for arm in asked:
        routed = canary_of(routes, arm.name)
        if not _rolls(observed, routes, arm.name):
            continue
        for number in (arm.target.number, routed[0] if routed is not None else None):
            runtime = _runtime(revisions, number)
            exists = ("Deployment", runtime_names(deployment.metadata.name, runtime).name)
            if runtime and runtime not in taken and exists in observed.children:
                found[runtime] = Group(runtime, {}, rolling=True)
    return tuple(found.values())


def _begun(
    deployment: LLMDeployment,
    spec: ScalingSpec,
    observed: Observed,
    memory: Memory,
    groups: tuple[Group, ...],
) -> dict[str, State]:
    """Return the state of each runtime; of one that is new with what it has, or its part of what `spec.replicas` begins with."""
    known = sum(memory.states[g.runtime].desired or 0 for g in groups if g.runtime in memory.states)
    first = min(spec.max_replicas, max(spec.min_replicas, deployment.spec.replicas))
    found: dict[str, State] = {}
    for group in groups:
        name = runtime_names(deployment.metadata.name, group.runtime).name
        live = observed.children.get(("Deployment", name))
        has = live["spec"].get("replicas", 1) if live is not None else None
        begins = has if has is not None else share(known or first, group.percent)
        found[group.runtime] = memory.states.get(group.runtime) or State(desired=begins)
    return found


def _wanted(
    deployment: LLMDeployment, memory: Memory, serving: tuple[Group, ...], coming: tuple[Group, ...]
) -> Wanted:
    runtimes = {group.runtime: memory.states[group.runtime].desired or 0 for group in serving}
    arms = {
        name: _part(runtimes[group.runtime], percent, group.percent)
        for group in serving
        for name, percent in group.arms.items()
    }
    # With spec.rollout.maxSurge it is that which says how many a canary may have.
    unlimited = deployment.spec.rollout.max_surge is None
    canaries = {
        group.runtime: memory.states[group.runtime].desired or 0 for group in coming if unlimited
    }
    return Wanted(sum(runtimes.values()), arms, runtimes, canaries)


def _part(replicas: int, percent: int, whole: int) -> int:
    """Return an arm's part of the replicas of a runtime that it shares, at least one of any.

    >>> _part(4, 90, 100), _part(4, 10, 100), _part(3, 10, 10), _part(0, 10, 20)
    (4, 1, 3, 0)
    """
    return max(1, -(-replicas * percent // whole)) if replicas else 0


def _rolls(observed: Observed, routes: tuple[Route, ...], arm: str) -> bool:
    """Say whether an arm's rollout is under way, forth or back."""
    remembered = rollouts.memory_of(observed.status, arm).canary
    return remembered is not None or canary_of(routes, arm) is not None


def _runtime(revisions: Iterable[Revision], number: int | None) -> str:
    return next((r.runtime for r in revisions if r.number == number), "")
