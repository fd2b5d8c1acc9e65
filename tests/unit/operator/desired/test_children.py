"""Every child of the samples, as files to be read in a review. Renew them with LLMD_UPDATE_GOLDEN=1."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import World, sample

GOLDEN = Path("tests/data/operator")
SAMPLES = ["external", "gpu", "httproute", "simulated", "smollm2-cpu"]


def rendered(name: str) -> str:
    objects = json.loads(json.dumps(World(sample(name)).plan().apply))  # no YAML anchors
    return yaml.safe_dump_all(objects, sort_keys=True, width=120)


@pytest.mark.parametrize("name", SAMPLES)
def test_golden(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        path.write_text(rendered(name))
    assert rendered(name) == path.read_text()


def pod_specs(name: str) -> list[dict[str, Any]]:
    kinds = {"Deployment", "StatefulSet"}
    objects = [obj for obj in World(sample(name)).plan().apply if obj["kind"] in kinds]
    return [obj["spec"]["template"]["spec"] for obj in objects]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_pod_meets_the_restricted_standard(name: str) -> None:
    for spec in pod_specs(name):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


@pytest.mark.parametrize("name", SAMPLES)
def test_only_the_gateway_has_credentials_of_the_cluster(name: str) -> None:
    for spec in pod_specs(name):
        gateway = any(c["name"] == "haproxy" for c in spec["containers"])
        assert spec["automountServiceAccountToken"] is gateway


def test_the_token_is_in_the_secret_alone() -> None:
    objects = World(sample("simulated")).plan().apply
    (secret,) = (obj for obj in objects if obj["kind"] == "Secret")
    encoded = secret["data"]["token"]
    others = yaml.safe_dump_all([obj for obj in objects if obj["kind"] != "Secret"])
    assert encoded not in others
    assert base64.b64decode(encoded).decode() not in others


def test_what_the_overlay_mounts_in_ray_is_there_when_the_model_is_fetched() -> None:
    raw = sample("smollm2-cpu")
    raw["spec"]["model"] = {"source": "hf://org/name@main"}
    mount = {"name": "more", "mountPath": "/more"}
    raw["spec"]["podTemplate"] = {
        "spec": {
            "containers": [{"name": "ray", "volumeMounts": [mount]}],
            "volumes": [{"name": "more", "emptyDir": {}}],
        }
    }
    objects = World(raw).plan().apply
    head, worker = (
        obj["spec"]["template"]["spec"]
        for kind in ("StatefulSet", "Deployment")
        for obj in objects
        if obj["kind"] == kind and obj["metadata"]["name"] != "smollm2-gateway"
    )
    (fetch,) = worker["initContainers"]
    assert mount in fetch["volumeMounts"]
    assert fetch["args"][0] == "fetch-model"
    assert "initContainers" not in head
