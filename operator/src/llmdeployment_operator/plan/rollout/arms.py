"""The arms of an A/B/n test: what each asks for, the move of each one's rollout, and when their weights change.

Each arm has a rollout of its own. The weights among them are a policy, applied in place, with the same order as a step of a canary:
capacity first, then traffic. An arm that is new, or gets more, has its requests once the replicas for them answer; until then all
arms keep what they have, those that the spec has no more included.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import (
    ARM,
    Route,
    Share,
    build_routes,
)
from llmdeployment_operator.plan.observed.readiness import check_placement
from llmdeployment_operator.plan.rollout.canary import plan_paused_step, plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.gate import build_gate
from llmdeployment_operator.plan.rollout.inputs import build_inputs
from llmdeployment_operator.plan.rollout.replicas import DesiredReplicas
from llmdeployment_operator.plan.rollout.snapshot import Snapshot
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep


@dataclass(frozen=True)
class Arm:
    """One arm as the spec has it: its percent of the requests, and the LLMDeployment with the arm's own template fields."""

    name: str
    weight: int
    deployment: LLMDeployment


@dataclass(frozen=True)
class DesiredArm:
    """An arm that exists: as the spec asks for it, as the routes have it, or both.

    Attributes:
        name: of the arm.
        weight: its percent of all requests by the spec; 0 for one that is leaving.
        routed: the percent that it has.
        target: the revision the spec asks of it; of an arm that is leaving, the one it has.
        fixed: whether no arm has any request yet, so that none has to wait for more of them.
    """

    name: str
    weight: int
    routed: int
    target: Revision
    fixed: bool = False

    @property
    def percent(self) -> int:
        """The most it may have now."""
        return max(self.weight, self.routed)

    @property
    def grows(self) -> bool:
        """Whether it is to get more than it has."""
        return not self.fixed and self.weight > self.routed


@dataclass(frozen=True)
class ArmStep:
    """What one arm does now.

    Attributes:
        name: of the arm.
        weight: its percent of all requests; 0 for one that has none yet.
        target: the revision the spec asks of it; of an arm that is leaving, the one it has.
        step: of its rollout.
    """

    name: str
    weight: int
    target: Revision
    step: RolloutStep


@dataclass(frozen=True)
class Arms:
    """All arms, in the order of their buckets, and what keeps their weights from being the spec's."""

    steps: tuple[ArmStep, ...]
    waits: Finding | None = None

    @property
    def routed(self) -> tuple[ArmStep, ...]:
        """Those that have requests."""
        return tuple(arm for arm in self.steps if arm.weight)

    def stable(self) -> frozenset[int]:
        """The revisions that serve."""
        return frozenset(arm.step.stable for arm in self.steps)

    def in_use(self) -> frozenset[int]:
        """The revisions that are asked for or need replicas."""
        needed = (number for arm in self.steps for number in arm.step.needs)
        return frozenset({*needed, *(arm.target.number for arm in self.steps)})


def list_arms(deployment: LLMDeployment) -> tuple[Arm, ...]:
    """Return the arms of a spec: one, `main`, if it names none."""
    spec = deployment.spec
    if not spec.arms:
        return (Arm(ARM, 100, deployment),)
    return tuple(
        Arm(arm.name, arm.weight, deployment.model_copy(update={"spec": spec.of_arm(arm)}))
        for arm in spec.arms
    )


def list_desired_arms(snapshot: Snapshot) -> tuple[DesiredArm, ...]:
    """Return the arms there are, those of the spec first."""
    wanted, routed = snapshot.desired_weights, snapshot.weights
    names = [*wanted, *(name for name in routed if name not in wanted)]
    found = ((name, snapshot.targets.get(name) or snapshot.find_current(name)) for name in names)
    return tuple(
        DesiredArm(name, wanted.get(name, 0), routed.get(name, 0), target, fixed=not routed)
        for name, target in found
        if target is not None
    )


def plan_arms(snapshot: Snapshot, wanted: DesiredReplicas) -> Arms:
    """Return what every arm does now.

    Args:
        snapshot: what the pass decides on.
        wanted: how many replicas the requests need.
    """
    found: dict[str, tuple[RolloutInputs, Revision, RolloutStep]] = {}
    arms = list_desired_arms(snapshot)
    crowded = _is_crowded(snapshot, arms)
    for arm in arms:
        replicas = wanted.of_arm(arm.name, arm.percent)
        inputs = build_inputs(snapshot, arm.name, arm.target, replicas)
        gate = build_gate(snapshot.deployment, snapshot.cluster, inputs.stable, arm.target.number)
        inputs = replace(inputs, gate=gate, crowded=crowded)
        found[arm.name] = (inputs, arm.target, _plan_step(snapshot, arm.name, inputs))
    waits = _check_weights(snapshot, found, wanted)
    layout = snapshot.weights if waits is not None else snapshot.desired_weights
    order = [*layout, *(name for name in found if name not in layout)]
    steps = (ArmStep(n, layout.get(n, 0), found[n][1], found[n][2]) for n in order if n in found)
    return Arms(tuple(steps), waits)


