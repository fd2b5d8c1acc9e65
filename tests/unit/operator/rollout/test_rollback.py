"""A canary that is not asked for any more, under `spec.rollout.maxSurge`: the stable revision gets what it can carry."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import GATEWAY, conditions, message, pods_of, serving_world, split
from tests.support.world import World

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.api.rollout import AnalysisSpec, MetricSpec, Pause, RolloutSpec, Step
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.rollout.canary import plan_paused_step, plan_step, surge
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import (
    Rejection,
    RolloutState,
    build_arm_status,
    read_rollout_state,
)
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STEPS = (Step(weight=5), Step(weight=25), Step(weight=50, pause=Pause()))
CANARY = RolloutSpec(strategy="Canary", steps=STEPS, max_surge="1")
BLUE_GREEN = RolloutSpec(max_surge="1")


class Cluster:
    """Three revisions; replicas come late and go at once, gateways apply the routes late, a pass may end before its status is written."""

    def __init__(self, policy: RolloutSpec, replicas: int) -> None:
        self.policy, self.replicas, self.now = policy, replicas, NOW
        self.state, self.commands, self.target = RolloutState(stable=1), Commands(), 2
        self.routes: tuple[int, int | None, int] = (1, None, 0)
        self.applied = self.routes
        self.alive = {1: replicas, 2: 0, 3: 0}

    @property
    def most(self) -> int:
        return self.replicas + surge.count_room(self.policy.max_surge or "", self.replicas)

    def plan(self, *, comes: int, applies: bool, crashes: bool) -> RolloutStep:
        self.now += timedelta(seconds=5)
        stable, canary, weight = self.routes
        own = canary == self.target
        inputs = RolloutInputs(
            stable=stable,
            target=self.target,
            weight=weight if own else 0,
            ready=dict(self.alive),
            alive=dict(self.alive),
            answered={1, 2, 3},
            applied=self.routes == self.applied,
            replicas=self.replicas,
            other=None if own else canary,
            other_weight=0 if own else weight,
        )
        found = plan_step(self.policy, inputs, self.state, self.commands, self.now)
        read = read_rollout_state(Status(arms=(build_arm_status(found.state, "main"),)), "main")
        assert read == found.state
        self.state = self.state if crashes else read
        self.routes = (found.stable, found.canary if found.weight else None, found.weight)
        for number, have in self.alive.items():
            if number in found.needs:
                self.alive[number] = min(found.needs[number], have + comes)
            elif self.routes == self.applied:
                self.alive[number] = 0
        if applies:
            self.applied = self.routes
        return found

    def weights(self) -> list[int]:
        """What the canary may have, by one gateway or another."""
        return [self.routes[2], self.applied[2]]


def aborted(cluster: Cluster) -> None:
    cluster.commands = Commands(abort={2})


def too_late(cluster: Cluster) -> None:
    gone = Rejection(2, cluster.state.attempt, cluster.now, "too late")
    cluster.state = replace(cluster.state, rejected=gone)


def reverted(cluster: Cluster) -> None:
    cluster.target = 1


def changed(cluster: Cluster) -> None:
    cluster.target = 3


ENDS = [aborted, too_late, reverted, changed]
happening = st.tuples(st.integers(0, 3), st.booleans(), st.booleans())


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from([CANARY, BLUE_GREEN]),
    replicas=st.integers(2, 8),
    max_surge=st.sampled_from(["1", "2", "40%"]),
    before=st.lists(happening, max_size=60),
    end=st.sampled_from(ENDS),
    after=st.lists(happening, max_size=60),
)
def test_nobody_lacks_replicas_and_all_ends_on_the_stable_one(
    policy: RolloutSpec,
    replicas: int,
    max_surge: str,
    before: list[tuple[int, bool, bool]],
    end: Callable[[Cluster], None],
    after: list[tuple[int, bool, bool]],
) -> None:
    cluster = Cluster(policy.model_copy(update={"max_surge": max_surge}), replicas)
    for comes, applies, crashes in before:
        cluster.plan(comes=comes, applies=applies, crashes=crashes)
        if cluster.routes[0] != 1:
            return
    end(cluster)
    weight = cluster.routes[2]
    for comes, applies, crashes in [*after, *[(1, True, False)] * 60]:
        found = cluster.plan(comes=comes, applies=applies, crashes=crashes)
        assert sum(found.needs.values()) <= cluster.most
        assert sum(cluster.alive.values()) <= cluster.most
        if found.stable == 1:
            carried = 100 - min(cluster.weights())
            assert cluster.alive[1] >= surge.count_needed(replicas, carried)
        if cluster.target != 3:
            assert cluster.alive[2] * 100 >= replicas * max(cluster.weights())
            assert cluster.routes[2] <= weight
        weight = cluster.routes[2]
    if cluster.target == 3 and policy.strategy == "Canary":
        assert cluster.routes == (1, 3, 50)
    elif cluster.target == 3:
        assert cluster.routes == (3, None, 0)
    else:
        assert cluster.routes == (1, None, 0)
        assert cluster.alive == {1: replicas, 2: 0, 3: 0}


def inputs(weight: int = 50, stable: int = 4, canary: int = 5, **more: object) -> RolloutInputs:
    """Half-way from revision 1 to 2, with 8 replicas and room for one."""
    alive = {1: stable, 2: canary}
    found = RolloutInputs(1, 2, weight, alive, alive, {1, 2}, applied=True, replicas=8)
    return replace(found, **more)


ON_ITS_WAY = RolloutState(stable=1, canary=2, step=2, weight=50, progress_at=NOW)
REJECTED = replace(
    ON_ITS_WAY, rejected=Rejection(2, 1, NOW, "Revision 2 was rolled back. It was slow.")
)
GIVEN_UP = ON_ITS_WAY.taken_back(2, 50)
ELSE = {"target": 3, "weight": 0, "other": 2, "other_weight": 50}

# seen, memory -> the canary and what is left to it, replicas, words of the stage
BACK = {
    "the canary's surplus makes room": (inputs(), REJECTED, (2, 50), {1: 5, 2: 4}, "still gets 50 %,"),
    "one answers, its part goes back": (
        inputs(stable=5, canary=4), REJECTED, (2, 37), {1: 5, 2: 4}, "still gets 37 %, because 5 of 8 replicas of revision 1 are ready."),
    "until the gateways know no replica goes": (
        inputs(37, 5, 4, applied=False), REJECTED, (2, 37), {1: 5, 2: 4}, "still gets 37 %"),
    "then one does": (inputs(37, 5, 4), REJECTED, (2, 37), {1: 6, 2: 3}, "still gets 37 %"),
    "all that is left": (inputs(12, 8, 1), REJECTED, (None, 0), {1: 8, 2: 1}, "gets none any more."),
    "the gateways still have to hear": (
        inputs(0, 8, 1, applied=False), GIVEN_UP, (None, 0), {1: 8, 2: 1}, "gets none any more."),
    "a revert": (
        inputs(target=1, weight=0, other=2, other_weight=50), ON_ITS_WAY, (2, 50), {1: 5, 2: 4},
        "to revision 1. Revision 2 still gets 50 %"),
    "another spec": (inputs(**ELSE), ON_ITS_WAY, (2, 50), {1: 5, 2: 4}, "are ready. The rollout of revision 3 begins after that."),
    "another spec waits for the gateways": (
        inputs(target=3, weight=0, applied=False), ON_ITS_WAY, (None, 0), {1: 4, 2: 5}, "of revision 3 begins after that."),
    "another spec and a lost status": (
        inputs(target=3, weight=0, stable=8, canary=1, applied=False), RolloutState(stable=1), (None, 0), {1: 8},
        "of revision 3 begins after that."),
    "nothing of it answers": (
        inputs(canary=0), REJECTED, (None, 0), {1: 8, 2: 0}, "No replica of revision 2 is ready any more."),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "state", "left", "needs", "words"), BACK.values(), ids=BACK)
def test_a_step_back(
    seen: RolloutInputs,
    state: RolloutState,
    left: tuple[int | None, int],
    needs: dict[int, int],
    words: str,
) -> None:
    commands = Commands(abort={2}) if state is GIVEN_UP and seen.target == 2 else Commands()
    found = plan_step(CANARY, seen, state, commands, NOW)
    assert (found.stable, found.canary, found.weight) == (1, *left)
    assert found.needs == needs
    assert found.stage is not None
    assert words in found.stage.message
    assert found.look_at == NOW
    reason = Reason.ROLLED_BACK if seen.target == 2 else Reason.CANARY
    assert found.stage.reason is reason


@pytest.mark.parametrize(
    "seen",
    [inputs(), inputs(target=1, weight=0, other=2, other_weight=50)],
    ids=["rolled back", "reverted"],
)
@pytest.mark.parametrize(
    ("policy", "more"),
    [
        (CANARY.model_copy(update={"max_surge": None}), {}),
        (CANARY.model_copy(update={"max_surge": "100%"}), {}),
        (CANARY, {"runtimes": {1: "a", 2: "a"}}),
    ],
    ids=["no maxSurge", "room for all", "the same pods"],
)
def test_what_needs_no_room_goes_back_at_once(
    policy: RolloutSpec, more: dict[str, object], seen: RolloutInputs
) -> None:
    found = plan_step(policy, replace(seen, **more), REJECTED, Commands(), NOW)
    assert (found.canary, found.weight, found.needs) == (None, 0, {1: 8})


def test_one_that_fails_its_requests_gives_back_at_once_and_says_so() -> None:
    errors, slow = MetricSpec(name="errorRate"), MetricSpec(name="ttft", milliseconds=500)
    found = {}
    for metric, key in ((errors, "errorRate"), (slow, "ttft>500ms")):
        policy = CANARY.model_copy(update={"analysis": AnalysisSpec(metrics=(metric,))})
        bad = {CountKey(key): Stratum(Counts(1000, 1), Counts(1000, 400))}
        state = replace(ON_ITS_WAY, analysis=Analysis(bad))
        found[key] = plan_step(policy, inputs(), state, Commands(), NOW)
    at_once, in_steps = found["errorRate"], found["ttft>500ms"]
    assert (at_once.canary, at_once.weight) == (None, 0)
    assert at_once.needs == {1: 4, 2: 5}  # its pods go when every gateway knows
    assert at_once.stage is not None
    assert (
        "It lost its requests at once, because it answered them with errors."
        in at_once.stage.message
    )
    assert "llmdeployment.dev/retry: 2/1" in at_once.stage.message
    assert (in_steps.canary, in_steps.weight) == (2, 50)
    assert in_steps.stage is not None
    assert "Revision 2 still gets 50 %," in in_steps.stage.message


def test_another_try_on_the_way_back_begins_anew_with_what_it_has() -> None:
    back = plan_step(CANARY, inputs(stable=5, canary=4), REJECTED, Commands(), NOW)
    seen = inputs(37, 5, 3)
    again = plan_step(CANARY, seen, back.state, Commands(retry={2: 1}), NOW)
    assert (again.canary, again.weight, again.state.attempt) == (2, 37, 2)
    assert again.state.progress_at == NOW
    assert again.state.step == 2
    after = plan_step(CANARY, seen, again.state, Commands(retry={2: 1}), NOW)
    assert (after.state.attempt, after.state.progress_at) == (2, NOW)


def test_spec_paused_nothing_is_given_back() -> None:
    seen = inputs(target=1, weight=0, other=2, other_weight=50)
    found = plan_paused_step(seen, ON_ITS_WAY)
    assert (found.stable, found.canary, found.weight, found.state) == (1, 2, 50, ON_ITS_WAY)


def workers(world: World) -> dict[str, int]:
    found = world.cluster.children
    return {r: found["Deployment", f"simulated-{r}"]["spec"]["replicas"] for r in world.runtimes()}


def half_way() -> tuple[World, str, str]:
    """A change of four replicas, one in, one out, that is paused at 50 %."""
    world = serving_world()
    world.edit(replicas=4)
    rest(world)
    (old,) = world.runtimes()
    steps = [{"weight": 50, "pause": {}}]
    world.edit(
        engine={"name": "simulated", "args": {"seed": 2}},
        rollout={"strategy": "Canary", "steps": steps, "maxSurge": 1},
    )
    rest(world)
    (new,) = set(world.runtimes()) - {old}
    assert (split(world), workers(world)) == ([(2, 5000), (1, 10_000)], {old: 3, new: 2})
    return world, old, new


def rest(world: World) -> None:
    for _ in range(15):
        world.step()
        world.obey()
    world.settle()


def test_an_abort_half_way_is_told_and_carried_out_step_by_step() -> None:
    world, old, new = half_way()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/abort": "2"}
    world.pods(*pods_of(old, workers=2), *pods_of(new, workers=2), GATEWAY)
    world.step()
    assert (split(world), workers(world)) == ([(2, 5000), (1, 10_000)], {old: 3, new: 2})
    told = message(world, "Degraded")
    assert "Revision 2 still gets 50 %, because 2 of 4 replicas of revision 1 are ready." in told
    assert "Revision 2 is aborted by the annotation" in told
    assert world.plan().requeue_after == 2.0
    seen = [world.status["traffic"]]
    for _ in range(12):
        world.obey()
        world.step()
        if world.status["traffic"] != seen[-1]:
            seen.append(world.status["traffic"])
    assert seen == ["rev1 50% rev2 50%", "rev1 75% rev2 25%", "rev1 100%"]
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    assert "canary" not in world.status["arms"][0]
    rest(world)
    assert workers(world) == {old: 4}


CHANGES = {
    "model": {"model": {"source": "file:///other"}},
    "another": {"model": {"source": "file:///another"}},
    "prompt": {"prompt": {"system": "Shout."}},
    "back": {},
}


@settings(max_examples=30, deadline=None)
@given(
    crashes=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=40),
    changes=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4),
    passes=st.integers(1, 12),
)
def test_wherever_the_operator_is_killed_no_replica_is_too_many(
    crashes: list[int | None], changes: list[str], passes: int
) -> None:
    world = serving_world()
    original = {key: world.raw["spec"][key] for key in ("model", "prompt")}
    world.edit(replicas=4, rollout={"maxSurge": 1})
    rest(world)
    happenings = iter(crashes)
    for change in changes:
        world.edit(**{**original, **CHANGES[change]})
        for _ in range(passes):
            live(world, next(happenings, None))
    for _ in range(40):
        live(world, None)
    world.settle()
    ((number, _),) = split(world)
    record = world.cluster.children["ControllerRevision", f"simulated-r{number}"]
    wanted = {**original, **CHANGES[changes[-1]]}
    assert {key: record["data"]["template"].get(key) for key in wanted} == wanted
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert list(workers(world).values()) == [4]


def live(world: World, writes: int | None) -> None:
    """One pass, cut short after so many writes if it is a number, then the world does what it was told."""
    if writes is None:
        world.step()
    else:
        world.crash(writes)
    before = {
        runtime: sum(of_worker(pod) == runtime for pod in world.cluster.pods)
        for runtime in workers(world)
    }
    first = 0
    for revision, below in split(world):
        record = world.cluster.children["ControllerRevision", f"simulated-r{revision}"]
        runtime = record["metadata"]["labels"]["llmdeployment.dev/runtime"]
        assert before[runtime] >= surge.count_needed(4, (below - first) // 100)
        first = below
    world.obey()
    if writes is None:
        # A replica that was about to go may stay, but no pod is made that is too many.
        asked = sum(min(pods, declared(world, r)) for r, pods in workers(world).items())
        assert asked <= max(5, sum(before.values()))
    world.now += timedelta(seconds=5)


def declared(world: World, runtime: str) -> int:
    """The replicas that Ray Serve was told to have."""
    config = world.cluster.serve[runtime].config or {"deployments": [{"num_replicas": 0}]}
    return int(config["deployments"][0]["num_replicas"])


def of_worker(pod: dict[str, dict[str, dict[str, str]]]) -> str | None:
    labels = pod["metadata"]["labels"]
    worker = labels["llmdeployment.dev/component"] == "worker"
    return labels["llmdeployment.dev/runtime"] if worker else None
