"""All replicas of a revision get what the first one found at the source."""

import copy
import json
from typing import Any

import pytest
from tests.support.world import World, pod, sample

from llmdeployment_operator.plan.base import names

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def world() -> World:
    made = World(sample("gpu"))
    made.step()
    return made


def fetched(name: str, runtime: str, commit: str, at: str) -> dict[str, Any]:
    made = pod("worker", name, runtime, conditions=[])
    made["metadata"]["creationTimestamp"] = at
    state = {"terminated": {"exitCode": 0, "message": json.dumps({"commit": commit})}}
    made["status"]["initContainerStatuses"] = [{"name": "fetch-model", "state": state}]
    return made


def pin(world: World) -> str | None:
    (runtime,) = world.runtimes()
    name = names.pin_name(world.raw["metadata"]["name"], runtime)
    found = world.cluster.children.get(("ConfigMap", name))
    return None if found is None else str(found["data"]["commit"])


def commits(world: World) -> list[str | None]:
    return [row.get("commit") for row in world.status["revisions"]]


def test_the_oldest_replica_that_has_its_model_decides(world: World) -> None:
    (runtime,) = world.runtimes()
    template = copy.deepcopy(
        next(o for (kind, _), o in world.cluster.children.items() if kind == "Deployment")
    )
    assert (pin(world), commits(world)) == (None, [None])
    world.pods(
        fetched("w1", runtime, SECOND, "2026-01-01T00:00:02Z"),
        fetched("w2", runtime, FIRST, "2026-01-01T00:00:01Z"),
    )
    world.step()
    assert (pin(world), commits(world)) == (FIRST, [FIRST])
    # No pod restarts for it.
    again = next(o for (kind, _), o in world.cluster.children.items() if kind == "Deployment")
    assert again["spec"]["template"] == template["spec"]["template"]


def test_it_stays_whatever_later_replicas_say_and_without_any(world: World) -> None:
    (runtime,) = world.runtimes()
    world.pods(fetched("w1", runtime, FIRST, "2026-01-01T00:00:01Z"))
    world.step()
    world.pods(fetched("w0", runtime, SECOND, "2026-01-01T00:00:00Z"))
    world.step()
    assert (pin(world), commits(world)) == (FIRST, [FIRST])
    world.pods()
    world.step()
    assert (pin(world), commits(world)) == (FIRST, [FIRST])


def test_a_map_that_was_deleted_comes_back_from_the_status(world: World) -> None:
    (runtime,) = world.runtimes()
    world.pods(fetched("w1", runtime, FIRST, "2026-01-01T00:00:01Z"))
    world.step()
    left = {
        ref: obj for ref, obj in world.cluster.children.items() if not ref[1].endswith("-model")
    }
    assert len(left) == len(world.cluster.children) - 1
    world.observe(children=left)
    world.pods(fetched("w2", runtime, SECOND, "2026-01-01T00:00:03Z"))
    world.step()
    assert pin(world) == FIRST


def test_another_revision_of_the_same_pods_has_the_same_files(world: World) -> None:
    (runtime,) = world.runtimes()
    world.pods(fetched("w1", runtime, FIRST, "2026-01-01T00:00:01Z"))
    world.step()
    world.edit(prompt={"system": "Be brief."})
    world.step()
    assert commits(world) == [FIRST, FIRST]
