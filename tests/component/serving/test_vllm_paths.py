"""The paths beside chat and completions, with the real engine and the clients that people have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
import urllib3
from dev import serving_env
from tests.support import conformance, vllm_options
from tests.support.ray_runtime import until

from llmdeployment_serving.prompts import MESSAGE_FIELDS, RESPONSE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ray_runtime import RayRuntime

pytestmark = [pytest.mark.component, pytest.mark.timeout(900)]
QUESTION = "What is the capital of France?"
FRANCE: Any = [{"role": "user", "content": QUESTION}]
FIRST = {"x-llm-revision": "1"}


@pytest.fixture
def chats(vllm_runtime: RayRuntime) -> Iterator[openai.OpenAI]:
    vllm_runtime.until_replicas(300)
    url = vllm_runtime.replica_url("/v1")
    with openai.OpenAI(
        base_url=url, api_key="none", max_retries=0, default_headers=FIRST
    ) as client:
        yield client


@pytest.fixture
def messages(vllm_runtime: RayRuntime) -> Iterator[anthropic.Anthropic]:
    vllm_runtime.until_replicas(300)
    with anthropic.Anthropic(
        base_url=vllm_runtime.replica_url(""),
        api_key="none",
        max_retries=0,
        default_headers=FIRST,
    ) as client:
        yield client


def count(runtime: RayRuntime, number: str = "1") -> dict[str, Any]:
    row = runtime.stats()["revisions"].get(number, {})
    return {
        "requests": row.get("requests", {}).get("200", 0),
        "ttft": row.get("ttft", {}).get("count", 0),
        "answers": row.get("shares", {}).get("truncated", {}).get("total", 0),
        "tokens": row.get("outputTokens", {}).get("sum", 0),
    }


def check_counts(runtime: RayRuntime, before: dict[str, Any], tokens: int) -> None:
    """Hold a replica to have counted two equal answers, one of them streamed. It counts when a client has all of an answer."""
    more = {"requests": 2, "ttft": 1, "answers": 2, "tokens": 2 * tokens}
    wanted = {name: before[name] + more[name] for name in before}
    until(lambda: count(runtime) == wanted, seconds=10, what=f"the counts {wanted}")


def test_a_response_is_answered_whole_and_streamed(
    chats: openai.OpenAI, vllm_runtime: RayRuntime
) -> None:
    before = count(vllm_runtime)
    whole = chats.responses.create(model="chat", input=QUESTION)
    assert "Paris" in whole.output_text
    events = list(chats.responses.create(model="chat", input=QUESTION, stream=True))
    said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert said == whole.output_text
    assert whole.usage is not None
    check_counts(vllm_runtime, before, whole.usage.output_tokens)


def test_a_message_is_answered_whole_and_streamed(
    messages: anthropic.Anthropic, vllm_runtime: RayRuntime
) -> None:
    before = count(vllm_runtime)
    asked: Any = {"model": "chat", "messages": FRANCE, "max_tokens": 32}
    whole = messages.messages.create(**asked)
    (block,) = whole.content
    assert block.type == "text"
    assert "Paris" in block.text
    with messages.messages.stream(**asked) as stream:
        said = "".join(stream.text_stream)
    assert said == block.text
    check_counts(vllm_runtime, before, whole.usage.output_tokens)


def test_the_system_text_reaches_every_path(
    chats: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    second: Any = {"extra_headers": {"x-llm-revision": "2"}}
    asked = chats.chat.completions.create(model="chat", messages=FRANCE, **second).usage
    response = chats.responses.create(model="chat", input=QUESTION, **second).usage
    message = messages.messages.create(model="chat", messages=FRANCE, max_tokens=3, **second)
    counted = messages.messages.count_tokens(model="chat", messages=FRANCE, **second)
    plain = messages.messages.count_tokens(model="chat", messages=FRANCE)
    assert asked is not None
    assert response is not None
    found = {asked.prompt_tokens, response.input_tokens, message.usage.input_tokens}
    assert found == {counted.input_tokens}
    assert counted.input_tokens != plain.input_tokens
    assert response.output_tokens == 3


def test_tokens_and_back(vllm_runtime: RayRuntime) -> None:
    web = urllib3.PoolManager(timeout=60, retries=False)
    tokens = web.request(
        "POST", vllm_runtime.replica_url("/tokenize"), json={"model": "chat", "prompt": QUESTION}
    ).json()["tokens"]
    asked = {"model": "chat", "tokens": tokens}
    back = web.request("POST", vllm_runtime.replica_url("/detokenize"), json=asked).json()
    assert back == {"prompt": QUESTION}


def test_generate_text_goes_on_with_the_prompt(vllm_runtime: RayRuntime) -> None:
    asked = {"prompt": "The capital of France is"}
    answer = urllib3.request(
        "POST",
        vllm_runtime.replica_url("/generate_text"),
        json=asked,
        headers=FIRST,
        timeout=60,
    )
    assert answer.status == 200
    assert "Paris" in answer.json()["generated_text"]


def test_tools_are_refused_without_a_parser_and_pass_if_none_is_to_be_called(
    chats: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    # SmolLM2's template has no tools, so no parser is chosen for it.
    tool: Any = conformance.TOOL
    given: Any = {"model": "chat", "messages": FRANCE, "max_tokens": 3}
    for choice in ("auto", "required", conformance.TOOL | {"function": {"name": "find_city"}}):
        with pytest.raises(openai.BadRequestError, match="set enable-auto-tool-choice: true and"):
            chats.chat.completions.create(**given, tools=[tool], tool_choice=choice)
    with pytest.raises(openai.BadRequestError, match="set enable-auto-tool-choice: true and"):
        chats.responses.create(model="chat", input=QUESTION, tools=[conformance.FLAT_TOOL])
    with pytest.raises(anthropic.BadRequestError, match="set enable-auto-tool-choice: true and"):
        messages.messages.create(**given, tools=[conformance.MESSAGE_TOOL])
    assert chats.chat.completions.create(**given, tools=[tool], tool_choice="none").choices
    none: Any = {"type": "none"}
    assert messages.messages.create(
        **given, tools=[conformance.MESSAGE_TOOL], tool_choice=none
    ).content
    assert messages.messages.create(**given, tools=[]).content


def test_a_bad_message_is_refused_in_anthropics_form(messages: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        messages.messages.create(model="none", messages=FRANCE, max_tokens=3)
    body: Any = refused.value.body
    assert body["error"]["message"] == "the model 'none' does not exist. Use one of: chat."


@pytest.mark.parametrize(
    ("folder", "kind", "known"),
    [
        ("openai/responses", "ResponsesRequest", RESPONSE_FIELDS),
        ("anthropic", "AnthropicMessagesRequest", MESSAGE_FIELDS),
    ],
)
def test_a_default_is_a_field_of_this_vllm(folder: str, kind: str, known: frozenset[str]) -> None:
    environment = serving_env.refresh()
    assert environment is not None
    (packages,) = environment.glob("lib/python*/site-packages")
    assert known <= vllm_options.list_fields(packages, folder, kind)
