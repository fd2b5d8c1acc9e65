"""What kstatus makes of an LLMDeployment, the library by which Flux and Helm 4 know whether an object is done, still at work or failed.

The objects are those of Argo CD's test, which have the operator's own conditions. Their expected states are written here by hand.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev.cluster import go_builds
from dev.cluster.control_plane import ControlPlane
from tests.support import crd

VERSION = "0.37.2"
MODULE = f"module kstatus\n\ngo 1.26\n\nrequire sigs.k8s.io/cli-utils v{VERSION}\n"
OBJECTS = Path(__file__).parents[2] / (
    "manifests/argocd/resource_customizations/llmdeployment.dev/LLMDeployment/testdata"
)
EXPECTED = {
    "canary": "InProgress",
    "canary_paused": "InProgress",
    "changed_at_zero": "InProgress",
    "degraded": "Current",
    "healthy": "Current",
    "more_replicas": "Current",
    "paused": "Current",
    "paused_and_degraded": "Current",
    "progressing": "InProgress",
    "refused": "Failed",
    "rolled_back": "Failed",
    "scaled_to_zero": "Current",
    "stale_generation": "InProgress",
    "stalled": "Failed",
    "stumbling": "InProgress",
    "stumbling_beside_what_serves": "InProgress",
    "tried_again": "InProgress",
}
BARE = {"new"}
"""Objects without a status, which an API server gives one."""


@pytest.fixture(scope="module")
def kstatus() -> Path:
    return go_builds.build_source("kstatus", VERSION, MODULE) / "kstatus"


def compute(kstatus: Path, *objects: dict[str, Any]) -> list[str]:
    """Return the status of each object."""
    done = subprocess.run(
        [kstatus], input=json.dumps(objects), capture_output=True, text=True, check=True
    )
    return [each["status"] for each in json.loads(done.stdout)]


def test_flux_and_helm_see_what_the_conditions_say(kstatus: Path) -> None:
    paths = {path.stem: path for path in OBJECTS.glob("*.yaml")}
    objects = [yaml.safe_load(paths[name].read_text()) for name in EXPECTED]

    assert paths.keys() == EXPECTED.keys() | BARE
    assert dict(zip(EXPECTED, compute(kstatus, *objects), strict=True)) == EXPECTED


def test_an_object_that_no_operator_has_seen_is_not_done(
    kstatus: Path, control_plane: ControlPlane, namespace: str
) -> None:
    crd.install(control_plane)
    body = yaml.safe_load((OBJECTS / "new.yaml").read_text())
    body["metadata"]["namespace"] = namespace

    status, found = crd.request(control_plane, crd.collection(namespace), body)

    assert status == 201, found
    assert compute(kstatus, found) == ["InProgress"]
