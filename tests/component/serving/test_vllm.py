"""The real engine: vLLM on this machine's CPU with the demo's model, in a real Ray cluster. One cluster for the file, so the order
of the tests matters: the one that kills the engine comes last."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
import urllib3
from dev import serving_env
from tests.support import openapi_cases, vllm_options
from tests.support.ray_runtime import RayRuntime, descendants, status_of, until
from tests.support.stats_contract import check

from llmdeployment_serving.self_test import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.otlp_receiver import Received
    from tests.support.vllm_options import Option

pytestmark = [pytest.mark.component, pytest.mark.timeout(900)]
FRANCE: Any = [{"role": "user", "content": "What is the capital of France?"}]
STORY: Any = [{"role": "user", "content": "Tell a long story."}]


@pytest.fixture
def client(vllm_runtime: RayRuntime) -> Iterator[openai.OpenAI]:
    url = vllm_runtime.replica_url("/v1")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, revision: str) -> Any:
    headers = {"x-llm-revision": revision}
    return client.chat.completions.create(model="chat", messages=FRANCE, extra_headers=headers)


def test_a_sampled_trace_goes_on_to_vllm_and_others_leave_no_span(
    client: openai.OpenAI, collector: Received
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    for header in (None, f"00-{trace[::-1]}-{parent}-00", f"00-{trace}-{parent}-01"):
        headers = {"x-llm-revision": "1", **({"traceparent": header} if header else {})}
        client.chat.completions.create(model="chat", messages=FRANCE, extra_headers=headers)
    found = {span.name: span for span in collector.wait_for(lambda spans: len(spans) >= 2)}

    answer, engine = found["chat chat"], found["llm_request"]
    assert {span.trace_id for span in collector.spans} == {trace}
    assert (answer.parent_id, engine.parent_id) == (parent, answer.span_id)
    assert answer.start <= engine.start <= engine.end <= answer.end
    assert answer.attributes["gen_ai.provider.name"] == "vllm"
    # vLLM says how long the request waited for its turn.
    assert "gen_ai.latency.time_in_queue" in engine.attributes


def test_right_logits_are_those_of_transformers_in_float32(vllm_runtime: RayRuntime) -> None:
    found = vllm_runtime.stats()["selfTest"]
    assert found["referenceFrom"] == "Transformers"
    assert abs(found["score"] - found["reference"]) < TOLERANCE / 5


def test_the_model_knows_the_capital_of_france(client: openai.OpenAI) -> None:
    assert "The capital of France is Paris." in ask(client, "1").choices[0].message.content


def test_a_revisions_defaults_reach_the_engine(client: openai.OpenAI) -> None:
    assert ask(client, "2").usage.completion_tokens <= 3


def test_revisions_with_other_adapters_of_one_name_answer_side_by_side(
    client: openai.OpenAI,
) -> None:
    def said(model: str, revision: str) -> str:
        headers = {"x-llm-revision": revision}
        answer = client.chat.completions.create(
            model=model,
            messages=FRANCE,
            extra_headers=headers,
            # Random adapters may end at once, and two that say nothing cannot be told apart.
            extra_body={"min_tokens": 12},
        )
        assert answer.model == model
        return answer.choices[0].message.content or ""

    base, one, two = said("chat", "3"), said("legal", "3"), said("legal", "4")

    assert len({base, one, two}) == 3
    assert "Paris" in base
    assert (said("legal", "3"), said("chat", "4")) == (one, base)  # the cache mixes up nothing


def test_the_stream_of_an_adapter_has_its_name(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="legal", messages=FRANCE, stream=True, extra_headers={"x-llm-revision": "3"}
    )

    assert {chunk.model for chunk in stream} == {"legal"}


def test_models_are_those_of_the_revision(client: openai.OpenAI) -> None:
    found = {
        number: [model.id for model in client.models.list(extra_headers={"x-llm-revision": number})]
        for number in "135"
    }

    assert found == {"1": ["chat"], "3": ["chat", "legal"], "5": ["chat"]}


def test_adapters_that_cannot_be_loaded_say_why(vllm_runtime: RayRuntime) -> None:
    told = vllm_runtime.stats()["revisions"]["5"]["adapters"]

    assert told["missing"].startswith("failed: there is no folder ")
    assert told["high"] == "failed: LoRA rank 128 is greater than max_lora_rank 64."
    layer = "model.layers.0.self_attn.q_proj"
    assert told["narrow"].endswith(f"{layer} takes 576 numbers, the adapter has 64")


def test_a_stream_is_counted_by_the_engine_and_by_the_revision(
    client: openai.OpenAI, vllm_runtime: RayRuntime
) -> None:
    before = vllm_runtime.stats()
    stream = client.chat.completions.create(
        model="chat",
        messages=FRANCE,
        max_tokens=10,
        stream=True,
        extra_headers={"x-llm-revision": "1"},
        extra_body={"ignore_eos": True},
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    after = vllm_runtime.stats()
    check("replica", after)

    assert text
    assert after["generationTokens"] == before["generationTokens"] + 10
    assert after["histograms"]["ttft"]["count"] == before["histograms"]["ttft"]["count"] + 1
    assert after["revisions"]["1"]["ttft"]["count"] == before["revisions"]["1"]["ttft"]["count"] + 1


def test_a_client_that_leaves_ends_its_work(
    client: openai.OpenAI, vllm_runtime: RayRuntime
) -> None:
    before = vllm_runtime.stats()["generationTokens"]
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=1.0).chat.completions.create(
            model="chat", messages=STORY, max_tokens=1500, extra_body={"ignore_eos": True}
        )
    left = time.monotonic()
    until(lambda: not busy(vllm_runtime), seconds=60, what="the end of the abandoned request")

    assert time.monotonic() - left < 3
    assert vllm_runtime.stats()["generationTokens"] - before < 1500


@pytest.mark.parametrize(
    ("module", "kind", "options"),
    [
        ("openai/chat_completion", "ChatCompletionRequest", vllm_options.CHAT),
        ("openai/completion", "CompletionRequest", vllm_options.COMPLETIONS),
        ("openai/responses", "ResponsesRequest", vllm_options.RESPONSES),
        ("anthropic", "AnthropicMessagesRequest", vllm_options.MESSAGES),
    ],
    ids=["chat", "completions", "responses", "messages"],
)
def test_the_table_has_every_option_of_this_vllm(
    module: str, kind: str, options: tuple[Option, ...]
) -> None:
    environment = serving_env.refresh()
    assert environment is not None
    (packages,) = environment.glob("lib/python*/site-packages")
    assert vllm_options.list_fields(packages, module, kind) <= {name for name, _ in options}


@pytest.mark.parametrize(
    ("path", "start", "options", "build"),
    [
        ("/v1/chat/completions", {"messages": FRANCE}, vllm_options.CHAT, vllm_options.build_body),
        (
            "/v1/completions",
            {"prompt": "Paris is"},
            vllm_options.COMPLETIONS,
            vllm_options.build_body,
        ),
        (
            "/v1/responses",
            {"input": "Hello"},
            vllm_options.RESPONSES,
            vllm_options.build_response,
        ),
        ("/v1/messages", {"messages": FRANCE}, vllm_options.MESSAGES, vllm_options.build_message),
    ],
    ids=["chat", "completions", "responses", "messages"],
)
def test_no_option_kills_the_engine_or_is_answered_with_a_server_error(
    vllm_runtime: RayRuntime,
    path: str,
    start: dict[str, Any],
    options: tuple[Option, ...],
    build: Callable[[dict[str, Any], Option], dict[str, Any]],
) -> None:
    vllm_runtime.until_replicas(60)
    (before,) = vllm_runtime.replicas()
    url, web = (
        vllm_runtime.replica_url(path),
        urllib3.PoolManager(maxsize=4, timeout=120, retries=False),
    )

    def try_option(option: Option) -> tuple[Option, int, str] | None:
        answer = web.request("POST", url, json=build({"model": "chat", **start}, option))
        text = answer.data.decode()
        # A response says of its error that it has none.
        said = text.replace('"error":null', "")
        failed = answer.status >= 500 or (answer.status == 200 and '"error"' in said)
        return (option, answer.status, text[:200]) if failed else None

    # Several at once, since some only harm those that are in the same batch.
    with ThreadPoolExecutor(4) as pool:
        bad = [found for found in pool.map(try_option, options) if found is not None]
    assert bad == []
    chat = {"model": "chat", "messages": FRANCE}
    answer = web.request("POST", vllm_runtime.replica_url("/v1/chat/completions"), json=chat)
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]
    (after,) = vllm_runtime.replicas()
    assert after["pid"] == before["pid"]


def test_scored_prompts_beside_other_requests_do_not_kill_the_engine(
    client: openai.OpenAI, vllm_runtime: RayRuntime
) -> None:
    (before,) = vllm_runtime.replicas()
    options: Any = {"max_tokens": 40, "extra_headers": {"x-llm-revision": "3"}}
    long: Any = {"ignore_eos": True}
    with ThreadPoolExecutor() as pool:
        others = [
            pool.submit(
                client.chat.completions.create,
                **{**options, "max_tokens": 200},
                model=model,
                messages=STORY,
                extra_body=long,
            )
            for model in ("chat", "legal")
        ]
        until(lambda: busy(vllm_runtime) >= 2, seconds=30, what="two requests under way")
        for name in ("chat", "legal"):
            scored = client.chat.completions.create(
                model=name, messages=FRANCE, extra_body={"prompt_logprobs": 1}, **options
            )
            assert scored.choices
            echoed = client.completions.create(
                model=name, prompt="Paris is", echo=True, logprobs=1, **options
            )
            assert echoed.choices[0].logprobs is not None
        assert all(each.result().choices for each in others)
    (after,) = vllm_runtime.replicas()
    assert after["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/v1/chat/completions", 150),
        ("/v1/completions", 150),
        ("/v1/responses", 60),
        ("/v1/messages", 60),
    ],
)
def test_what_schemathesis_makes_of_the_engines_own_document_is_no_fault_of_the_server(
    vllm_runtime: RayRuntime, document: dict[str, Any], path: str, count: int
) -> None:
    (before,) = vllm_runtime.replicas()
    bodies = openapi_cases.list_bodies(document, path, count)
    outcome = openapi_cases.try_all(vllm_runtime.replica_url(path), bodies)

    assert outcome.faults == []
    # Some reach the engine, and some are refused.
    assert outcome.statuses[200] > count / 30
    assert outcome.statuses[400] > count / 30
    (after,) = vllm_runtime.replicas()
    assert after["pid"] == before["pid"]


@pytest.fixture(scope="module")
def document(vllm_runtime: RayRuntime) -> dict[str, Any]:
    return openapi_cases.read_document(vllm_runtime.python)


def tell_story(
    runtime: RayRuntime, name: str, tokens: int, *, stream: bool = False
) -> tuple[int, str]:
    messages = [{"role": "user", "content": f"Tell me a story about {name}."}]
    body = {"model": "chat", "messages": messages, "max_tokens": tokens, "ignore_eos": True}
    url = runtime.replica_url("/v1/chat/completions")
    answer = urllib3.request("POST", url, json={**body, "stream": stream}, timeout=300)
    return answer.status, answer.data.decode()


def busy(runtime: RayRuntime) -> int:
    found = runtime.stats()
    return int(found["running"] + found["waiting"] + found["inFlight"])


def find_engines(runtime: RayRuntime) -> list[int]:
    (replica,) = runtime.replicas()
    return [pid for pid in descendants({replica["pid"]}) if "EngineCore" in command_line(pid)]


def test_after_a_dead_engine_the_next_one_answers_and_a_request_that_two_died_under_is_refused(
    client: openai.OpenAI, vllm_runtime: RayRuntime
) -> None:
    (replica,) = until(vllm_runtime.replicas, seconds=60, what="a replica")
    health = vllm_runtime.replica_url("/health")
    produced = vllm_runtime.stats()["generationTokens"]
    with ThreadPoolExecutor() as pool:
        bird = pool.submit(tell_story, vllm_runtime, "a bird", 600, stream=True)
        until(
            lambda: vllm_runtime.stats()["generationTokens"] > produced, seconds=60, what="a stream"
        )
        fish = pool.submit(tell_story, vllm_runtime, "a fish", 300)
        until(lambda: vllm_runtime.stats()["running"] == 2, seconds=60, what="two requests")
        (first,) = find_engines(vllm_runtime)
        os.kill(first, signal.SIGKILL)
        # The newest is tried again first: under it the second engine is killed too.
        until(lambda: status_of(health) != 200, seconds=60, what="the notice")
        status, text = bird.result()
        assert status == 200
        assert "The engine stopped while it worked on this request." in text
        assert "stack trace" not in text

        until(lambda: set(find_engines(vllm_runtime)) - {first}, seconds=120, what="an engine")
        (second,) = set(find_engines(vllm_runtime)) - {first}
        cat = pool.submit(tell_story, vllm_runtime, "a cat", 20)
        until(lambda: vllm_runtime.stats()["running"] == 1, seconds=240, what="the second try")
        os.kill(second, signal.SIGKILL)
        status, text = fish.result()
        assert status == 422
        assert '"code": "engine_crash"' in text
        assert cat.result()[0] == 200

    assert tell_story(vllm_runtime, "a fish", 300)[0] == 422
    assert ask(client, "1").choices[0].message.content
    assert vllm_runtime.stats()["engineRestarts"] == 2
    assert [each["pid"] for each in vllm_runtime.replicas()] == [replica["pid"]]
    log = (vllm_runtime.folder / "worker.log").read_text()
    assert log.count("the next engine answers after") == 2
    assert "self-test: " in log
    assert status_of(health) == 200


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
