"""How many replicas there are with `spec.scaling`: the law of `autoscale`, for each runtime that serves or is about to.

The bounds of the spec are of all arms together; each runtime has the part that its arms have of the requests, rounded up. During a
rollout nothing is given back on either side: the stable runtime must be able to take everything back, and what the canary has proved it
needs is what it will have as the stable one. After the promotion the law goes on from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from llmdeployment_operator.api.scaling import ScalingSpec
from llmdeployment_operator.api.status import ScalingDecisionStatus
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.autoscaler.policy import read_policy, read_schedules
from llmdeployment_operator.autoscaler.recommend import recommend
from llmdeployment_operator.autoscaler.schedules import find_minimum
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import ScalingPolicy, ScalingReason
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.reasons import Finding
from llmdeployment_operator.plan.base.routes import find_canary
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.load import observe_runtime
from llmdeployment_operator.plan.observed.readiness import check_placement
from llmdeployment_operator.plan.observed.scaling_status import (
    ScalingState,
    read_scaling_state,
)
from llmdeployment_operator.plan.rollout.arms import DesiredArm, list_desired_arms
from llmdeployment_operator.plan.rollout.replicas import DesiredReplicas
from llmdeployment_operator.plan.rollout.snapshot import Snapshot
from llmdeployment_operator.plan.rollout.surge import WHOLE, share_replicas

SOONEST = 1.0
"""Seconds between two looks: passes that come sooner, since something happened, are no new evidence."""

CLOCK_SLIP = 60.0
"""Seconds that a state may be ahead of the clock before it is taken for one of another clock."""


@dataclass(frozen=True)
class RuntimeGroup:
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
class RuntimeRecommendation:
    """What the law said of a runtime at this look."""

    runtime: str
    replicas: int
    reason: ScalingReason
    message: str


@dataclass(frozen=True)
class ScalingPlan:
    """What autoscaling comes to in a pass.

    Attributes:
        wanted: how many replicas the requests need.
        memory: what has to be remembered; None without `spec.scaling`.
        told: what the law said; nothing when it did not look.
        blocked: why replicas that were ordered have no place, if they have none.
        canaries: the runtimes of canaries.
    """

    wanted: DesiredReplicas
    memory: ScalingState | None = None
    recommendations: tuple[RuntimeRecommendation, ...] = ()
    blocked: Finding | None = None
    canaries: frozenset[str] = field(default_factory=frozenset)

    def with_needs(self, needs: Mapping[str, int]) -> "ScalingPlan":
        """Return it with what the canaries' runtimes get: their share of the requests may be more than the law asked for."""
        memory = self.memory
        for runtime in sorted(self.canaries & needs.keys()) if memory is not None else ():
            memory = memory.having(runtime, needs[runtime]) if memory is not None else None
        return replace(self, memory=memory)


def plan_scaling(snapshot: Snapshot) -> ScalingPlan:
    """Return how many replicas the requests need now."""
    deployment, cluster = snapshot.deployment, snapshot.cluster
    spec, now = deployment.spec.scaling, snapshot.now
    if spec is None:
        return ScalingPlan(DesiredReplicas(deployment.spec.replicas))
    asked = list_desired_arms(snapshot)
    serving = _list_serving(snapshot, asked)
    coming = _list_coming(snapshot, asked, serving)
    before = cluster.scaling if cluster.scaling is not None else read_scaling_state(cluster.status)
    states = _read_states(deployment, spec, cluster, before, (*serving, *coming))
    policy = read_policy(spec)
    least = max(policy.minimum, find_minimum(read_schedules(spec), now.timestamp()))
    policy = replace(policy, minimum=min(policy.maximum, least))
    total = sum(states[group.runtime].desired or 0 for group in serving)
    autoscaler = _Autoscaler(deployment.metadata.name, policy, cluster, total, now)
    memory, recommendations, blocked = ScalingState({}, before.decisions), [], None
    for group in (*serving, *coming):
        state, place = states[group.runtime], check_placement(cluster, group.runtime)
        blocked = blocked or place
        if deployment.spec.paused:
            memory = replace(memory, states={**memory.states, group.runtime: state})
            continue
        after, recommendation, record = autoscaler.recommend_for(
            group, state, blocked=place is not None
        )
        memory = replace(memory, states={**memory.states, group.runtime: after})
        memory = memory.with_record(record) if record is not None else memory
        recommendations += [recommendation] if recommendation is not None else []
    return ScalingPlan(
        wanted=_count_desired(deployment, memory, serving, coming),
        memory=memory,
        recommendations=tuple(recommendations),
        blocked=blocked,
        canaries=frozenset(group.runtime for group in coming),
    )


