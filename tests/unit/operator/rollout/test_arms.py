"""Arms of an A/B test, as the whole plan makes them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import GATEWAY, conditions, message, pods_of, serving_world
from tests.support.world import World, sample

from llmdeployment_operator.plan.base.routes import (
    BUCKETS,
    Share,
    build_routes,
    read_routes,
    sum_weights,
)

TERSE = {"prompt": {"system": "One sentence."}}
OTHER = {"engine": {"args": {"seed": 7}}}


def arms(**weighted: int | tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `spec.arms`: a weight each, or a weight with overrides."""
    pairs = {
        name: value if isinstance(value, tuple) else (value, {}) for name, value in weighted.items()
    }
    return [
        {"name": name, "weight": weight, "overrides": overrides}
        for name, (weight, overrides) in pairs.items()
    ]


def split(world: World) -> list[tuple[str, int, int]]:
    config_map = world.cluster.children["ConfigMap", "simulated-routes"]
    return [(route.arm, route.revision, route.below) for route in read_routes(config_map)]


def workers(world: World) -> dict[str, int]:
    return {
        runtime: world.cluster.children["Deployment", f"simulated-{runtime}"]["spec"]["replicas"]
        for runtime in world.runtimes()
    }


def rest(world: World) -> None:
    """Let the world do what it is told until nothing is left to do."""
    for _ in range(12):
        world.step()
        world.obey()
    world.settle()


def test_a_prompt_is_tried_against_the_one_there_is_on_the_same_pods() -> None:
    world = serving_world()
    world.edit(arms=arms(control=90, terse=(10, TERSE)))
    world.step()
    assert split(world) == [("main", 1, BUCKETS)]  # Ray Serve was not told of the prompt yet
    assert conditions(world)["Progressing"] == ("True", "ArmsWaiting")
    assert "2 of arm terse" not in message(world)
    rest(world)
    assert split(world) == [("control", 1, 9000), ("terse", 2, BUCKETS)]
    assert len(world.runtimes()) == 1
    assert list(workers(world).values()) == [2]
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert message(world).startswith(
        "Arm control gets 90 % (revision 1), arm terse gets 10 % (revision 2)."
    )
    status = world.status
    assert status["traffic"] == "control rev1 90% terse rev2 10%"
    assert [(row["name"], row["weight"], row["stable"]) for row in status["arms"]] == [
        ("control", 90, 1),
        ("terse", 10, 2),
    ]


def test_another_engine_gets_its_part_of_the_replicas_before_its_requests() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    world.edit(replicas=4, arms=arms(a=75, b=(25, OTHER)))
    world.step()
    (new,) = set(world.runtimes()) - {old}
    assert workers(world) == {
        old: 4,
        new: 1,
    }  # all of the old one until the arms have their weights
    assert split(world) == [("main", 1, BUCKETS)]
    assert conditions(world)["Ready"][0] == "False"
    rest(world)
    assert split(world) == [("a", 1, 7500), ("b", 2, BUCKETS)]
    assert workers(world) == {old: 3, new: 1}


def test_an_arm_that_ends_keeps_its_requests_until_the_others_can_take_them() -> None:
    world = serving_world()
    world.edit(replicas=4, arms=arms(a=50, b=(50, OTHER)))
    rest(world)
    (a, b) = workers(world)
    world.edit(arms=arms(a=100))
    world.step()
    assert split(world) == [("a", 1, 5000), ("b", 2, BUCKETS)]
    assert workers(world) == {a: 4, b: 2}
    assert message(world).startswith("Arm a: 2 of 4 replicas are ready.")
    rest(world)
    assert split(world) == [("a", 1, BUCKETS)]
    assert workers(world) == {a: 4}


def test_an_arm_of_another_name_takes_over_the_buckets_and_the_revision() -> None:
    world = serving_world()
    world.edit(arms=arms(a=60, b=(40, TERSE)))
    rest(world)
    world.edit(arms=arms(a=60, c=(40, TERSE)))
    rest(world)
    assert split(world) == [("a", 1, 6000), ("c", 2, BUCKETS)]


def test_two_arms_with_the_same_fields_share_a_revision() -> None:
    world = serving_world()
    world.edit(arms=arms(a=50, b=50))
    rest(world)
    assert split(world) == [("a", 1, 5000), ("b", 1, BUCKETS)]
    (row,) = world.status["revisions"]
    assert row["trafficPercent"] == 100


def test_each_arm_has_a_rollout_of_its_own_and_weights_wait_for_it() -> None:
    steps = [{"weight": 10, "pause": {}}]
    world = serving_world()
    world.edit(arms=arms(a=60, b=(40, TERSE)), rollout={"strategy": "Canary", "steps": steps})
    rest(world)
    louder = {"prompt": {"system": "Shout one sentence."}}
    world.edit(arms=arms(a=60, b=(40, louder)))
    rest(world)
    canary = [("a", 1, 6000), ("b", 3, 6400), ("b", 2, BUCKETS)]
    assert split(world) == canary
    assert world.status["traffic"] == "a rev1 60% b rev2 36% rev3 4%"
    assert conditions(world)["Progressing"] == ("True", "CanaryPaused")
    assert message(world).startswith("Arm b: Step 1 of 2")

    world.edit(arms=arms(a=50, b=(50, louder)))
    rest(world)
    assert split(world) == canary
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "3"}
    rest(world)
    assert split(world) == [("a", 1, 5000), ("b", 3, BUCKETS)]


