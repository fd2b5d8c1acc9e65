"""`kubectl llm` beside kubectl itself, on a real API server: tables, documents, flags, rights and completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.component.cli.conftest import KubectlLlm
from tests.support.cluster_client import ClusterClient, Object
from typer.testing import CliRunner

from llmdeployment_cli.main import app

pytestmark = pytest.mark.component

LABELS = {"app.kubernetes.io/name": "llmdeployment-operator", "app.kubernetes.io/instance": "llm"}


@pytest.fixture
def chat(cluster: ClusterClient) -> ClusterClient:
    """An LLMDeployment that no operator has acted on."""
    cluster.create(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat"},
            "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}},
        }
    )
    return cluster


def write_status(cluster: ClusterClient, observed: int = 1, **statuses: str) -> None:
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": "Tested",
            "message": f"{kind} is {status}.",
            "lastTransitionTime": "2026-11-24T11:30:00Z",
            "observedGeneration": observed,
        }
        for kind, status in statuses.items()
    ]
    body = {"conditions": conditions, "observedGeneration": observed, "model": "chat"}
    cluster.patch("LLMDeployment", "chat", {"status": body}, "/status")


def kubectl(*words: str) -> str:
    done = subprocess.run(
        ["kubectl", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cut_age(text: str) -> list[list[str]]:
    """Return the cells of a table, without what counts seconds."""
    return [[c for c in line.split() if not c.rstrip("s").isdigit()] for line in text.splitlines()]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("words", [[], ["chat"], ["-o", "wide"], ["chat", "-o", "wide"]])
def test_the_table_is_kubectls(words: list[str], chat: ClusterClient) -> None:
    write_status(chat, Ready="True", Available="True")
    flags = ["-n", chat.namespace]

    ours = CliRunner().invoke(app, ["get", *words, *flags])

    assert ours.exit_code == 0, ours.output
    theirs = kubectl("get", "llm", *words, *flags)
    assert cut_age(ours.stdout) == cut_age(theirs)
    heads = (text.splitlines()[0].rstrip() for text in (ours.stdout, theirs))
    assert len(set(heads)) == 1


@pytest.mark.usefixtures("environment")
def test_all_namespaces(chat: ClusterClient) -> None:
    ours = CliRunner().invoke(app, ["get", "-A"])

    lines = [line.split()[:2] for line in ours.stdout.splitlines()]
    assert lines[0] == ["NAMESPACE", "NAME"]
    assert [chat.namespace, "chat"] in lines


@pytest.mark.usefixtures("environment")
def test_the_documents_are_kubectls(chat: ClusterClient) -> None:
    write_status(chat, Ready="True")
    flags = ["-n", chat.namespace]

    def ours(*words: str) -> str:
        return CliRunner().invoke(app, ["get", *words, *flags]).stdout

    assert ours("-o", "name") == kubectl("get", "llm", "-o", "name", *flags)
    one = json.loads(kubectl("get", "llm", "chat", "-o", "json", *flags))
    assert json.loads(ours("chat", "-o", "json")) == one
    assert yaml.safe_load(ours("chat", "-o", "yaml")) == one
    listed = json.loads(kubectl("get", "llm", "-o", "json", *flags))
    assert json.loads(ours("-o", "json"))["items"] == listed["items"]


@pytest.mark.usefixtures("environment")
def test_flags_stand_before_and_behind_the_command(chat: ClusterClient) -> None:
    config = os.environ["KUBECONFIG"]
    words = ["-n", "nowhere", "--kubeconfig", config, "get", "chat", "-n", chat.namespace]
    done = CliRunner().invoke(app, words, env={"KUBECONFIG": "/none"})

    assert done.exit_code == 0, done.output
    empty = CliRunner().invoke(app, ["-n", "nowhere", "get"])
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "No LLMDeployments found in namespace nowhere." in empty.stderr


@pytest.mark.usefixtures("environment")
def test_somebody_else_has_other_rights(chat: ClusterClient) -> None:
    words = ["get", "chat", "-n", chat.namespace, "--as", "ada"]

    refused = CliRunner().invoke(app, words)
    admitted = CliRunner().invoke(app, [*words, "--as-group", "a", "--as-group", "system:masters"])

    assert refused.exit_code == 1
    assert 'User "ada" cannot get resource "llmdeployments"' in refused.stderr
    assert admitted.exit_code == 0, admitted.output


def operator(namespaces: str, place: str) -> Object:
    env = {"LLMD_NAMESPACES": namespaces, "LLMD_OPERATOR_NAMESPACE": place}
    container = {
        "name": "operator",
        "image": "example.test/operator:0.1.0",
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llm", "labels": LABELS},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
        },
    }


def test_status_names_the_operators_that_watch_a_namespace(
    chat: ClusterClient, kubectl_llm: KubectlLlm, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("COLUMNS", "2000")
    chat.create(operator("shop,lab", chat.namespace))

    status = kubectl_llm("status", "chat")
    version = kubectl_llm("version")

    said = f"The operator llm in namespace {chat.namespace} watches: shop, lab."
    assert said in status.output
    assert f"No operator watches namespace {chat.namespace}." in status.output
    assert f"0.1.0, llm in namespace {chat.namespace}, watches shop, lab" in version.output
    assert "API: llmdeployment.dev/v1alpha1" in version.output
    chat.delete("Deployment", "llm")


@pytest.mark.usefixtures("chat")
def test_without_rights_versions_go_on(kubectl_llm: KubectlLlm) -> None:
    done = kubectl_llm("version", "--as", "ada")

    assert done.exit_code == 0, done.output
    assert "API: llmdeployment.dev/v1alpha1" in done.output
    assert "The operators are unknown, because you may not list" in done.output


@pytest.mark.parametrize(
    ("observed", "statuses", "code"),
    [
        (1, {"Ready": "True"}, 0),
        (0, {"Ready": "True"}, 3),
        (1, {"Ready": "False", "Progressing": "True"}, 3),
        (1, {"Ready": "False", "Progressing": "False", "Stalled": "True"}, 4),
        (1, {"Accepted": "False", "Ready": "False", "Stalled": "True"}, 4),
        # The operator tries again by itself.
        (1, {"Accepted": "False", "Ready": "False", "Stalled": "False"}, 3),
    ],
)
def test_a_wait_ends_with_a_code(
    observed: int, statuses: dict[str, str], code: int, chat: ClusterClient, kubectl_llm: KubectlLlm
) -> None:
    write_status(chat, observed, **statuses)

    done = kubectl_llm("status", "chat", "--wait", "--timeout", "0", "-o", "json")

    assert done.exit_code == code, done.output
    found = json.loads(done.stdout)
    assert (found["namespace"], found["generation"]) == (chat.namespace, 1)


def test_kubectl_completes_names(chat: ClusterClient, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    names = kubectl("__complete", "llm", "status", "-n", chat.namespace, "")
    commands = kubectl("__complete", "llm", "promo")

    assert names.splitlines() == ["chat", ":4"]
    assert commands.splitlines()[0].split("\t")[0] == "promote"