def _is_crowded(snapshot: Snapshot, asked: Iterable[DesiredArm]) -> bool:
    """Say whether a revision that serves, or is to, has a replica without a place."""
    needed = {
        number
        for arm in asked
        for number in (
            arm.target.number,
            snapshot.find_stable_number(arm.name, arm.target.number),
        )
    }
    places = (check_placement(snapshot.cluster, snapshot.runtimes[number]) for number in needed)
    return any(place is not None for place in places)


def plan_routes(name: str, arms: Arms, revisions: Iterable[Revision]) -> tuple[Route, ...]:
    """Return the routes by which the requests go as these moves say."""
    services = {r.number: (r.number, runtime_names(name, r.runtime).name) for r in revisions}
    return build_routes(
        Share(
            arm.name,
            arm.weight,
            services[arm.step.stable],
            services[arm.step.canary] if arm.step.canary is not None else None,
            arm.step.weight,
        )
        for arm in arms.routed
    )


def count_needs(
    arms: Arms, revisions: Iterable[Revision], wanted: DesiredReplicas
) -> dict[str, int]:
    """Return replicas by runtime: of each arm as many as the revision on it that needs most; together never more than all requests need."""
    runtimes = {r.number: r.runtime for r in revisions}
    stable = {runtimes[number] for number in arms.stable()}
    own: dict[str, int] = {}
    beside: dict[str, int] = {}
    for arm in arms.steps:
        of_arm: dict[str, int] = {}
        for number, need in arm.step.needs.items():
            if number in runtimes:
                runtime = runtimes[number]
                of_arm[runtime] = max(need, of_arm.get(runtime, 0))
        for runtime, need in of_arm.items():
            part = own if runtime == runtimes.get(arm.step.stable) else beside
            part[runtime] = part.get(runtime, 0) + need
    needs: dict[str, int] = {}
    for runtime in dict.fromkeys((*own, *beside)):
        serving = min(wanted.of_runtime(runtime), own.get(runtime, 0))
        need = min(wanted.total, serving + beside.get(runtime, 0))
        needs[runtime] = max(need, wanted.canaries.get(runtime, 0))
    # What serves is written before what comes.
    return dict(sorted(needs.items(), key=lambda pair: pair[0] not in stable))


def _plan_step(snapshot: Snapshot, arm: str, inputs: RolloutInputs) -> RolloutStep:
    state, on_record = snapshot.state_of(arm), snapshot.runtimes
    state = replace(state, warm=tuple(w for w in state.warm if w.revision in on_record))
    if snapshot.deployment.spec.paused:
        return plan_paused_step(inputs, state)
    rollout = snapshot.deployment.spec.rollout
    return plan_step(rollout, inputs, state, snapshot.commands, snapshot.now)


def _check_weights(
    snapshot: Snapshot,
    found: Mapping[str, tuple[RolloutInputs, Revision, RolloutStep]],
    replicas: DesiredReplicas,
) -> Finding | None:
    """Return why the arms keep the weights they have, or None: when they have the spec's, or none at all."""
    wanted, routed = snapshot.desired_weights, snapshot.weights
    if not routed or list(wanted.items()) == list(routed.items()):
        return None
    if snapshot.deployment.spec.paused:
        text = "spec.paused is true. The arms keep their weights until it is false."
        return Finding(Reason.PAUSED, text)
    for name, weight in wanted.items():
        inputs, _, step = found[name]
        if name in routed and (inputs.weight or step.weight):
            # Other buckets would move users of the canary back to the stable revision.
            why = f"The arms keep their weights until the rollout of arm {name} has ended."
            return Finding(Reason.ARMS_WAITING, why)
        if (
            name not in routed
            and (held := _check_gate(snapshot.commands, name, inputs)) is not None
        ):
            return held
        need, have = replicas.before_traffic(name, weight), inputs.ready.get(step.stable, 0)
        if have < need or step.stable not in inputs.ready:
            why = (
                f"The arms keep their weights until {need} replicas of arm {name} are ready "
                f"(revision {step.stable}). So far {have} are."
            )
            return Finding(Reason.ARMS_WAITING, why)
    return None


def _check_gate(commands: Commands, name: str, inputs: RolloutInputs) -> Finding | None:
    """Return why an arm that is new gets no request yet, or never: the evaluation of its revision."""
    if inputs.gate is None or commands.promotes_fully(inputs.target):
        return None
    verdict = inputs.gate.verdict(inputs.gate.attempt(commands.retry.get(inputs.target)))
    if verdict.refused:
        why = (
            f"Arm {name} gets no requests. {verdict.refused} Change the arm or the golden set, try again with the "
            f"annotation llmdeployment.dev/retry: {inputs.target}/{verdict.attempt}, or skip the evaluation with "
            f"llmdeployment.dev/promote: {inputs.target}"
        )
        return Finding(Reason.ROLLED_BACK, why)
    return verdict.pending
