"""What a change needs of accelerators is said before its first pod is made, and while one waits."""

from typing import Any

import pytest
from tests.support.stories import GATEWAY, conditions, message, pods_of
from tests.support.world import World, pod, sample

from llmdeployment_operator.plan.base.pods import Capacity


def serving(replicas: int = 4) -> World:
    """A world in which four replicas of two GPUs each answer."""
    world = World(sample("gpu"))
    world.edit(replicas=replicas)
    world.step()
    world.obey()
    for _ in range(4):
        world.step()
    assert conditions(world)["Ready"] == ("True", "Serving")
    return world


def change(world: World, **rollout: Any) -> None:
    world.edit(image="serving:2", rollout=rollout)


def free(count: int) -> dict[str, Capacity]:
    return {"nvidia.com/gpu": Capacity(total=8 + count, taken=8, partial=False)}


PLANS = {
    "enough": (
        {},
        free(8),
        "Revision 2 needs 8 nvidia.com/gpu in addition to the 8 in use. 8 of the cluster's 16 are free.",
    ),
    "too few for all": (
        {},
        free(5),
        (
            "5 of the cluster's 13 are free. The rollout waits for 3 more. Free them, add nodes, "
            "set spec.rollout.maxSurge: 2 (replicas are replaced 2 at a time), "
            "or set spec.rollout.strategy: Recreate (requests wait meanwhile)."
        ),
    ),
    "too few for one": (
        {},
        free(1),
        "The rollout waits for 7 more. Free them, add nodes, or set spec.rollout.strategy: Recreate (requests wait meanwhile).",
    ),
    "one in, one out": (
        {"maxSurge": 1},
        free(2),
        (
            "Revision 2 needs 2 nvidia.com/gpu in addition to the 8 in use. "
            "With spec.rollout.maxSurge 1, replicas are replaced 1 at a time. 2 of the cluster's 10 are free."
        ),
    ),
    "one in, one out, but none free": (
        {"maxSurge": 1},
        free(0),
        (
            "0 of the cluster's 8 are free. The rollout waits for 2 more. Free them, add nodes, "
            "or set spec.rollout.strategy: Recreate (requests wait meanwhile)."
        ),
    ),
    "nodes may not be listed": (
        {},
        {},
        "in addition to the 8 in use. How many are free is unknown, because the operator may not read nodes.",
    ),
}


@pytest.mark.parametrize(("rollout", "capacity", "words"), PLANS.values(), ids=PLANS)
def test_the_plan_is_said_and_the_change_begins(
    rollout: dict[str, Any], capacity: dict[str, Capacity], words: str
) -> None:
    world = serving()
    change(world, **rollout)
    world.observe(capacity=capacity)
    plan = world.step()
    assert conditions(world)["Progressing"] == ("True", "AcceleratorsPlanned")
    assert message(world, "Progressing").endswith(words)
    assert conditions(world)["Degraded"][0] == "False"
    assert "AcceleratorsPlanned" in [event.reason for event in plan.events]
    assert any(obj["kind"] == "StatefulSet" for obj in plan.apply)

    world.step()
    assert conditions(world)["Progressing"] == ("True", "StartingRay")


def test_while_a_pod_waits_the_plan_counts_those_that_do_not() -> None:
    world = serving()
    (old,) = world.runtimes()
    change(world)
    world.step()
    (new,) = set(world.runtimes()) - {old}
    placed = pod("worker", "placed", new)
    placed["spec"]["nodeName"] = "node"
    waiting = pod("worker", "w", new, conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "lastTransitionTime": "2026-01-02T03:00:00Z",
         "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}])  # fmt: skip
    waiting["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}}
    world.pods(*pods_of(old, workers=4), pod("head", "h", new), placed, waiting, GATEWAY)
    world.observe(capacity=free(0))
    world.step()
    assert conditions(world)["Progressing"] == ("True", "WaitingForGPU")
    assert "Revision 2 needs 6 nvidia.com/gpu in addition to the 8 in use." in message(
        world, "Progressing"
    )
    assert "The rollout waits for 6 more." in message(world, "Progressing")


@pytest.mark.parametrize("spec", [{"prompt": {"system": "Shout."}}, {"replicas": 5}])
def test_what_needs_no_new_pods_beside_the_old_ones_has_no_plan(spec: dict[str, Any]) -> None:
    world = serving()
    world.edit(**spec)
    world.observe(capacity=free(0))
    world.step()
    assert conditions(world)["Progressing"][1] != "AcceleratorsPlanned"
    assert "in addition" not in message(world, "Progressing")


def test_recreate_needs_none_beside() -> None:
    world = serving()
    change(world, strategy="Recreate")
    world.observe(capacity=free(0))
    world.step()
    assert conditions(world)["Progressing"][1] != "AcceleratorsPlanned"
