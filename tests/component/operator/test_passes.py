"""Passes made one by one against the real API server: what they write, and that they can be cut anywhere."""

import copy
from typing import Any

import pytest
from dev.demo.progress import find_message
from tests.support.cluster_client import ClusterClient, Object
from tests.support.passes import make_pass

from llmdeployment_operator.kube import objects
from llmdeployment_operator.plan.base.settings import ServingImages
from llmdeployment_operator.reconcile import DeploymentKey, Operator

pytestmark = pytest.mark.component

KINDS = {
    "ConfigMap": 1,
    "ControllerRevision": 1,
    "Deployment": 2,
    "NetworkPolicy": 3,
    "PodDisruptionBudget": 2,
    "Role": 1,
    "RoleBinding": 1,
    "Secret": 2,
    "Service": 3,
    "ServiceAccount": 1,
    "StatefulSet": 1,
}


def simulated(name: str = "chat", **spec: Any) -> Object:
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name},
        "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}, **spec},
    }


def shares(cluster: ClusterClient, name: str = "chat") -> dict[int, int]:
    """Return the percent of the requests of each revision that gets any; `status.traffic` is empty while nobody answers."""
    obj = cluster.get("LLMDeployment", name)
    assert obj is not None
    rows = obj["status"]["revisions"]
    return {row["number"]: row["trafficPercent"] for row in rows if row["trafficPercent"]}


def conditions(cluster: ClusterClient, name: str = "chat") -> dict[str, Object]:
    """Return the conditions by type, each with what it says, as a reader would find it."""
    obj = cluster.get("LLMDeployment", name)
    assert obj is not None
    found = obj.get("status", {}).get("conditions", [])
    return {c["type"]: {**c, "message": find_message(obj, c["type"])} for c in found}


