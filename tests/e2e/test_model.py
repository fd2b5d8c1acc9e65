"""A real model on the two engines that run one."""

from collections.abc import Callable

import openai
import pytest
import yaml
from dev.demo.kube import REPOSITORY
from tests.support.live import Live

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("manifests/samples/smollm2-cpu.yaml", "smollm2"),
        ("manifests/samples/smollm2-transformers.yaml", "smollm2-transformers"),
    ],
    ids=["vllm", "transformers"],
)
def test_smollm2_knows_the_capital_of_france(
    live: Callable[[str], Live], file: str, name: str
) -> None:
    sample = yaml.safe_load((REPOSITORY / file).read_text())
    model = live(name)
    model.kube.apply(sample)
    model.until_ready(400)
    client = openai.OpenAI(base_url=model.url, api_key="none", max_retries=0)
    stream = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=20,
        stream=True,
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    client.close()
    assert "Paris" in text
