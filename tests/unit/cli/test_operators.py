"""Which operators there are, and why none has acted on an object."""

import json
from pathlib import Path

import pytest
from kubernetes.client import ApiClient
from tests.unit.cli.objects import Object, operator, unseen
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import operators
from llmdeployment_cli.errors import Unreachable
from llmdeployment_cli.kube import Cluster
from llmdeployment_cli.main import app
from llmdeployment_cli.operators import describe_silence, read_operator
from llmdeployment_cli.versions import read_client_version
from llmdeployment_operator.plan.base.names import MANAGER


def not_ready(found: Object) -> Object:
    return {**found, "status": {}}


@pytest.mark.parametrize(
    ("found", "sentences"),
    [
        ([], ["No operator is installed. Install the Helm chart llmdeployment-operator."]),
        (
            [operator(NAMESPACES="shop,lab")],
            [
                "No operator watches namespace default.",
                "The operator llm in namespace llm-system watches: shop, lab.",
                "Create the object in lab or shop, or add default to watch.namespaces",
            ],
        ),
        (
            [operator(NAMESPACES="shop"), operator("other", "ops", NAMESPACES="web")],
            [
                "The operator llm in namespace llm-system watches: shop.",
                "The operator other in namespace ops watches: web.",
            ],
        ),
        (
            [operator(NAMESPACES="shop"), operator("all", "ops")],
            [
                "Operator all in namespace ops watches this namespace but has not acted yet.",
                "kubectl logs -n ops deployment/all",
            ],
        ),
        ([operator(NAMESPACES="shop, default")], ["Operator llm in namespace llm-system watches"]),
        ([not_ready(operator())], ["watches this namespace, but none of its pods is ready."]),
    ],
)
def test_why_nobody_acted(found: list[Object], sentences: list[str]) -> None:
    text = describe_silence([read_operator(each) for each in found], "default")

    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "chat: No operator is installed."),
        ([operator(NAMESPACES="lab")], "chat: No operator watches namespace shop."),
        (None, "cannot be known, because you may not list Deployments of all namespaces."),
    ],
)
def test_the_status_of_an_object_that_nobody_acted_on(
    found: list[Object] | None, sentence: str, tmp_path: Path
) -> None:
    with serve(unseen(), tmp_path, found) as environment:
        done = CliRunner().invoke(app, ["status", "chat"], env={**environment, "COLUMNS": "400"})

    assert done.exit_code == 0, done.output
    assert sentence in done.output


def test_a_wait_goes_on_where_the_operators_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> tuple[()]:
        raise Unreachable("the API server does not answer.")

    monkeypatch.setattr(operators, "find_operators", refuse)

    text = operators.explain_silence(Cluster(ApiClient(), "shop", None))
    assert text.endswith("cannot be known: the API server does not answer.")


@pytest.mark.parametrize(
    ("label", "image", "version"),
    [
        ("0.2.0", "example.test/operator:0.1.0", "0.2.0"),
        (None, "example.test:5000/team/operator:0.1.0", "0.1.0"),
        (None, "example.test:5000/team/operator@sha256:00", "unknown"),
        (None, "example.test/operator:0.1.0@sha256:00", "0.1.0"),
    ],
)
def test_the_version_of_an_operator(label: str | None, image: str, version: str) -> None:
    found = operator()
    labels = found["metadata"]["labels"]
    labels.pop("app.kubernetes.io/version")
    labels |= {"app.kubernetes.io/version": label} if label else {}
    found["spec"]["template"]["spec"]["containers"][0]["image"] = image

    assert read_operator(found).version == version


def test_the_label_of_the_operators_is_the_name_of_the_chart() -> None:
    assert MANAGER == "llmdeployment-operator"
    chart = Path("charts/llmdeployment-operator")
    assert f"app.kubernetes.io/name: {MANAGER}" in (chart / "templates/_helpers.tpl").read_text()
    template = (chart / "templates/deployment.yaml").read_text()
    for variable in ("LLMD_NAMESPACES", "LLMD_OWN_NAMESPACE", "LLMD_OPERATOR_NAMESPACE"):
        assert f"- name: {variable}\n" in template


def test_the_versions(tmp_path: Path) -> None:
    with serve(unseen(), tmp_path, [operator(NAMESPACES="shop,lab")]) as environment:
        done = CliRunner().invoke(app, ["version", "-o", "json"], env=environment)
        text = CliRunner().invoke(app, ["version"], env=environment)

    assert (done.exit_code, text.exit_code) == (0, 0)
    assert json.loads(done.stdout) == {
        "client": read_client_version(),
        "apiVersions": ["llmdeployment.dev/v1alpha1"],
        "operators": [
            {
                "name": "llm",
                "namespace": "llm-system",
                "version": "0.1.0",
                "ready": True,
                "watches": "shop, lab",
                "namespaces": ["shop", "lab"],
            }
        ],
        "notes": [],
    }
    assert text.stdout.splitlines() == [
        f"Client: {read_client_version()}",
        "API: llmdeployment.dev/v1alpha1",
        "Operator: 0.1.0, llm in namespace llm-system, watches shop, lab",
    ]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], "Operator: none is installed (Helm chart llmdeployment-operator)"),
        ([operator()], "watches all namespaces except its own"),
        ([operator(OWN_NAMESPACE="true")], "watches all namespaces"),
        ([not_ready(operator())], "(no pod is ready)"),
        (None, "The operators are unknown, because you may not list Deployments"),
    ],
)
def test_versions_go_on_without_rights(
    found: list[Object] | None, line: str, tmp_path: Path
) -> None:
    with serve(unseen(), tmp_path, found) as environment:
        done = CliRunner().invoke(app, ["version"], env=environment)

    assert done.exit_code == 0
    assert line in done.output
    assert "API: llmdeployment.dev/v1alpha1" in done.output


def test_without_a_cluster_the_client_has_a_version() -> None:
    done = CliRunner().invoke(app, ["version"], env={"KUBECONFIG": "/none"})

    assert done.exit_code == 1
    assert done.stdout == f"Client: {read_client_version()}\n"
    assert "/none leads to no cluster" in done.stderr
