"""`spec.rollout.maxSurge`: one in, one out. Whatever comes up when, nobody's requests lack replicas and no replica is too many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import GATEWAY, pods_of, serving_world, split
from tests.support.world import sample

from llmdeployment_operator.api.rollout import Pause, RolloutSpec, Step
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.rollout.canary import plan_step, surge
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STEPS = (Step(weight=5), Step(weight=25), Step(weight=50, pause=Pause(duration="1s")))
surges = st.one_of(st.integers(1, 1000).map(str), st.integers(1, 100).map(lambda n: f"{n}%"))


@settings(max_examples=300)
@given(replicas=st.integers(1, 1000), max_surge=surges, need=st.integers(1, 1000))
def test_one_in_one_out_ends_within_its_bounds(replicas: int, max_surge: str, need: int) -> None:
    need, room = min(need, replicas), surge.count_room(max_surge, replicas)
    weight, before = 0, -1
    while True:
        old, new = surge.split(replicas, room, weight, need)
        assert old + new <= replicas + room
        assert old <= replicas
        assert new <= need
        # What is left to the old ones, to the percent; the new ones are never short.
        assert old * 100 > replicas * (100 - weight - 1)
        assert new * 100 >= replicas * weight
        if new == need:
            return
        assert weight > before
        before, weight = weight, surge.percent_carried(replicas, new)


class Cluster:
    """Replicas come up late and go at once; gateways apply the routes late."""

    def __init__(self, policy: RolloutSpec, replicas: int) -> None:
        self.policy, self.replicas, self.now = policy, replicas, NOW
        self.weight, self.state, self.stable = 0, RolloutState(stable=1), 1
        self.alive = {1: replicas, 2: 0}
        self.applied_weight = 0
        self.done = False

    def plan(self, *, comes: int, applies: bool) -> RolloutStep:
        self.now += timedelta(seconds=5)
        inputs = RolloutInputs(
            stable=1,
            target=2,
            weight=self.weight,
            ready=dict(self.alive),
            alive=dict(self.alive),
            answered={1, 2},
            applied=self.weight == self.applied_weight,
            replicas=self.replicas,
        )
        found = plan_step(self.policy, inputs, self.state, Commands(), self.now)
        self.state, self.weight = found.state, found.weight
        self.done = found.stable == 2
        wanted = {number: found.needs.get(number, 0) for number in (1, 2)}
        if not self.done:
            self.alive = {
                number: min(wanted[number], have + comes) for number, have in self.alive.items()
            }
        if applies:
            self.applied_weight = self.weight
        return found


@settings(max_examples=150, deadline=None)
@given(
    canary=st.booleans(),
    replicas=st.integers(1, 40),
    max_surge=surges,
    happenings=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
)
def test_a_rollout_keeps_to_it_and_takes_over(
    canary: bool,  # noqa: FBT001  # because hypothesis gives it by keyword
    replicas: int,
    max_surge: str,
    happenings: list[tuple[int, bool]],
) -> None:
    policy = RolloutSpec(
        strategy="Canary" if canary else "BlueGreen",
        steps=STEPS if canary else (),
        max_surge=max_surge,
    )
    cluster = Cluster(policy, replicas)
    most = replicas + surge.count_room(max_surge, replicas)
    for comes, applies in [*happenings, *[(replicas, True)] * 400]:
        found = cluster.plan(comes=comes, applies=applies)
        if cluster.done:
            break
        assert found.weight >= cluster.applied_weight or found.weight == 0
        assert found.needs[1] + found.needs[2] <= most
        # Between two weights each revision has what the one that is worse for it takes.
        assert cluster.alive[1] * 100 > replicas * (100 - cluster.applied_weight - 1)
        assert cluster.alive[2] * 100 >= replicas * max(cluster.weight, cluster.applied_weight)
    assert cluster.done
    if surge.count_room(max_surge, replicas) < replicas:
        assert cluster.state.warm == ()
    assert found.needs[2] == replicas


def test_revisions_in_the_same_pods_need_no_room() -> None:
    policy = RolloutSpec(max_surge="1")
    seen = RolloutInputs(1, 2, 0, {1: 8}, {1: 8, 2: 8}, {1}, applied=True, replicas=8)
    assert plan_step(policy, seen, RolloutState(stable=1), Commands(), NOW).needs == {1: 8, 2: 1}
    shared = replace(seen, runtimes={1: "a", 2: "a"})
    assert plan_step(policy, shared, RolloutState(stable=1), Commands(), NOW).needs == {1: 8, 2: 8}


def test_the_story_of_two_replicas_and_room_for_one() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    world.edit(
        engine={"name": "simulated", "args": {"seed": 2}},
        rollout={"maxSurge": 1, "rollbackWindow": "10m"},
    )
    world.step()
    (new,) = set(world.runtimes()) - {old}

    def workers() -> tuple[int, int]:
        found = world.cluster.children
        replicas = (found["Deployment", f"simulated-{r}"]["spec"]["replicas"] for r in (old, new))
        first, second = replicas
        return first, second

    assert workers() == (2, 1)
    world.serve(new, replicas=1)
    world.pods(*pods_of(old), *pods_of(new, workers=1), GATEWAY)
    world.step()
    world.step()
    assert split(world) == [(2, 5000), (1, 10000)]
    assert workers() == (2, 1)  # no gateway has heard of it yet

    world.gateway_applies(up=2)
    world.step()
    world.serve(old, replicas=1)
    world.step()
    assert workers() == (1, 2)
    world.pods(*pods_of(old, workers=1), *pods_of(new), GATEWAY)
    world.serve(new, replicas=2)
    world.step()
    world.step()
    assert split(world) == [(2, 10000)]
    assert "warm" not in world.status["arms"][0]


@pytest.mark.parametrize("value", [0, "0%", "101%", -1, "some", 1.5, True])
def test_what_is_no_surge_is_refused(value: Any) -> None:
    raw = sample("simulated")
    with pytest.raises(SpecError, match=r"spec\.rollout\.maxSurge"):
        parse({**raw, "spec": {**raw["spec"], "rollout": {"maxSurge": value}}})
