"""The self-test, as the whole plan treats it: what replicas are held to, what the status says, and what is told to Ray Serve."""

from typing import Any

import pytest
from tests.support.stories import conditions, message
from tests.support.world import World, sample

from llmdeployment_operator.plan.observed.cluster_state import SelfTestReport
from llmdeployment_operator.plan.observed.self_test import find_runtimes_to_test
from llmdeployment_operator.plan.observed.stats import read_self_test

GOOD = SelfTestReport(-2.9, computed=-2.901)


def start(**spec: Any) -> World:
    raw = sample("simulated")
    raw["spec"] |= {"replicas": 2, **spec}
    world = World(raw)
    for _ in range(6):
        world.step()
        world.obey()
    world.settle()
    return world


def hear(world: World, **reports: SelfTestReport) -> None:
    """Let replicas say this, by the end of their pods' names, and settle."""
    (runtime,) = world.runtimes()
    world.observe(self_tests={f"{runtime}-{name[1:]}": said for name, said in reports.items()})
    world.settle()


def tell(world: World) -> Any:
    """Return the `selfTest` that Ray Serve was told."""
    (runtime,) = world.runtimes()
    config = world.cluster.serve[runtime].config
    assert config is not None
    return config["deployments"][0]["user_config"].get("selfTest")


def read(world: World) -> Any:
    return world.status["revisions"][0].get("selfTest")


def test_the_transformers_reference_is_stored_and_sent_to_all_replicas() -> None:
    world = start()
    (runtime,) = world.runtimes()
    assert (tell(world), read(world)) == (None, None)
    assert find_runtimes_to_test(world.deployment, world.cluster) == {runtime}
    hear(world, r0=SelfTestReport(-2.95), r1=GOOD)
    assert tell(world) == {"reference": -2.901}
    assert read(world) == {
        "reference": "-2.9010",
        "referenceFrom": "Transformers",
        "replicas": [
            {"pod": f"{runtime}-0", "score": "-2.950"},
            {"pod": f"{runtime}-1", "score": "-2.900"},
        ],
    }
    assert find_runtimes_to_test(world.deployment, world.cluster) == frozenset()


def test_what_was_heard_once_outlives_a_restart_of_the_operator_and_of_the_replicas() -> None:
    world = start()
    hear(world, r0=GOOD, r1=GOOD)
    before = read(world)
    hear(world)
    assert (read(world), tell(world)) == (before, {"reference": -2.901})
    world.edit(replicas=0)
    for _ in range(4):
        world.step()
        world.obey()
    world.settle()
    assert read(world) == {key: before[key] for key in ("reference", "referenceFrom")}


def test_without_transformers_the_replica_that_was_there_first_is_the_reference() -> None:
    world = start(engine={"name": "simulated", "selfTest": {"reference": "FirstReplica"}})
    assert tell(world) == {"referenceFrom": "FirstReplica"}
    hear(world, r0=SelfTestReport(-2.95), r1=SelfTestReport(-2.9))
    assert tell(world) == {"referenceFrom": "FirstReplica", "reference": -2.95}
    hear(world, r1=SelfTestReport(-2.9))
    assert read(world)["reference"] == "-2.9500"


def test_a_revision_in_the_same_pods_has_the_same_reference() -> None:
    world = start()
    hear(world, r0=GOOD, r1=GOOD)
    before = read(world)
    world.edit(prompt={"system": "Be brief."})
    for _ in range(4):
        world.step()
        world.obey()
    world.settle()
    assert [row["selfTest"] for row in world.status["revisions"]] == [before, before]


def test_settings_reach_running_replicas_without_a_revision() -> None:
    world = start()
    hear(world, r0=GOOD, r1=GOOD)
    pods, settings = world.runtimes(), {"periodSeconds": 600}
    world.edit(engine={**world.raw["spec"]["engine"], "selfTest": settings})
    world.settle()
    assert (tell(world), world.runtimes()) == ({"reference": -2.901, "periodSeconds": 600}, pods)
    world.edit(engine={**world.raw["spec"]["engine"], "selfTest": {"enabled": False}})
    world.settle()
    assert (tell(world), read(world), world.runtimes()) == ({"enabled": False}, None, pods)
    assert len(world.status["revisions"]) == 1
    assert find_runtimes_to_test(world.deployment, world.cluster) == frozenset()


def test_a_replica_that_fails_is_named_with_its_node() -> None:
    world = start()
    (runtime,) = world.runtimes()
    pods = list(world.cluster.pods)
    bad = next(p for p in pods if p["metadata"]["name"] == f"{runtime}-1")
    bad["spec"]["nodeName"] = "node-7"
    bad["status"]["conditions"][1]["status"] = "False"
    said = "it scores -9.100 nats a token, and the reference is -2.900: they differ by 6.200, more than 0.05"
    world.serve(
        runtime, status="UPDATING", message=f"the self-test failed on pod {runtime}-1: {said}"
    )
    world.step()
    assert conditions(world)["Degraded"] == ("True", "SelfTestFailed")
    text = message(world, "Degraded")
    assert f"pod {runtime}-1: {said}" in text
    assert "The pod is on node node-7." in text
    assert "spec.engine.selfTest.enabled" in text


@pytest.mark.parametrize(
    "report",
    [
        {"score": 1.0},
        {"score": float("nan")},
        {"score": "-2.9"},
        {"score": -1e5},
        {"score": -2.9, "referenceFrom": "Transformers"},
        {"score": -2.9, "reference": [], "referenceFrom": "Transformers"},
        [],
    ],
)
def test_an_invalid_report_is_ignored(report: Any) -> None:
    assert read_self_test({"selfTest": report}) is None
