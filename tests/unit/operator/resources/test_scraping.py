"""Pods say by annotations where their metrics are, if that is asked for."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, sample

from llmdeployment_operator.api.types import LLMDeployment, parse
from llmdeployment_operator.plan.resources.runtime import render_runtime
from llmdeployment_operator.plan.traffic.gateway import build_gateway

ANNOTATED = replace(SETTINGS, scrape_annotations=True)


def deploy(**spec: Any) -> LLMDeployment:
    return parse(
        {
            "metadata": {"name": "chat", "namespace": "team", "uid": "u", "generation": 1},
            "spec": {"model": {"source": "pvc://models/a"}, **spec},
        }
    )


def at(port: int) -> dict[str, str]:
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/metrics",
    }


def list_templates(deployment: LLMDeployment, settings: Any) -> dict[str, Any]:
    runtime = render_runtime(deployment, "aaaa", settings, head_volume="emptyDir")
    gateway = next(o for o in build_gateway(deployment, settings, "") if o["kind"] == "Deployment")
    return {part: spec["template"] for part, spec in runtime.items()} | {
        "gateway": gateway["spec"]["template"]
    }


@pytest.mark.parametrize(("part", "port"), [("head", 8268), ("worker", 30002), ("gateway", 9090)])
def test_annotations_name_a_port_that_the_pod_has(part: str, port: int) -> None:
    template = list_templates(deploy(), ANNOTATED)[part]
    assert template["metadata"]["annotations"] == at(port)
    ports = [each for c in template["spec"]["containers"] for each in c["ports"]]
    assert port in [each["containerPort"] for each in ports]
    assert "annotations" not in list_templates(deploy(), SETTINGS)[part]["metadata"]


def test_a_pod_template_adds_its_own_and_may_change_them() -> None:
    own = {"note": "x", "prometheus.io/scrape": "false"}
    deployment = deploy(podTemplate={"metadata": {"annotations": own}})
    template = list_templates(deployment, ANNOTATED)["worker"]
    assert template["metadata"]["annotations"] == at(30002) | own


@pytest.mark.parametrize("part", ["head", "worker"])
def test_monitors_find_the_ports_by_name(part: str) -> None:
    (container,) = list_templates(deploy(), SETTINGS)[part]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports["ray-metrics"] == 8268
    assert ports.get("metrics") == (30002 if part == "worker" else None)


def test_connecting_prometheus_restarts_no_replica() -> None:
    world = World(sample("gpu"))
    for _ in range(3):
        world.settle()
        world.obey()
    world.settle()
    peer = {"namespaceSelector": {}}
    world.settings = replace(world.settings, scrapers=(peer,))
    # Peers are in the policies alone.
    assert {obj["kind"] for obj in world.plan().apply} == {"NetworkPolicy"}
    world.settings = replace(world.settings, scrape_annotations=True)
    written = [(obj["kind"], obj["metadata"]["name"]) for obj in world.plan().apply]
    pods = [each for each in written if each[0] != "NetworkPolicy"]
    assert pods == [("Deployment", f"{world.raw['metadata']['name']}-gateway")]
    # The next revision that makes pods has them.
    world.step()
    old = set(world.runtimes())
    world.edit(engine={"name": "vllm", "args": {"max-model-len": 2048}})
    world.settle()
    (new,) = set(world.runtimes()) - old
    name = f"{world.raw['metadata']['name']}-{new}"
    template = world.cluster.children["Deployment", name]["spec"]["template"]
    assert template["metadata"]["annotations"] == at(30002)
