"""The chart's admission policies on the real API server, for accounts that hold what a tenant holds and no more."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev.cluster import api, tools
from dev.cluster.api import Access
from dev.cluster.control_plane import ControlPlane
from dev.cluster.stages import StageError
from tests.component.admission import specs
from tests.component.admission.specs import Spec
from tests.support.cluster_client import ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.until import until

pytestmark = pytest.mark.component

CHART = Path(__file__).parents[3] / "charts/llmdeployment-operator"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
WRITES = {"apiGroups": ["llmdeployment.dev"], "resources": ["llmdeployments"], "verbs": ["*"]}
GETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
GETS_MINE = {**GETS, "resourceNames": ["mine"]}
CREATES_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
CREATES_SERVICES = {"apiGroups": [""], "resources": ["services"], "verbs": ["create"]}
RULES = {
    "writer": [WRITES, GETS_MINE],
    "podcreator": [WRITES, GETS_MINE, CREATES_PODS],
    "reader": [WRITES, GETS],
    "servicecreator": [WRITES, CREATES_SERVICES],
}


def render(namespace: str, *values: str) -> list[dict[str, Any]]:
    """Return the policies as the chart makes them for a release that watches one namespace."""
    try:
        helm = tools.find("helm")
    except StageError as error:
        pytest.skip(reason=f"helm cannot be had here: {error.explain()}")
    options = ("--kube-version", "1.34.0", "-s", "templates/admission.yaml", "-n", namespace)
    sets = [part for value in values for part in ("--set", value)]
    done = subprocess.run(
        [helm, "template", "op", str(CHART), *options, *sets],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def make_account(cluster: ClusterClient, name: str) -> ClusterClient:
    """Create a ServiceAccount with the rules of its name, and return a client that is this account."""
    meta = {"name": name, "namespace": cluster.namespace}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": RULES[name]}
    cluster.create(role)
    cluster.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", **meta}],
        }
    )
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = cluster.path("ServiceAccount", name) + "/token"
    token = api.call(cluster.access, "POST", path, body)["status"]["token"]
    return ClusterClient(replace(cluster.access, token=token), cluster.namespace)


def try_spec(account: ClusterClient, spec: Spec, name: str = "chat") -> str:
    """Return why a new LLMDeployment would be refused, or nothing; nothing is stored."""
    body = {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name, "namespace": account.namespace},
        "spec": spec,
    }
    try:
        api.call(account.access, "POST", account.path("LLMDeployment") + "?dryRun=All", body)
    except api.ApiError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def accounts(control_plane: ControlPlane) -> Iterator[dict[str, ClusterClient]]:
    """Accounts by name, in a namespace whose LLMDeployments the chart's policies check."""
    install(control_plane)
    cluster = ClusterClient(control_plane.access, make_namespace(control_plane, "tenant"))
    documents = render(cluster.namespace)
    try:
        yield from use(cluster, documents)
    finally:
        remove(control_plane.access, documents)


def use(
    cluster: ClusterClient, documents: list[dict[str, Any]]
) -> Iterator[dict[str, ClusterClient]]:
    """Install policies, wait until they are in force, and give the accounts."""
    for document in documents:
        api.call(cluster.access, "POST", find_path(document), document)
    accounts = {name: make_account(cluster, name) for name in RULES}
    attacks = (
        specs.SECRETS["judge"],
        specs.PODS["host's network"],
        specs.SERVICES["load balancer"],
    )
    writer = accounts["writer"]
    until(
        lambda: all("denied request" in try_spec(writer, attack) for attack in attacks),
        60,
        "policies in force",
    )
    yield accounts


def find_path(document: dict[str, Any]) -> str:
    plural = document["kind"].lower() + ("s" if document["kind"].endswith("Binding") else "")
    plural = {"validatingadmissionpolicy": "validatingadmissionpolicies"}.get(plural, plural)
    return f"{POLICIES}/{plural}"


def remove(access: Access, documents: list[dict[str, Any]]) -> None:
    for document in reversed(documents):
        api.call(access, "DELETE", f"{find_path(document)}/{document['metadata']['name']}")


@pytest.mark.parametrize("spec", specs.SECRETS.values(), ids=specs.SECRETS)
def test_who_may_not_get_a_secret_cannot_use_it(
    accounts: dict[str, ClusterClient], spec: Spec
) -> None:
    assert try_spec(accounts["writer"], spec).startswith("403")
    refusal = try_spec(accounts["podcreator"], spec)
    assert refusal.startswith("403")
    assert "Secret theirs, which system:serviceaccount:" in refusal or "more than 8" in refusal


