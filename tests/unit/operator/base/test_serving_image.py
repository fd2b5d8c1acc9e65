"""Which serving image the pods of an LLMDeployment have: an engine is in it, whatever the spec asks for."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, sample

GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
OTHER = {"resources": {"limits": {"example.com/npu": 2}}}
MOUNTED = replace(SETTINGS, environment_claim="serving-env")


def images(world: World) -> set[str]:
    """Return the images of a runtime's containers, init containers too."""
    templates = [
        obj["spec"]["template"]["spec"]
        for obj in world.plan().apply
        if obj["kind"] in {"StatefulSet", "Deployment"}
        and not obj["metadata"]["name"].endswith("-gateway")
    ]
    assert templates
    containers = [c for t in templates for c in [*t["containers"], *t.get("initContainers", [])]]
    return {container["image"] for container in containers}


def volumes(world: World) -> set[str]:
    """Return the claims that a runtime's pods mount."""
    mounted = set()
    for obj in world.plan().apply:
        if obj["kind"] in {"StatefulSet", "Deployment"}:
            for volume in obj["spec"]["template"]["spec"].get("volumes", []):
                mounted.add(volume.get("persistentVolumeClaim", {}).get("claimName"))
    return mounted - {None}


@pytest.mark.parametrize(
    ("name", "change", "image"),
    [
        ("smollm2-cpu", {}, "serving:1-cpu"),
        ("smollm2-cpu", GPU, "serving:1-gpu"),
        ("smollm2-cpu", OTHER, "serving:1-gpu"),
        ("smollm2-cpu", {"image": "mine:2"}, "mine:2"),
        ("smollm2-cpu", {"model": {"source": "hf://a/b"}} | GPU, "serving:1-gpu"),
        ("smollm2-transformers", {}, "serving:1-cpu"),
        ("smollm2-transformers", GPU, "serving:1-gpu"),
        ("simulated", {}, "serving:1-simulated"),
        ("simulated", GPU, "serving:1-simulated"),
        ("external", {}, "serving:1-simulated"),
    ],
)
def test_the_image_has_the_engine_that_the_spec_asks_for(
    name: str, change: dict[str, Any], image: str
) -> None:
    world = World(sample(name))
    world.edit(**change)

    assert images(world) == {image}


@pytest.mark.parametrize(
    ("name", "change", "mounted"),
    [
        ("smollm2-cpu", {}, True),
        ("smollm2-cpu", GPU, False),
        ("smollm2-cpu", {"image": "mine:2"}, False),
        ("simulated", {}, False),
    ],
)
def test_only_the_image_without_packages_gets_them_mounted(
    name: str, *, change: dict[str, Any], mounted: bool
) -> None:
    world = World(sample(name), settings=MOUNTED)
    world.edit(**change)

    assert ("serving-env" in volumes(world)) is mounted
