"""The cluster's nodes are read when a revision is about to start, and only then."""

from collections.abc import Iterator

import pytest
from dev.cluster import api
from dev.cluster.control_plane import ControlPlane
from tests.component.operator.test_passes import conditions, simulated
from tests.support.cluster_client import ClusterClient
from tests.support.passes import make_pass

from llmdeployment_operator.reconcile import DeploymentKey, Operator

pytestmark = pytest.mark.component

NODE = "/api/v1/nodes/accelerated"
ONE = {"limits": {"example.com/accelerator": 1}}


@pytest.fixture
def node(control_plane: ControlPlane) -> Iterator[None]:
    """A node with three accelerators, which no test has a use for but this one."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "accelerated"}}
    api.call(control_plane.access, "POST", "/api/v1/nodes", body)
    amounts = {"example.com/accelerator": "3"}
    status = {"status": {"allocatable": amounts, "capacity": amounts}}
    merge = "application/merge-patch+json"
    api.call(control_plane.access, "PATCH", f"{NODE}/status", status, merge)
    yield
    api.call(control_plane.access, "DELETE", NODE)


@pytest.mark.usefixtures("node")
async def test_a_revision_that_is_about_to_start_is_told_what_is_free(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated(resources=ONE, replicas=4))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    deployment = cluster.get("LLMDeployment", "chat")
    assert deployment is not None
    # Nothing runs pods here: that the first revision has answered is what the status remembers.
    (row,) = deployment["status"]["revisions"]
    answered = {"status": {"revisions": [{**row, "firstReadyAt": "2026-01-02T03:04:05Z"}]}}
    cluster.patch("LLMDeployment", "chat", answered, "/status")

    cluster.patch("LLMDeployment", "chat", {"spec": {"engine": {"args": {"seed": 2}}}})
    await make_pass(operator, key)
    told = conditions(cluster)["Progressing"]
    assert told["reason"] == "AcceleratorsPlanned"
    assert "Revision 2 needs 4 example.com/accelerator" in told["message"]
    assert "3 of the cluster's 3 are free" in told["message"]
    assert "spec.rollout.maxSurge: 3" in told["message"]
    await make_pass(operator, key)
    assert conditions(cluster)["Progressing"]["reason"] == "StartingRay"