@pytest.mark.parametrize("spec", specs.PODS.values(), ids=specs.PODS)
def test_who_may_not_create_pods_gets_no_more_by_a_pod_template(
    accounts: dict[str, ClusterClient], spec: Spec
) -> None:
    refusal = try_spec(accounts["writer"], spec)
    # What is of the wrong type cannot be judged, by either policy, and is refused for that.
    place = "spec.gateway may" if "gateway" in spec else "podTemplate"
    expected = place if refusal.startswith("403") else "ValidatingAdmissionPolicy"
    assert refusal.startswith(("403", "422"))
    assert expected in refusal


@pytest.mark.parametrize("spec", specs.SERVICES.values(), ids=specs.SERVICES)
def test_who_may_not_create_services_gets_none_to_the_outside(
    accounts: dict[str, ClusterClient], spec: Spec
) -> None:
    for name in ("writer", "podcreator", "reader"):
        refusal = try_spec(accounts[name], spec)
        assert refusal.startswith("403")
        assert "may not create Services in this namespace" in refusal
    assert try_spec(accounts["servicecreator"], spec) == ""


@pytest.mark.parametrize("spec", specs.HONEST.values(), ids=specs.HONEST)
def test_an_honest_spec_is_accepted(accounts: dict[str, ClusterClient], spec: Spec) -> None:
    assert try_spec(accounts["writer"], spec) == ""


def test_who_may_do_it_without_the_operator_may_do_it_with_it(
    accounts: dict[str, ClusterClient],
) -> None:
    assert try_spec(accounts["reader"], specs.SECRETS["external key"]) == ""
    assert try_spec(accounts["podcreator"], specs.PODS["host's files"]) == ""
    assert "Secret theirs" in try_spec(accounts["podcreator"], specs.SECRETS["external key"])
    assert "podTemplate" in try_spec(accounts["reader"], specs.PODS["host's files"])


def test_an_update_is_checked_where_it_changes_the_spec(
    accounts: dict[str, ClusterClient],
) -> None:
    reader, writer = accounts["reader"], accounts["writer"]
    reader.create(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "shared"},
            "spec": specs.call_external("theirs"),
        }
    )
    writer.patch("LLMDeployment", "shared", {"metadata": {"labels": {"a": "b"}}})
    to_a_thief = {"engine": {"external": {"baseURL": "https://thief.example.com/v1"}}}
    with pytest.raises(api.ApiError, match="Secret theirs"):
        writer.patch("LLMDeployment", "shared", {"spec": to_a_thief})


def test_hosts_and_images_can_be_held_to_lists(control_plane: ControlPlane) -> None:
    install(control_plane)
    cluster = ClusterClient(control_plane.access, make_namespace(control_plane, "tenant"))
    values = ("admission.hosts={api.example.com,.internal}", "admission.imagePrefixes={reg.io/a/}")
    documents = render(cluster.namespace, *values)
    try:
        account = next(use(cluster, documents))["reader"]
        until(
            lambda: try_spec(account, {**specs.HF, "image": "reg.io/b/c"}),
            60,
            "the policy of origins in force",
        )
        for spec in (
            specs.call_external(None, "https://api.example.com.evil.com/v1"),
            specs.call_external(None, "https://evil.com/api.example.com/v1"),
            specs.call_external(None, "http://169.254.169.254/v1"),
            specs.ask_judge(None),
            specs.set_env({"name": "HF_ENDPOINT", "value": "https://hub.evil.com"}),
            specs.set_env({"name": "HF_ENDPOINT", **specs.from_secret("theirs")}),
            specs.set_env({"name": "AWS_ENDPOINT_URL", "value": "https://store.evil.com"}),
            {"model": {"source": "https://evil.com/SHA256SUMS", "sha256": "0" * 64}},
            {
                "model": {
                    "source": "pvc://models",
                    "adapters": [
                        {"name": "a", "source": "https://hub.internal/S", "sha256": "0" * 64},
                        {"name": "b", "source": "https://evil.com/S", "sha256": "0" * 64},
                    ],
                }
            },
            {"model": {"source": "oci://reg.io/b/llama:3"}},
            specs.in_an_arm(image="reg.io/ab/c"),
        ):
            assert "The value admission." in try_spec(account, spec), spec
        for spec in (
            specs.HF,
            specs.call_external("theirs", "https://api.example.com/v1"),
            specs.call_external(None, "http://models.internal:8080/v1"),
            {**specs.HF, "image": "reg.io/a/c:1"},
            {"model": {"source": "oci://reg.io/a/llama:3"}},
            {"model": {"source": "https://models.internal/SHA256SUMS", "sha256": "0" * 64}},
            specs.set_env(
                {"name": "AWS_ENDPOINT_URL", "value": "http://minio.internal:9000"},
                {"name": "HF_ENDPOINT", "value": "https://hub.internal"},
            ),
        ):
            assert try_spec(account, spec) == ""
    finally:
        remove(control_plane.access, documents)
