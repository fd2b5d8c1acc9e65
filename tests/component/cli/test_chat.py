"""A conversation through a real gateway, with a real replica whose engine is simulated."""

import asyncio
from pathlib import Path

import pytest
from click.testing import Result
from tests.component.cli.conftest import KubectlLlm
from tests.component.gateway.pod import Pod
from tests.support.cluster_client import ClusterClient

pytestmark = pytest.mark.component


@pytest.fixture
def chat(cluster: ClusterClient) -> None:
    cluster.create(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat"},
            "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}},
        }
    )


@pytest.mark.usefixtures("chat")
async def test_a_conversation_says_who_answers(
    gateway: Pod, kubectl_llm: KubectlLlm, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{gateway.port}/v1"

    async def chat(*words: str, said: str = "") -> Result:
        return await asyncio.to_thread(
            lambda: kubectl_llm("chat", "chat", "--url", url, *words, said=said)
        )

    refused = await chat("--once", "hello")
    assert refused.exit_code == 1
    assert "requires an API key. Give it with --key-file or LLMD_API_KEY" in refused.output

    environment.setenv("LLMD_API_KEY", "sk-bob")
    refused = await chat("--once", "hello")
    assert "the gateway does not know this API key" in refused.output

    key = tmp_path / "key"
    key.write_text("sk-alice\n")
    answered = await chat("--once", "hello", "--key-file", str(key))
    assert answered.exit_code == 0, answered.output
    assert answered.output.startswith("[r3] [simulated] Shout.")
    assert "hello" in answered.output

    environment.setenv("LLMD_API_KEY", "sk-alice")
    talked = await chat(said="first\n\nsecond\n")
    assert talked.exit_code == 0, talked.output
    _, one, two = talked.output.split("[r3] ")
    assert one.startswith("[simulated] Shout. first Shout.")
    # The engine echoes the conversation: its own first answer is part of the second question.
    assert two.startswith("[simulated] Shout. first [simulated] Shout.")


@pytest.mark.usefixtures("chat")
def test_a_gateway_that_cannot_be_forwarded_is_said(kubectl_llm: KubectlLlm) -> None:
    result = kubectl_llm("chat", "chat", "--once", "hello")
    assert result.exit_code == 1
    assert "kubectl port-forward ended" in result.output
    assert "not found" in result.output


@pytest.mark.usefixtures("chat")
def test_a_door_without_a_house_is_said(kubectl_llm: KubectlLlm) -> None:
    result = kubectl_llm("chat", "chat", "--once", "hello", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 does not answer" in result.output
