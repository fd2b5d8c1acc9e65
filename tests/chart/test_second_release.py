"""What the chart sees of other releases in its cluster, and what its notes say."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart import api_server
from tests.chart.rendering import CHART, RENDER, Helm

pytestmark = pytest.mark.chart

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/llmdeployments.llmdeployment.dev"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LIVE = ("--dry-run=server", "--set", "admission.enabled=false")


def own(**annotations: str) -> dict[str, Any]:
    """The CRD with annotations of Helm."""
    found = {f"meta.helm.sh/release-{key}": value for key, value in annotations.items()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "llmdeployments.llmdeployment.dev", "annotations": found},
    }


def list_bindings(*releases: tuple[str, str], name: str = "llmdeployment-operator") -> Any:
    """Bindings of operators, by release and namespace."""
    items = [
        {
            "metadata": {
                "name": f"{release}-leader-election",
                "labels": {
                    "app.kubernetes.io/name": name,
                    "app.kubernetes.io/instance": release,
                },
            },
            "subjects": [{"kind": "ServiceAccount", "name": "x", "namespace": namespace}],
        }
        for release, namespace in releases
    ]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBindingList"}
    return {**kind, "items": items}


@pytest.mark.parametrize(
    ("crd", "owner"),
    [
        (own(name="first", namespace="models"), "release first in namespace models"),
        (own(name="op", namespace="models"), "release op in namespace models"),
        (own(), "no release of Helm"),
    ],
    ids=["another release", "of this name elsewhere", "applied by hand"],
)
def test_the_owner_of_a_foreign_crd_is_named(
    helm: Helm, tmp_path: Path, crd: dict[str, Any], owner: str
) -> None:
    with api_server.serve({CRD: crd}, tmp_path) as kubeconfig:
        live = (*RENDER, *LIVE, "--kubeconfig", str(kubeconfig))
        refused = helm(*live)
        without = helm(*live, "--set", "crds.install=false")
        taken = helm(*live, "--set", "crds.takeOwnership=true")

    assert refused.returncode != 0
    sentence = f"The CRD llmdeployments.llmdeployment.dev belongs to {owner}. Install with --set crds.install=false"
    assert sentence in refused.stderr
    assert without.returncode == 0, without.stderr
    assert taken.returncode == 0, taken.stderr
    assert 'kind: "CustomResourceDefinition"' in taken.stdout


def test_its_own_crd_is_upgraded(helm: Helm, tmp_path: Path) -> None:
    objects = {CRD: own(name="op", namespace="llm-system")}
    with api_server.serve(objects, tmp_path) as kubeconfig:
        done = helm(*RENDER, *LIVE, "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done.stderr


def render_notes(helm: Helm, folder: Path, *options: str) -> str:
    """Return the notes.

    `helm template` leaves them out and `helm install` needs a cluster, so they are put into an object.
    """
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    shutil.copy(chart / "templates/NOTES.txt", chart / "notes")
    (chart / "templates/notes.yaml").write_text(
        'kind: Notes\ntext: {{ tpl (.Files.Get "notes") . | toJson }}\n', encoding="utf-8"
    )
    done = helm("template", "op", str(chart), *RENDER[3:], "-s", "templates/notes.yaml", *options)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["text"])


def test_the_notes_name_the_next_command(helm: Helm, tmp_path: Path) -> None:
    text = render_notes(helm, tmp_path)

    assert "kubectl apply -n default -f - <<EOF" in text
    assert "kubectl get llm -n default -w" in text
    assert "serves no LLMDeployment in its own, llm-system." in text
    assert "helm test op -n llm-system --timeout 300s" in text
    assert "WARNING" not in text


@pytest.mark.parametrize(
    ("values", "bindings", "warned"),
    [
        ("", {"rolebindings": list_bindings(("op", "llm-system"))}, ""),
        ("", {"rolebindings": list_bindings(("other", "b"), name="shop")}, ""),
        (
            "",
            {"rolebindings": list_bindings(("op", "b"), ("a", "a"), ("a", "a"))},
            "a in namespace a, op in namespace b.",
        ),
        ("watch.namespaces={one,two}", {}, ""),
        (
            "watch.namespaces={one,two}",
            {"namespaces/two/rolebindings": list_bindings(("a", "a"))},
            "a in namespace a.",
        ),
        (
            "watch.namespaces={one,two},rbac.create=false",
            {"namespaces/two/rolebindings": list_bindings(("a", "a"))},
            "",
        ),
    ],
    ids=["itself", "others", "two that watch", "none in two", "one in two", "no rights"],
)
def test_a_release_that_watches_the_same_is_warned_of(
    helm: Helm, tmp_path: Path, values: str, bindings: dict[str, Any], warned: str
) -> None:
    empty = {f"namespaces/{name}/rolebindings": list_bindings() for name in ("one", "two")}
    objects = {f"{RBAC}/{path}": found for path, found in {**empty, **bindings}.items()}
    with api_server.serve(objects, tmp_path) as kubeconfig:
        text = render_notes(helm, tmp_path, *LIVE, "--set", values, "--kubeconfig", str(kubeconfig))

    warning = "WARNING: in these namespaces, other operators act too: "
    assert (f"{warning}{warned}" in text) if warned else (warning not in text)
