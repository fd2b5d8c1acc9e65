"""The agent as the operator's own objects let it be: a service account, its Role, https."""

import pytest
from dev.cluster import api
from dev.cluster.control_plane import ControlPlane
from tests.component.gateway.pod import Pod
from tests.support.cluster_client import ClusterClient

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.traffic.gateway import build_gateway

pytestmark = pytest.mark.component
WANTED = {"ServiceAccount", "Role", "RoleBinding"}


def write_account(cluster: ClusterClient) -> str:
    """Create what the operator would and return a token of the service account."""
    deployment = parse(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat", "namespace": cluster.namespace, "uid": "3d1f"},
            "spec": {"model": {"source": "hf://organisation/name"}},
        }
    )
    settings = Settings("serving:1", "gateway:1", "llm-system", {"app": "operator"})
    for obj in build_gateway(deployment, settings, feedback_key=""):
        if obj["kind"] in WANTED:
            cluster.create(obj)
    path = cluster.path("ServiceAccount", "chat-gateway") + "/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = api.call(cluster.access, "POST", path, body)["status"]["token"]
    return token


async def test_the_operators_role_is_enough_and_https_is_verified(
    pod: Pod, control_plane: ControlPlane
) -> None:
    pod.write_routes()
    pod.write_endpoints("127.18.0.1")
    (pod.folder / "token").write_text(write_account(pod.cluster))
    pod.env["LLMD_KUBE_URL"] = control_plane.url
    pod.env["LLMD_KUBE_CA_FILE"] = str(control_plane.ca)
    await pod.up()
    assert (await pod.stats())["services"]["chat-1a2b3c4d"]["servers"] == 1
    assert "WARNING llmdeployment_gateway.kube" not in pod.log("agent")
