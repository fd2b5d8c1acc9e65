"""`kubectl llm` against a real API server; what the operator would write of a rollout is written here."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dev.cluster import api
from tests.component.cli.conftest import KubectlLlm
from tests.support.cluster_client import ClusterClient, Object
from tests.support.until import until

from llmdeployment_cli import kube
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.names import selector
from llmdeployment_operator.plan.base.revisions import (
    Revision,
    build_controller_revision,
    extract_template,
)
from llmdeployment_operator.plan.rollout.commands import Commands, read_commands

pytestmark = pytest.mark.component

OLD = {
    "model": {"source": "hf://acme/old", "tokenSecretRef": {"name": "hub"}},
    "engine": {"args": {"max-model-len": 4096}},
    "podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}},
}
NEW = {
    "model": {"source": "pvc://models/new", "servedName": "chat-v2"},
    "engine": {"args": {"max-model-len": 8192, "dtype": "bfloat16"}},
    "prompt": {"system": "Be kind.", "defaults": {"temperature": 0}},
    "podTemplate": {"spec": {"nodeSelector": {"zone": "a"}, "priorityClassName": "high"}},
}
POLICY = {
    "replicas": 2,
    "rollout": {"strategy": "Canary", "steps": [{"weight": 25, "pause": {}}, {"weight": 50}]},
}


class Story:
    """An LLMDeployment `chat` whose spec changes; each change is recorded as the operator records it."""

    def __init__(self, cluster: ClusterClient) -> None:
        self.cluster = cluster
        self.templates: list[Object] = []

    def begin(self, **template: Any) -> None:
        self.cluster.create(
            {
                "apiVersion": "llmdeployment.dev/v1alpha1",
                "kind": "LLMDeployment",
                "metadata": {"name": "chat"},
                "spec": {**template, **POLICY},
            }
        )
        self.record()

    def change(self, **template: Any) -> None:
        whole = {**self.object, "spec": {**template, **POLICY}}
        api.call(self.cluster.access, "PUT", self.cluster.path("LLMDeployment", "chat"), whole)
        self.record()

    def record(self) -> None:
        """Keep the spec as a ControllerRevision."""
        template = self.template
        self.templates.append(template)
        number = len(self.templates)
        revision = Revision(number, "", "0a0b0c0d", template, {"some": "rendering"})
        self.cluster.create(build_controller_revision(self.parsed, revision))

    def status(self, traffic: dict[int, int], **arm: Any) -> None:
        revisions = [
            {
                "name": f"chat-r{number}",
                "number": number,
                "hash": "h",
                "runtime": "0a0b0c0d",
                "trafficPercent": traffic.get(number, 0),
            }
            for number in range(1, len(self.templates) + 1)
        ]
        conditions = [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "lastTransitionTime": "2026-11-24T11:30:00Z",
            }
        ]
        body = {
            "conditions": conditions,
            "traffic": " ".join(f"rev{number} {share}%" for number, share in traffic.items()),
            "arms": [{"name": "main", "weight": 100, **arm}],
            "revisions": revisions,
        }
        self.cluster.patch("LLMDeployment", "chat", {"status": body}, "/status")

    @property
    def object(self) -> Object:
        found = self.cluster.get("LLMDeployment", "chat")
        assert found is not None
        return found

    @property
    def spec(self) -> Object:
        spec: Object = self.object["spec"]
        return spec

    @property
    def parsed(self) -> LLMDeployment:
        return LLMDeployment.model_validate(self.object)

    @property
    def template(self) -> Object:
        """The template fields as the operator reads them: what makes a revision."""
        return extract_template(self.parsed)

    @property
    def commands(self) -> Commands:
        return read_commands(self.object["metadata"].get("annotations") or {})


@pytest.fixture
def story(cluster: ClusterClient) -> Story:
    """Revision 1 is OLD, revision 2 is NEW and serves."""
    found = Story(cluster)
    # As the StatefulSet of a Ray head has: with the labels of its pods.
    cluster.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {"name": "chat-0a0b0c0d-head-1", "labels": selector("chat")},
            "revision": 1,
            "data": {"spec": {"template": {"$patch": "replace"}}},
        }
    )
    found.begin(**OLD)
    found.change(**NEW)
    found.status({2: 100}, stable=2)
    return found


def canary(story: Story) -> None:
    story.change(model={"source": "pvc://models/third"})
    story.status({2: 75, 3: 25}, stable=2, canary=3, canaryWeight=25, step=1)


def test_an_undo_asks_for_the_very_revision_again(story: Story, kubectl_llm: KubectlLlm) -> None:
    policy = {key: story.spec[key] for key in POLICY}

    result = kubectl_llm("undo", "chat")

    assert result.exit_code == 0, result.output
    assert "asks for revision 1 again" in result.output
    assert "engine.args.dtype" in result.output
    assert story.template == story.templates[0]
    assert {key: story.spec[key] for key in POLICY} == policy
    managers = {entry["manager"] for entry in story.object["metadata"]["managedFields"]}
    assert "kubectl-llm" in managers

    again = kubectl_llm("undo", "chat", "--to", "1")
    assert (again.exit_code, again.output) == (
        0,
        "The spec of chat already asks for revision 1. Nothing changed.\n",
    )
    assert kubectl_llm("undo", "chat", "--to", "2").exit_code == 0
    assert story.template == story.templates[1]


def test_an_undo_is_computed_anew_when_the_object_changed_meanwhile(
    story: Story, kubectl_llm: KubectlLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tries = kube.patch, []

    def raced(cluster: kube.Cluster, name: str, body: Object) -> Object:
        tries.append(body)
        if len(tries) == 1:
            # Somebody adds what the patch, computed before, does not take away.
            story.cluster.patch("LLMDeployment", "chat", {"spec": {"image": "example/image:2"}})
        return write(cluster, name, body)

    monkeypatch.setattr(kube, "patch", raced)
    result = kubectl_llm("undo", "chat")

    assert result.exit_code == 0, result.output
    assert len(tries) == 2
    assert story.template == story.templates[0]


def test_an_undo_to_a_revision_that_is_gone_names_those_that_are_there(
    story: Story, kubectl_llm: KubectlLlm
) -> None:
    canary(story)
    story.cluster.delete("ControllerRevision", "chat-r1")
    before = story.object

    result = kubectl_llm("undo", "chat", "--to", "1")

    assert result.exit_code == 1
    assert "revision 1 of chat does not exist" in result.output
    assert "kept: 2, 3" in result.output
    assert story.object == before


def test_an_undo_that_the_api_server_refuses_changes_nothing(
    story: Story, kubectl_llm: KubectlLlm
) -> None:
    bad = {"model": {"source": "pvc://models/x", "unheardOf": 1}}
    revision = Revision(3, "", "0a0b0c0d", bad, {})
    story.cluster.create(build_controller_revision(story.parsed, revision))

    result = kubectl_llm("undo", "chat", "--to", "3")

    assert result.exit_code == 1
    assert "unheardOf" in result.output
    assert "Traceback" not in result.output
    assert story.template == story.templates[1]


def test_an_object_of_kubectl_apply_has_its_caveat(story: Story, kubectl_llm: KubectlLlm) -> None:
    mark = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    story.cluster.patch("LLMDeployment", "chat", {"metadata": {"annotations": mark}})
    assert "Change the file too." in kubectl_llm("undo", "chat").output


@pytest.mark.usefixtures("story")
def test_history_and_diff(kubectl_llm: KubectlLlm) -> None:
    result = kubectl_llm("history", "chat")
    assert result.exit_code == 0, result.output
    _, one, *two = result.output.splitlines()
    assert one.split()[0] == "1"
    assert two[0].split()[0] == "2"
    assert "stable" in two[0]
    assert "engine.args.dtype" in two[0]

    lines = kubectl_llm("diff", "chat", "1").output.splitlines()
    assert lines[:2] == ["--- revision 1", "+++ revision 2"]
    assert "-    max-model-len: 4096" in lines
    assert "+    max-model-len: 8192" in lines
    assert kubectl_llm("diff", "chat", "2", "2").output == "Revisions 2 and 2 are the same.\n"
    assert "Revisions that are kept: 1, 2." in kubectl_llm("diff", "chat", "9").output


def test_a_canary_by_hand(story: Story, kubectl_llm: KubectlLlm) -> None:
    canary(story)
    for words, commands in (
        (["promote", "chat"], Commands(promote={3: 1})),
        (["promote", "chat", "--step", "2"], Commands(promote={3: 2})),
        (["pause", "chat"], Commands(promote={3: 2}, pause={3})),
        (["resume", "chat"], Commands(promote={3: 2})),
        (["promote", "chat", "--full"], Commands(promote={3: None})),
        (["abort", "chat"], Commands(promote={3: None}, abort={3})),
    ):
        result = kubectl_llm(*words)
        assert result.exit_code == 0, result.output
        assert story.commands == commands
        assert "Revision 3" in result.output

    rejected = {"revision": 3, "attempt": 1, "at": "2026-11-24T11:00:00Z", "message": "no GPU"}
    story.status({2: 100}, stable=2, rejected=rejected)
    assert kubectl_llm("retry", "chat").exit_code == 0
    assert story.commands == Commands(promote={3: None}, retry={3: 1})


@pytest.mark.parametrize("command", ["promote", "abort", "pause", "resume"])
def test_without_a_canary_nothing_is_written(
    story: Story, kubectl_llm: KubectlLlm, command: str
) -> None:
    before = story.object
    result = kubectl_llm(command, "chat")
    assert result.exit_code == 1
    assert "chat has no canary: revision 2 serves" in result.output
    assert story.object == before


def test_what_is_not_there_is_said(
    kubectl_llm: KubectlLlm, cluster: ClusterClient, environment: pytest.MonkeyPatch
) -> None:
    result = kubectl_llm("status", "other")
    assert result.exit_code == 1
    assert f"no LLMDeployment other in namespace {cluster.namespace}" in result.output
    result = kubectl_llm("status", "other", "--context", "mars")
    assert result.exit_code == 1
    assert "mars" in result.output
    environment.setenv("KUBECONFIG", "/none")
    assert "/none leads to no cluster" in kubectl_llm("status", "other").output


def test_a_watched_picture_follows_the_status(
    story: Story,
    environment: pytest.MonkeyPatch,  # noqa: ARG001  # because the command reads it
    tmp_path: Path,
) -> None:
    command = Path(sys.executable).with_name("kubectl-llm")
    seen = tmp_path / "seen"
    words = [str(command), "status", "chat", "-n", story.cluster.namespace, "--watch"]
    with (
        seen.open("wb") as out,
        subprocess.Popen(words, stdout=out, env={**os.environ, "FORCE_COLOR": "1"}) as child,
    ):
        try:
            until(lambda: "rev2 100%" in seen.read_text(), 20, "the first picture")
            story.status({1: 40, 2: 60}, stable=1, canary=2, canaryWeight=60, step=1)
            until(lambda: "rev1 40% rev2 60%" in seen.read_text(), 20, "the second picture")
        finally:
            child.terminate()


def test_kubectl_finds_the_command(story: Story, environment: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent
    environment.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    words = ["kubectl", "llm", "status", "chat", "-n", story.cluster.namespace]
    result = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert "rev2 100%" in result.stdout
