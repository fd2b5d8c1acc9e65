"""What the chart makes of three sets of values, and which values it refuses.

After a change that is meant: `LLMD_UPDATE_GOLDEN=1 pytest tests/chart`, and read the difference.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev.cluster import tools
from dev.cluster.stages import StageError

from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.plan.base.leadership import Election
from llmdeployment_operator.plan.base.settings import ServingImages
from llmdeployment_operator.settings import plan_settings, runtime_settings

pytestmark = pytest.mark.chart

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts/llmdeployment-operator"
# helm built from source takes itself for Kubernetes 1.20 when it renders without a cluster.
RENDER = ("template", "op", str(CHART), "-n", "llm-system", "--kube-version", "1.34.0")
NO_CRD = ("--set", "crds.install=false")

Object = dict[str, Any]
Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm() -> Helm:
    try:
        program = tools.find("helm")
    except StageError as error:
        pytest.skip(reason=f"helm cannot be had here: {error.explain()}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return run


def _rendered(helm: Helm, *arguments: str) -> list[Object]:
    done = helm(*RENDER, *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _container(documents: list[Object]) -> Object:
    pod = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    container: Object = pod["containers"][0]
    return container


def test_helm_lint_finds_nothing(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["default", "own-namespace", "confined"])
def test_the_objects_are_those_of_the_golden_file(helm: Helm, name: str) -> None:
    golden = HERE / "golden" / f"{name}.yaml"

    done = helm(*RENDER, *NO_CRD, "-f", str(HERE / "values" / f"{name}.yaml"))

    assert done.returncode == 0, done.stderr
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        golden.write_text(done.stdout, encoding="utf-8")
    assert done.stdout == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["default", "own-namespace", "confined"])
def test_the_operator_understands_its_environment(helm: Helm, name: str) -> None:
    documents = _rendered(helm, *NO_CRD, "-f", str(HERE / "values" / f"{name}.yaml"))

    env = {entry["name"]: entry["value"] for entry in _container(documents)["env"]}

    settings, runtime = plan_settings(env), runtime_settings(env)
    wanted = {"default": (), "own-namespace": ("llm-system",), "confined": ("team-a", "team-b")}
    assert settings.namespaces == wanted[name]
    assert settings.own_namespace is (name == "own-namespace")
    assert settings.serving_images == ServingImages(
        gpu="llmdeployment/serving:0.1.0-gpu",
        cpu="llmdeployment/serving:0.1.0-cpu",
        simulated="llmdeployment/serving:0.1.0-simulated",
    )
    assert runtime.cluster_read is (name != "confined")
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert settings.operator_labels.items() <= labels.items()


def test_the_crd_is_upgraded_with_the_release_and_outlives_it(helm: Helm) -> None:
    documents = _rendered(helm)

    found = next(d for d in documents if d["kind"] == "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == build_crd()


def _rules(documents: list[Object]) -> Iterator[Object]:
    for document in documents:
        if document["kind"] in {"Role", "ClusterRole"}:
            yield from document["rules"]


@pytest.mark.parametrize("name", ["default", "own-namespace", "confined"])
def test_no_role_holds_more_than_it_says(helm: Helm, name: str) -> None:
    documents = _rendered(helm, *NO_CRD, "-f", str(HERE / "values" / f"{name}.yaml"))

    for rule in _rules(documents):
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
        if "secrets" in rule["resources"]:
            assert not {"list", "watch"} & set(rule["verbs"])


def test_without_rights_in_the_cluster_there_is_no_cluster_role(helm: Helm) -> None:
    documents = _rendered(helm, *NO_CRD, "-f", str(HERE / "values/confined.yaml"))

    assert {d["kind"] for d in documents} == {
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
    }
    namespaces = [d["metadata"]["namespace"] for d in documents if d["kind"] == "Role"]
    assert namespaces == ["team-a", "team-b", "llm-system"]


def test_the_pod_is_restricted(helm: Helm) -> None:
    documents = _rendered(helm, *NO_CRD)

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_two_operators_elect_one_by_a_lease_they_have_the_rights_to(helm: Helm) -> None:
    documents = _rendered(helm, *NO_CRD)

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    env = {entry["name"]: entry["value"] for entry in _container(documents)["env"]}
    election = runtime_settings(env).election
    assert election == Election("llm-system", "op-llmdeployment-operator", 10, 7, 2)
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    budget = next(d for d in documents if d["kind"] == "PodDisruptionBudget")
    for selector in (spread["labelSelector"], budget["spec"]["selector"]):
        assert selector == deployment["spec"]["selector"]
    leases = [rule for rule in _rules(documents) if rule["resources"] == ["leases"]]
    assert {verb for rule in leases for verb in rule["verbs"]} == {"get", "create", "update"}
    for rule in leases:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == [election.name]


def test_without_an_election_there_is_one_operator_at_a_time(helm: Helm) -> None:
    documents = _rendered(helm, *NO_CRD, "--set", "leaderElection.enabled=false")

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    env = {entry["name"]: entry["value"] for entry in _container(documents)["env"]}
    assert runtime_settings(env).election is None
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert "topologySpreadConstraints" not in deployment["spec"]["template"]["spec"]
    assert "PodDisruptionBudget" not in {d["kind"] for d in documents}
    assert not [rule for rule in _rules(documents) if "leases" in rule["resources"]]


REFUSED = {
    "an unknown value": ("watch.namespace=a", "namespace"),
    "an unknown top-level value": ("replica=2", "replica"),
    "no replica": ("replicas=0", "replicas"),
    "replicas as text": ("replicas=two", "replicas"),
    "a lease shorter than its renewal": (
        "leaderElection.leaseSeconds=7",
        "leaderElection.renewSeconds, and that below leaderElection.leaseSeconds",
    ),
    "a lease of a day": ("leaderElection.leaseSeconds=86400", "leaseSeconds"),
    "an unknown storage": ("headStorage.kind=hostPath", "must be one of"),
    "an unknown egress": ("networkPolicy.runtimeEgress=None", "must be one of"),
    "a size with a space": ("headStorage.size=1 Gi", "size"),
    "no workers": ("workers=0", "workers"),
    "workers as text": ("workers=many", "workers"),
    "an unknown log level": ("logLevel=LOUD", "must be one of"),
    "an unknown pull policy": ("image.operator.pullPolicy=Maybe", "must be one of"),
    "no repository": ("image.serving.repository=", "repository"),
    "a tag in the repository": ("image.serving.repository=a/b:1", "repository"),
    "a namespace that is no name": ("watch.namespaces={Team_A}", "namespaces"),
    "no service account": ("serviceAccount.create=false", "name"),
    "a monitor without a service": (
        "metrics.service=false,metrics.serviceMonitor.enabled=true",
        "service",
    ),
    "its own namespace, unasked": ("watch.namespaces={llm-system}", "set watch.ownNamespace=true"),
    "two pull policies for children": (
        "image.gateway.pullPolicy=Never",
        "image.gateway.pullPolicy and image.serving.pullPolicy must be the same",
    ),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused(helm: Helm, values: str, message: str) -> None:
    done = helm(*RENDER, "--set", values)

    assert done.returncode != 0
    assert message in done.stderr


def _leaves(schema: Object, values: Object, path: str = "") -> Iterator[tuple[str, bool]]:
    known = schema.get("properties", {})
    for key, value in values.items():
        below = known.get(key, {})
        if "$ref" in below:
            below = DEFINITIONS[below["$ref"].rpartition("/")[2]]
        if key != "resources" and "properties" in below:
            yield from _leaves(below, value, f"{path}{key}.")
        else:
            yield f"{path}{key}", key in known


SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFINITIONS: Object = SCHEMA["definitions"]
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("value", "known"), list(_leaves(SCHEMA, VALUES)))
def test_a_value_is_in_the_schema_and_in_the_readme(value: str, known: bool) -> None:  # noqa: FBT001  # because it is a column of the table
    assert known
    assert f"| `{value}` |" in (CHART / "README.md").read_text(encoding="utf-8")


def test_every_value_has_a_comment() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    comments = sum(1 for line in lines if line.strip().startswith("# -- "))

    assert comments == sum(1 for _ in _leaves(SCHEMA, VALUES))


def test_the_notes_name_the_next_command(helm: Helm, tmp_path: Path) -> None:
    # `helm template` leaves the notes out and `helm install` needs a cluster: put them in an object.
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    shutil.copy(chart / "templates/NOTES.txt", chart / "notes")
    (chart / "templates/notes.yaml").write_text(
        'kind: Notes\ntext: {{ tpl (.Files.Get "notes") . | toJson }}\n', encoding="utf-8"
    )

    done = helm("template", "op", str(chart), *RENDER[3:], "-s", "templates/notes.yaml")

    assert done.returncode == 0, done.stderr
    text = yaml.safe_load(done.stdout)["text"]
    assert "kubectl apply -n default -f - <<EOF" in text
    assert "kubectl get llm -n default -w" in text
    assert "serves no LLMDeployment in its own, llm-system." in text