class Writes:
    """Counts the operator's writes, and ends the pass at one of them as a kill would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kill_at: int | None = None) -> None:
        self.made: list[str] = []
        self.kill_at = kill_at
        for name in ("apply", "apply_status", "delete", "create_event"):
            monkeypatch.setattr(objects, name, self._wrapped(name, getattr(objects, name)))

    def _wrapped(self, name: str, call: Any) -> Any:
        async def wrapper(client: Any, *args: Any) -> Any:
            if self.kill_at is not None and len(self.made) >= self.kill_at:
                raise Killed
            self.made.append(f"{name} {args[0]['kind'] if isinstance(args[0], dict) else args[0]}")
            return await call(client, *args)

        return wrapper


class Killed(BaseException):
    """What SIGKILL is to a pass."""


async def test_the_first_pass_makes_everything_and_the_second_nothing(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cluster.create(simulated())
    writes = Writes(monkeypatch)
    await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    children = cluster.children("chat")
    assert {kind: sum(k == kind for k, _ in children) for kind in KINDS} == KINDS
    assert len(writes.made) <= len(children) + 2
    for obj in children.values():
        (owner,) = obj["metadata"]["ownerReferences"]
        assert owner["uid"] == made["metadata"]["uid"]
        assert obj["metadata"].get("finalizers", []) == []

    writes.made.clear()
    for _ in range(3):
        await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    assert writes.made == []
    now = conditions(cluster)
    assert now["Accepted"]["status"] == "True"
    assert now["Ready"]["status"] == "False"
    assert now["Progressing"]["reason"] == "StartingRay"


async def test_a_text_arrives_as_it_was_written_whatever_its_characters(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The API server reads server-side apply as YAML, which forbids some characters and takes others for ends of lines.
    text = "a\x7fb\x80c\x85d\u2028e\u2029f\ufeffg\ufffeh\uffffi \u00e9 \U0001f600 \t\n end"
    cluster.create(simulated(prompt={"system": text}))
    await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    (revision,) = cluster.items("ControllerRevision", "llmdeployment.dev/name=chat")
    assert revision["data"]["template"]["prompt"]["system"] == text
    writes = Writes(monkeypatch)
    await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    assert writes.made == []


async def test_a_pass_may_be_killed_before_any_of_its_writes(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(simulated("whole"))
    await make_pass(operator, DeploymentKey(cluster.namespace, "whole"))
    expected = {(kind, name.replace("whole", "chat")) for kind, name in cluster.children("whole")}
    cluster.create(simulated())
    writes = Writes(monkeypatch)
    for cut in range(len(expected) + 3):
        writes.made.clear()
        writes.kill_at = 1 if cut else 0
        try:
            await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
        except Killed:
            continue
        break
    else:
        pytest.fail("a pass with a single write left never came")
    assert cluster.children("chat").keys() == expected
    assert conditions(cluster)["Accepted"]["status"] == "True"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", {"spec": {"replicas": 5}}),
        ("Service", {"spec": {"selector": {"app": "other"}}}),
        ("ConfigMap", {"data": {"routes.json": "{}"}}),
        ("NetworkPolicy", {"spec": {"ingress": [{}]}}),
        ("Role", {"rules": []}),
        ("PodDisruptionBudget", {"spec": {"maxUnavailable": 3}}),
        ("StatefulSet", {"spec": {"replicas": 0}}),
    ],
)
async def test_drift_is_repaired(
    cluster: ClusterClient, operator: Operator, kind: str, change: Object
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    before = {name: obj for (k, name), obj in cluster.children("chat").items() if k == kind}
    for name in before:
        cluster.patch(kind, name, change)
    await make_pass(operator, key)
    for name, old in before.items():
        new = cluster.get(kind, name)
        assert new is not None
        field = "spec" if "spec" in old else ("data" if "data" in old else "rules")
        assert new[field] == old[field]


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_deleted_child_comes_back(
    cluster: ClusterClient, operator: Operator, kind: str
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    names = [name for k, name in cluster.children("chat") if k == kind]
    for name in names:
        cluster.delete(kind, name)
    await make_pass(operator, key)
    assert names == [name for k, name in cluster.children("chat") if k == kind]


@pytest.mark.parametrize(
    "foreign",
    [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat"},
            "spec": {"ports": [{"port": 1}]},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chat-routes"},
            "data": {"mine": "1"},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "chat-gateway"}},
    ],
)
async def test_a_foreign_object_is_left_alone_and_named(
    cluster: ClusterClient, operator: Operator, foreign: Object
) -> None:
    theirs = cluster.create(copy.deepcopy(foreign))
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    name = foreign["metadata"]["name"]
    assert cluster.get(foreign["kind"], name) == theirs
    assert cluster.children("chat") == {}
    refused = conditions(cluster)["Accepted"]
    assert (refused["status"], refused["reason"]) == ("False", "NotOwned")
    assert f"{foreign['kind']} {name}" in refused["message"]

    cluster.delete(foreign["kind"], name)
    await make_pass(operator, key)
    assert conditions(cluster)["Accepted"]["status"] == "True"
    assert len(cluster.children("chat")) == sum(KINDS.values())


async def test_paused_means_hands_off(cluster: ClusterClient, operator: Operator) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    cluster.patch("LLMDeployment", "chat", {"spec": {"paused": True}})
    cluster.delete("Service", "chat")
    await make_pass(operator, key)
    assert cluster.get("Service", "chat") is None
    assert conditions(cluster)["Progressing"]["reason"] == "Paused"
    cluster.patch("LLMDeployment", "chat", {"spec": {"paused": False}})
    await make_pass(operator, key)
    assert cluster.get("Service", "chat") is not None


async def test_what_the_api_server_refuses_ends_in_a_condition(
    cluster: ClusterClient, operator: Operator
) -> None:
    overlay = {"spec": {"containers": [{"name": "ray", "imagePullPolicy": "Sometimes"}]}}
    cluster.create(simulated(podTemplate=overlay))
    outcome = await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    refused = conditions(cluster)["Accepted"]
    assert (refused["status"], refused["reason"]) == ("False", "InvalidSpec")
    assert "imagePullPolicy" in refused["message"]
    assert outcome.state == "refused"


async def test_a_missing_secret_is_named(cluster: ClusterClient, operator: Operator) -> None:
    cluster.create(simulated(gateway={"apiKeysSecretRef": {"name": "keys"}}))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    assert conditions(cluster)["Ready"]["reason"] == "SecretMissing"
    assert "Secret keys of spec.gateway.apiKeysSecretRef" in conditions(cluster)["Ready"]["message"]
    cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}})
    await make_pass(operator, key)
    assert conditions(cluster)["Ready"]["reason"] == "StartingRay"


async def test_a_prompt_is_a_revision_without_pods_and_an_engine_flag_one_with(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    cluster.patch("LLMDeployment", "chat", {"spec": {"prompt": {"system": "Be brief."}}})
    await make_pass(operator, key)
    assert len(cluster.items("ControllerRevision")) == 2
    assert len(cluster.items("StatefulSet")) == 1
    cluster.patch("LLMDeployment", "chat", {"spec": {"engine": {"args": {"seed": 2}}}})
    await make_pass(operator, key)
    assert len(cluster.items("ControllerRevision")) == 3
    # The first revision never answered anything, so the new runtime takes its place at once.
    assert shares(cluster) == {3: 100}


async def test_an_operator_of_another_version_restarts_no_runtime_pod(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)

    def pods() -> dict[tuple[str, str], Object]:
        return {
            ref: obj["spec"]["template"]
            for ref, obj in cluster.children("chat").items()
            if ref[0] in {"Deployment", "StatefulSet"}
        }

    before = pods()
    newer = copy.deepcopy(operator.settings)
    newest = dict.fromkeys(("gpu", "cpu", "simulated"), "llmdeployment/serving:newer")
    object.__setattr__(newer, "serving_images", ServingImages(**newest))
    object.__setattr__(newer, "gateway_image", "llmdeployment/gateway:newer")
    await make_pass(Operator(operator.clients, newer, operator.metrics), key)
    changed = [ref for ref, template in pods().items() if template != before[ref]]
    assert changed == [("Deployment", "chat-gateway")]


async def test_two_arms_are_two_revisions_and_a_second_pass_writes_nothing(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    terse = {"name": "terse", "weight": 10, "overrides": {"prompt": {"system": "Be brief."}}}
    cluster.create(simulated(arms=[{"name": "control", "weight": 90}, terse]))
    writes = Writes(monkeypatch)
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    assert shares(cluster) == {1: 90, 2: 10}
    assert len(cluster.items("StatefulSet")) == 1
    writes.made.clear()
    await make_pass(operator, key)
    assert writes.made == []


async def test_an_api_elsewhere_has_no_ray_and_names_its_missing_secret(
    cluster: ClusterClient, operator: Operator
) -> None:
    api = {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": {"name": "absent"}}
    spec = {
        "model": {"source": "external://big"},
        "engine": {"name": "external", "external": api},
    }
    cluster.create(simulated(**spec))
    for _ in range(2):
        await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    found = cluster.children("chat")
    assert "StatefulSet" not in {kind for kind, _ in found}
    assert [name for kind, name in found if kind == "Secret"] == ["chat-gateway-feedback"]
    assert sum(kind == "Deployment" for kind, _ in cluster.children("chat")) == 2
    ready = conditions(cluster)["Ready"]
    assert ready["reason"] == "SecretMissing"
    assert "Secret absent of spec.engine.external.apiKeySecretRef" in ready["message"]


async def test_a_deletion_is_of_the_object_that_was_looked_at_and_of_no_other(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated())
    await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))
    client = operator.clients.client
    service = cluster.get("Service", "chat")
    assert service is not None
    await objects.delete(client, "Service", cluster.namespace, "chat", "uid-of-another")
    assert cluster.get("Service", "chat") is not None
    await objects.delete(client, "Service", cluster.namespace, "chat", service["metadata"]["uid"])
    assert cluster.get("Service", "chat") is None
