"""How many revisions are kept, and how many the status lists."""

import copy

from tests.support.stories import serving_world
from tests.support.world import World, sample

from llmdeployment_operator.api.status import MOST_REVISIONS
from llmdeployment_operator.plan.base.revisions import MOST_HISTORY


def test_old_revisions_are_forgotten_beyond_the_limit() -> None:
    world = serving_world()
    world.edit(revisionHistoryLimit=2, rollout={"rollbackWindow": "0s"})
    for number in range(6):
        world.edit(prompt={"system": f"Version {number}."})
        for _ in range(4):
            world.step()
            world.gateway_applies(up=2)
    world.settle()
    kept = sorted(name for kind, name in world.cluster.children if kind == "ControllerRevision")
    assert kept == ["simulated-r5", "simulated-r6", "simulated-r7"]


def test_while_no_gateway_answers_revisions_do_not_grow_without_end() -> None:
    world = World(sample("simulated"))
    for number in range(MOST_HISTORY + 40):
        world.edit(prompt={"system": f"Version {number}."})
        world.step()
    kept = [name for kind, name in world.cluster.children if kind == "ControllerRevision"]
    assert MOST_HISTORY <= len(kept) <= MOST_HISTORY + 3
    rows = world.status["revisions"]
    assert {row["name"] for row in rows} <= set(kept)
    assert rows[-1]["number"] == MOST_HISTORY + 40


def test_a_status_lists_no_more_revisions_than_it_has_room_for() -> None:
    assert MOST_REVISIONS == 128
    world = World(sample("simulated"))
    for number in range(MOST_HISTORY):
        world.edit(prompt={"system": f"Version {number}."})
        world.step()
    # Paused, the operator deletes nothing that an operator of an older version has left.
    world.edit(paused=True)
    oldest = world.cluster.children["ControllerRevision", "simulated-r1"]
    for number in range(200, 240):
        copied = copy.deepcopy(oldest)
        copied["metadata"] |= {"name": f"simulated-r{number}", "uid": f"uid-{number}"}
        copied["revision"] = number
        copied["data"]["template"] |= {"prompt": {"system": f"Version {number}."}}
        world.cluster.children["ControllerRevision", f"simulated-r{number}"] = copied
    world.step()
    rows = world.status["revisions"]
    assert len(rows) == MOST_REVISIONS
    assert rows[-1]["number"] >= 239