def test_one_annotation_promotes_the_canaries_of_two_arms() -> None:
    world = serving_world()
    steps = [{"weight": 10, "pause": {}}]
    world.edit(arms=arms(a=60, b=(40, TERSE)), rollout={"strategy": "Canary", "steps": steps})
    rest(world)
    louder = {"prompt": {"system": "Shout one sentence."}}
    world.edit(prompt={"system": "Shout."}, arms=arms(a=60, b=(40, louder)))
    rest(world)
    assert [revision for _, revision, _ in split(world)] == [3, 1, 4, 2]
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "3,4/1"}
    rest(world)
    assert split(world) == [("a", 3, 6000), ("b", 4, BUCKETS)]


def test_paused_the_arms_stay_as_they_are() -> None:
    world = serving_world()
    world.edit(arms=arms(a=60, b=(40, TERSE)), paused=True)
    rest(world)
    assert split(world) == [("main", 1, BUCKETS)]


def test_the_first_arms_of_all_need_not_wait() -> None:
    raw = sample("simulated")
    raw["spec"]["arms"] = arms(a=60, b=(40, OTHER))
    world = World(raw)
    world.step()
    assert split(world) == [("a", 1, 6000), ("b", 2, BUCKETS)]
    assert list(workers(world).values()) == [2, 1]


def test_routes_that_somebody_takes_away_come_back_with_the_weights_the_status_tells() -> None:
    world = serving_world()
    world.edit(arms=arms(a=60, b=(40, TERSE)))
    rest(world)
    world.edit(arms=arms(a=50, b=(25, TERSE), c=(25, OTHER)))
    children = dict(world.cluster.children)
    del children["ConfigMap", "simulated-routes"]
    world.observe(children=children)
    world.step()
    assert split(world) == [("a", 1, 6000), ("b", 2, BUCKETS)]


def test_trouble_names_the_arm() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    world.edit(arms=arms(a=75, b=(25, OTHER)))
    world.step()
    (new,) = set(world.runtimes()) - {old}
    world.pods(*pods_of(old), *pods_of(new, workers=0), GATEWAY)
    world.serve(new, status="DEPLOY_FAILED", message="no such flag", config={}, declared_at=0.0)
    world.step()
    assert message(world, "Degraded").startswith(
        "Arm b: The engine fails in a replica. It says: no such flag."
    )


weighted = st.lists(st.integers(1, 98), min_size=1, max_size=1).map(lambda w: (w[0], 100 - w[0]))


@settings(max_examples=100, deadline=None)
@given(before=weighted, after=weighted, canary=st.integers(0, 99))
def test_a_weight_that_rises_moves_users_towards_it_only(
    before: tuple[int, int], after: tuple[int, int], canary: int
) -> None:
    def arms_at(pair: tuple[int, int]) -> list[str]:
        found = build_routes(
            [Share("a", pair[0], (1, "x"), (2, "y"), canary), Share("b", pair[1], (3, "z"))]
        )
        assert sum_weights(found) == {"a": pair[0], "b": pair[1]}
        return [
            next(row.arm for row in found if bucket < row.below) for bucket in range(0, BUCKETS, 25)
        ]

    moves = {(x, y) for x, y in zip(arms_at(before), arms_at(after), strict=True) if x != y}
    assert moves <= ({("b", "a")} if after[0] > before[0] else {("a", "b")})


CHANGES: list[list[dict[str, Any]]] = [
    [],
    arms(a=50, b=(50, TERSE)),
    arms(a=80, b=(20, OTHER)),
    arms(b=(30, OTHER), c=(30, TERSE), a=40),
]


@settings(max_examples=30, deadline=None)
@given(
    crashes=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=30),
    changes=st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3),
    passes=st.integers(1, 6),
)
def test_wherever_the_operator_is_killed_the_arms_end_as_the_spec_has_them(
    crashes: list[int | None], changes: list[list[dict[str, Any]]], passes: int
) -> None:
    world = serving_world()
    happenings = iter(crashes)
    for change in changes:
        world.edit(arms=change)
        for _ in range(passes):
            live(world, next(happenings, None))
    for _ in range(30):
        live(world, None)
    world.settle()
    wanted = {arm["name"]: arm["weight"] for arm in changes[-1]} or {"main": 100}
    assert (
        sum_weights(read_routes(world.cluster.children["ConfigMap", "simulated-routes"])) == wanted
    )
    assert conditions(world)["Ready"] == ("True", "Serving")


def live(world: World, writes: int | None) -> None:
    """One pass, cut short after so many writes if it is a number, then the world does what it was told; nobody is sent astray."""
    if writes is None:
        world.step()
    else:
        world.crash(writes)
    ready = {
        p["metadata"]["labels"].get("llmdeployment.dev/runtime")
        for p in world.cluster.pods
        if p["metadata"]["labels"]["llmdeployment.dev/component"] == "worker"
    }
    for _, revision, _ in split(world):
        record = world.cluster.children["ControllerRevision", f"simulated-r{revision}"]
        assert record["metadata"]["labels"]["llmdeployment.dev/runtime"] in ready
    world.obey()


@pytest.mark.parametrize("canary", [0, 1, 50, 99])
def test_a_canary_of_an_arm_has_its_percent_of_the_arm(canary: int) -> None:
    found = build_routes([Share("a", 90, (1, "x")), Share("b", 10, (2, "y"), (3, "z"), canary)])
    first = 9000
    assert [row.below for row in found if row.revision == 3] == (
        [first + canary * 10] if canary else []
    )
