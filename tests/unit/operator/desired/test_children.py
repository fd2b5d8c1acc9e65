"""Every child of the samples, as files to be read in a review. Renew them with LLMD_UPDATE_GOLDEN=1."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import World, sample

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object

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


@pytest.mark.parametrize(
    ("name", "key"), [("-ray", "token"), ("simulated-gateway-feedback", "key")]
)
def test_what_is_secret_is_in_its_secret_alone(name: str, key: str) -> None:
    objects = World(sample("simulated")).plan().apply
    (secret,) = (
        obj for obj in objects if obj["kind"] == "Secret" and obj["metadata"]["name"].endswith(name)
    )
    encoded = secret["data"][key]
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


def select_labels(obj: Object) -> dict[str, str]:
    """Return the labels that an object's selector asks for."""
    found = obj["spec"].get("selector") or obj["spec"].get("podSelector") or {}
    return dict(found.get("matchLabels", found))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_child_has_the_recommended_labels_and_no_selector_asks_for_them(name: str) -> None:
    raw = sample(name)
    for obj in World(raw).plan().apply:
        labels = obj["metadata"]["labels"]
        recommended = {key for key in labels if key.startswith("app.kubernetes.io/")}
        assert recommended == {
            f"app.kubernetes.io/{key}"
            for key in ("name", "instance", "component", "part-of", "managed-by")
        }
        assert labels["app.kubernetes.io/instance"] == raw["metadata"]["name"]
        # The operator's own pods are selected by its name.
        assert labels["app.kubernetes.io/name"] != names.MANAGER
        if "spec" in obj:
            assert not recommended & select_labels(obj).keys()


def test_an_overlay_may_say_what_a_pod_is_part_of_and_not_whose_it_is() -> None:
    raw = sample("simulated")
    ours = {names.OWNER: "other", names.MANAGED_BY: "me", "app.kubernetes.io/part-of": "shop"}
    raw["spec"]["podTemplate"] = {"metadata": {"labels": ours}}
    worker = next(
        obj
        for obj in World(raw).plan().apply
        if obj["kind"] == "Deployment" and names.RUNTIME in obj["metadata"]["labels"]
    )
    labels = worker["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/part-of"] == "shop"
    assert labels[names.OWNER] == raw["metadata"]["name"]
    assert labels[names.MANAGED_BY] == names.MANAGER