@dataclass(frozen=True)
class _Autoscaler:
    """The law, and all that is the same for every runtime."""

    name: str
    policy: ScalingPolicy
    cluster: ClusterState
    total: int
    now: datetime

    def recommend_for(
        self, group: RuntimeGroup, state: AutoscalerState, *, blocked: bool
    ) -> tuple[AutoscalerState, RuntimeRecommendation | None, ScalingDecisionStatus | None]:
        """Return a runtime's state after this look, what the law said, and the decision if it is one to act on."""
        at, current = self.now.timestamp(), state.desired or 0
        if state.at is not None and state.at > at + CLOCK_SLIP:
            # Of another clock: what was learned is kept by nobody's time.
            state = AutoscalerState(desired=current)
        new = state.at is None or at - state.at >= SOONEST
        when = at if new or state.at is None else state.at
        held = bool(group.arms)
        service = runtime_names(self.name, group.runtime).name
        observation = observe_runtime(
            self.cluster, group.runtime, service, current, when, held=held
        )
        made = recommend(self._policy(group, current, blocked=blocked), observation, state, at)
        recommendation = RuntimeRecommendation(
            group.runtime, made.replicas, made.reason, made.message
        )
        if made.replicas == current:
            return made.state, recommendation if new else None, None
        record = ScalingDecisionStatus(
            at=format_time(self.now),
            runtime=group.runtime,
            before=current,
            after=made.replicas,
            reason=made.reason.value,
            message=made.message,
            inputs={name: f"{value:g}" for name, value in made.inputs.items()},
        )
        return made.state, recommendation, record

    def _policy(self, group: RuntimeGroup, current: int, *, blocked: bool) -> ScalingPolicy:
        """Return the law's policy for one runtime: its part of the bounds, narrower where it may not go down, or not up."""
        whole = self.policy
        least = share_replicas(whole.minimum, group.percent) if group.arms else 0
        most = share_replicas(whole.maximum, group.percent)
        least = max(least, share_replicas(self.total, group.grows) if group.grows else 0)
        if group.rolling:
            # Nor is there a way to judge a new revision without replicas.
            least = max(least, current, 1)
        if blocked:
            # What was ordered has no place yet: more of it would not have one either.
            most = min(most, max(current, least))
        return replace(whole, minimum=min(least, most), maximum=most)


def _list_serving(snapshot: Snapshot, asked: Iterable[DesiredArm]) -> tuple[RuntimeGroup, ...]:
    """Return the runtimes of the arms' stable revisions."""
    groups: dict[str, RuntimeGroup] = {}
    for arm in asked:
        stable = snapshot.find_stable_number(arm.name, arm.target.number)
        runtime = snapshot.runtimes.get(stable, "")
        group = groups.get(runtime, RuntimeGroup(runtime, {}, rolling=False))
        groups[runtime] = RuntimeGroup(
            runtime,
            {**group.arms, arm.name: arm.percent},
            rolling=group.rolling or snapshot.is_rolling(arm.name),
            grows=group.grows + (arm.weight if arm.grows else 0),
        )
    return tuple(groups.values())


def _list_coming(
    snapshot: Snapshot, asked: Iterable[DesiredArm], serving: Iterable[RuntimeGroup]
) -> tuple[RuntimeGroup, ...]:
    """Return the runtimes of canaries that have pods of their own."""
    taken, found = {group.runtime for group in serving}, {}
    name, children = snapshot.deployment.metadata.name, snapshot.cluster.children
    for arm in asked:
        if not snapshot.is_rolling(arm.name):
            continue
        routed = find_canary(snapshot.routes, arm.name)
        for number in (arm.target.number, *(routed or ())[:1]):
            runtime = snapshot.runtimes.get(number, "")
            exists = (Kind.DEPLOYMENT, runtime_names(name, runtime).name)
            if runtime and runtime not in taken and exists in children:
                found[runtime] = RuntimeGroup(runtime, {}, rolling=True)
    return tuple(found.values())


def _read_states(
    deployment: LLMDeployment,
    spec: ScalingSpec,
    cluster: ClusterState,
    memory: ScalingState,
    groups: tuple[RuntimeGroup, ...],
) -> dict[str, AutoscalerState]:
    """Return the state of each runtime; of one that is new with what it has, or its part of what `spec.replicas` begins with."""
    known = sum(memory.states[g.runtime].desired or 0 for g in groups if g.runtime in memory.states)
    first = min(spec.max_replicas, max(spec.min_replicas, deployment.spec.replicas))
    found: dict[str, AutoscalerState] = {}
    for group in groups:
        name = runtime_names(deployment.metadata.name, group.runtime).name
        live = cluster.children.get((Kind.DEPLOYMENT, name))
        has = live["spec"].get("replicas", 1) if live is not None else None
        begins = has if has is not None else share_replicas(known or first, group.percent)
        found[group.runtime] = memory.states.get(group.runtime) or AutoscalerState(desired=begins)
    return found


def _count_desired(
    deployment: LLMDeployment,
    memory: ScalingState,
    serving: tuple[RuntimeGroup, ...],
    coming: tuple[RuntimeGroup, ...],
) -> DesiredReplicas:
    runtimes = {group.runtime: memory.states[group.runtime].desired or 0 for group in serving}
    arms = {
        name: _share_of(runtimes[group.runtime], percent, group.percent)
        for group in serving
        for name, percent in group.arms.items()
    }
    # With spec.rollout.maxSurge it is that which says how many a canary may have.
    unlimited = deployment.spec.rollout.max_surge is None
    canaries = {
        group.runtime: memory.states[group.runtime].desired or 0 for group in coming if unlimited
    }
    return DesiredReplicas(sum(runtimes.values()), arms, runtimes, canaries)


def _share_of(replicas: int, percent: int, whole: int) -> int:
    """Return an arm's part of the replicas of a runtime that it shares, at least one of any.

    >>> _share_of(4, 90, 100), _share_of(4, 10, 100), _share_of(3, 10, 10), _share_of(0, 10, 20)
    (4, 1, 3, 0)
    """
    return max(1, -(-replicas * percent // whole)) if replicas else 0
