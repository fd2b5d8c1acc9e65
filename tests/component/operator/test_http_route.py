"""`spec.gateway.mode: HTTPRoute` against the real API server, with the published CRD and without it."""

import pytest
from dev.cluster.control_plane import ControlPlane
from dev.cluster.stages import StageError
from tests.component.operator.test_passes import KINDS, Writes, conditions, simulated
from tests.support import crd as crds
from tests.support import gateway_api
from tests.support.cluster_client import ClusterClient, Object
from tests.support.passes import make_pass

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.routes import Share, build_routes
from llmdeployment_operator.plan.traffic.http_route import build_http_route
from llmdeployment_operator.reconcile import DeploymentKey, Operator

pytestmark = pytest.mark.component

PARENT = {"name": "public", "namespace": "gateways"}
ROUTED = {
    "mode": "HTTPRoute",
    "httpRoute": {"parentRefs": [PARENT], "hostnames": ["chat.example.com"]},
}
OF_THE_GATEWAY = {
    "Deployment": 1,
    "NetworkPolicy": 1,
    "PodDisruptionBudget": 1,
    "Role": 1,
    "RoleBinding": 1,
    "Secret": 1,
    "Service": 1,
    "ServiceAccount": 1,
}


@pytest.fixture
def http_routes(control_plane: ControlPlane) -> None:
    """The HTTPRoute kind, installed and served."""
    try:
        gateway_api.install(control_plane)
    except StageError as error:
        pytest.skip(reason=f"the CRDs of the Gateway API cannot be had: {error}")


def of_the_gateway(cluster: ClusterClient) -> int:
    runtimes = "llmdeployment.dev/runtime"
    found = cluster.children("chat")
    return sum(
        kind not in {"ConfigMap", "ControllerRevision"}
        for (kind, _), obj in found.items()
        if runtimes not in obj["metadata"]["labels"]
    )


def answered(cluster: ClusterClient, *, good: bool = True) -> None:
    """Say what a Gateway's controller says."""
    live = cluster.get("HTTPRoute", "chat")
    assert live is not None
    said = {
        "status": "True" if good else "False",
        "reason": "Said",
        "message": "by the test",
        "observedGeneration": live["metadata"]["generation"],
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    parent = {
        "parentRef": live["spec"]["parentRefs"][0],
        "controllerName": "example.com/controller",
        "conditions": [{**said, "type": kind} for kind in ("Accepted", "ResolvedRefs")],
    }
    cluster.patch("HTTPRoute", "chat", {"status": {"parents": [parent]}}, "/status")


@pytest.mark.usefixtures("http_routes")
async def test_a_route_is_written_once_and_kept_as_it_should_be(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cluster.create(simulated(gateway=ROUTED))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    assert of_the_gateway(cluster) == 0
    route = cluster.get("HTTPRoute", "chat")
    assert route is not None
    assert route["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    rule, _ = route["spec"]["rules"]
    assert [backend["port"] for backend in rule["backendRefs"]] == [30000]

    writes = Writes(monkeypatch)
    for _ in range(3):
        await make_pass(operator, key)
    assert writes.made == []

    cluster.patch("HTTPRoute", "chat", {"spec": {"hostnames": ["evil.example.com"]}})
    await make_pass(operator, key)
    assert cluster.get("HTTPRoute", "chat")["spec"]["hostnames"] == ["chat.example.com"]  # type: ignore[index]  # because it exists
    cluster.delete("HTTPRoute", "chat")
    await make_pass(operator, key)
    assert cluster.get("HTTPRoute", "chat") is not None


@pytest.mark.usefixtures("http_routes")
async def test_the_gateway_stays_until_the_route_is_taken_up_and_comes_back_first(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    whole = sum(OF_THE_GATEWAY.values())
    assert of_the_gateway(cluster) == whole
    cluster.patch("LLMDeployment", "chat", {"spec": {"gateway": ROUTED}})
    await make_pass(operator, key)
    answered(cluster, good=False)
    await make_pass(operator, key)
    assert of_the_gateway(cluster) == whole
    answered(cluster)
    await make_pass(operator, key)
    assert of_the_gateway(cluster) == 0
    assert "Users do not stay" in conditions(cluster)["Accepted"]["message"]

    # Nobody runs the gateway's pods here: it never routes, so the route stays.
    cluster.patch("LLMDeployment", "chat", {"spec": {"gateway": {"mode": "Builtin", "httpRoute": None}}})  # fmt: skip
    for _ in range(2):
        await make_pass(operator, key)
    assert of_the_gateway(cluster) == whole
    assert cluster.get("HTTPRoute", "chat") is not None


@pytest.mark.usefixtures("http_routes")
async def test_a_foreign_route_is_left_alone_and_named(
    cluster: ClusterClient, operator: Operator
) -> None:
    foreign: Object = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "chat"},
        "spec": {"hostnames": ["theirs.example.com"]},
    }
    theirs = cluster.create(foreign)
    cluster.create(simulated(gateway=ROUTED))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    assert cluster.get("HTTPRoute", "chat") == theirs
    refused = conditions(cluster)["Accepted"]
    assert refused["reason"] == "NotOwned"
    assert "HTTPRoute chat" in refused["message"]


@pytest.mark.usefixtures("http_routes")
def test_two_revisions_behind_one_service_are_a_valid_route(
    control_plane: ControlPlane, cluster: ClusterClient
) -> None:
    raw = crds.merged(simulated(gateway=ROUTED), {"metadata": {"namespace": "n", "uid": "1"}})
    deployment = parse(raw)
    spec = deployment.spec.gateway.http_route
    assert spec is not None
    route = build_http_route(
        deployment, spec, build_routes([Share("main", 100, (1, "chat-a"), (2, "chat-a"), 5)])
    )
    route["metadata"]["namespace"] = cluster.namespace
    path = f"{cluster.path('HTTPRoute')}?dryRun=All&fieldValidation=Strict"
    status, answer = crds.request(control_plane, path, route)
    assert status == 201, answer["message"]
    assert [b["weight"] for b in answer["spec"]["rules"][0]["backendRefs"]] == [500, 9500]


async def test_a_cluster_without_the_kind_is_told_what_to_install(
    control_plane: ControlPlane, cluster: ClusterClient, operator: Operator
) -> None:
    gateway_api.remove(control_plane)
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    assert len(cluster.children("chat")) == sum(KINDS.values())
    cluster.patch("LLMDeployment", "chat", {"spec": {"gateway": ROUTED}})
    outcome = await make_pass(operator, key)
    refused = conditions(cluster)["Accepted"]
    assert (refused["status"], refused["reason"]) == ("False", "CRDMissing")
    assert "httproutes.gateway.networking.k8s.io" in refused["message"]
    assert outcome.requeue_after == 60.0
    assert len(cluster.children("chat")) == sum(KINDS.values())

    cluster.patch("LLMDeployment", "chat", {"spec": {"gateway": {"mode": "Builtin", "httpRoute": None}}})  # fmt: skip
    await make_pass(operator, key)
    assert conditions(cluster)["Accepted"]["status"] == "True"
