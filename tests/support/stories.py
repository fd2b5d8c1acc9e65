"""What stories about a `World` are told with."""

from typing import Any

from tests.support.world import World, pod, sample

from llmdeployment_operator.plan.base.routes import read_routes


def conditions(world: World) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in world.status["conditions"]}


def message(world: World, kind: str = "Ready") -> str:
    """Return what a condition says, as a reader would find it: in Ready, where it points there."""
    told: dict[str, str] = {c["type"]: c["message"] for c in world.status["conditions"]}
    return told["Ready"] if "condition Ready says" in told[kind] else told[kind]


def routed(world: World) -> int:
    """The one revision that gets everything."""
    ((revision, _),) = split(world)
    return revision


def split(world: World) -> list[tuple[int, int]]:
    """Revisions and the end of their buckets, in order."""
    config_map = next(o for (k, _), o in world.cluster.children.items() if k == "ConfigMap")
    return [(route.revision, route.below) for route in read_routes(config_map)]


def pods_of(runtime: str, workers: int = 2) -> list[dict[str, Any]]:
    made = [pod("worker", f"w-{runtime}-{n}", runtime) for n in range(workers)]
    return [pod("head", f"h-{runtime}", runtime), *made]


GATEWAY = pod("gateway", "g-0")


def serving_world() -> World:
    """A world in which the first revision answers."""
    world = World(sample("simulated"))
    world.step()
    (runtime,) = world.runtimes()
    world.pods(*pods_of(runtime), GATEWAY)
    world.serve(runtime)
    world.step()
    world.serve(runtime, replicas=2)
    world.gateway_applies(up=2)
    world.settle()
    return world
