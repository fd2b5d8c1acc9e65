"""Models that do not generate: their paths, what they count, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.stats_contract import check
from tests.unit.serving.test_asgi import Idle, answering, call, echo

from llmdeployment_serving.api_paths import list_paths
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.flags import build_vllm_flags
from llmdeployment_serving.model_tasks import (
    ModelTask,
    Task,
    check_architectures,
    choose_task,
    find_pooling,
)
from llmdeployment_serving.pooled_bodies import MOST_INPUTS
from llmdeployment_serving.usage import Usage, find_pooled_usage

if TYPE_CHECKING:
    from llmdeployment_serving.engine import ASGIApp

VLLM = {"servedName": "words", "engine": {"name": "vllm"}, "modelPath": "/model"}
EMBEDS = find_pooling("embed", 0, "BertModel")
RERANKS = find_pooling("classify", 1, "BertForSequenceClassification")
SCORING = ["/v1/rerank", "/v2/rerank", "/v1/score"]
TOKENS = ["/tokenize", "/detokenize"]


def front(model: ModelTask = EMBEDS, app: ASGIApp = echo, **prompt: Any) -> ReplicaApp:
    made = ReplicaApp(parse(ServingConfig, VLLM), Idle(app), app, model)
    made.take(parse(UserConfig, {"revisions": {"2": {"prompt": prompt}}}))
    return made


@pytest.mark.parametrize(
    ("pooling", "labels", "architecture", "task", "paths"),
    [
        ("embed", 0, "BertModel", "Embed", ["/v1/embeddings", "/pooling", *SCORING]),
        ("token_embed", 0, "ColBERT", "Embed", ["/pooling", *SCORING]),
        ("classify", 1, "Any", "Rerank", [*SCORING, "/classify", "/pooling"]),
        ("classify", 3, "Any", "Classify", ["/classify", "/pooling"]),
        ("token_classify", 9, "BertForTokenClassification", "Classify", ["/pooling"]),
        ("token_classify", 1, "Qwen2ForProcessRewardModel", "Reward", ["/pooling"]),
        ("plugin", 0, "Any", "Reward", ["/pooling"]),
    ],
)
def test_a_model_has_the_paths_of_its_task(
    pooling: str, labels: int, architecture: str, task: str, paths: list[str]
) -> None:
    found = find_pooling(pooling, labels, architecture)
    assert found.task == task
    assert list(list_paths("vllm", found)) == [*paths, *TOKENS]
    assert list(list_paths("simulated", found)) == paths


@pytest.mark.parametrize(
    ("found", "wanted", "paths"),
    [
        (EMBEDS, None, EMBEDS.paths),
        (EMBEDS, "Embed", EMBEDS.paths),
        (RERANKS, "Classify", ("/classify", "/pooling")),
        (RERANKS, "Reward", ("/classify", "/pooling")),
        (find_pooling("classify", 3, ""), "Reward", ("/classify", "/pooling")),
    ],
)
def test_the_user_says_what_a_head_is_for(
    found: ModelTask, wanted: str | None, paths: tuple[str, ...]
) -> None:
    chosen = choose_task(found, wanted)
    assert (chosen.task, chosen.paths) == (wanted or found.task, paths)


@pytest.mark.parametrize(
    ("found", "wanted", "why"),
    [
        (EMBEDS, "Rerank", "this model embeds. Set Embed,"),
        (EMBEDS, "Classify", "this model embeds. Set Embed,"),
        (RERANKS, "Embed", "this model reranks. Set Rerank,"),
        (ModelTask(Task.GENERATE), "Embed", "this model generates text. Set Generate,"),
        (
            find_pooling("classify", 3, ""),
            "Rerank",
            "this model classifies, with more than one label, and a reranker has one. Set Classify,",
        ),
    ],
)
def test_a_task_that_the_model_cannot_do_is_refused(
    found: ModelTask, wanted: str, why: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        choose_task(found, wanted)
    sentence = f"spec.model.task is {wanted}, but {why} or use another model."
    assert str(refused.value) == sentence


_OTHER_HEAD = "a head that classifies. Set Rerank, Classify or Reward, or use another model."
_NO_HEAD = (
    "no head that classifies. Use a model that has one, or name its class in the flag hf-overrides."
)


@pytest.mark.parametrize(
    ("name", "refused", "why"),
    [
        ("LlamaForSequenceClassification", {"Embed", "Generate"}, _OTHER_HEAD),
        ("BertForTokenClassification", {"Embed", "Generate"}, _OTHER_HEAD),
        ("LlamaForCausalLM", {"Rerank", "Classify"}, _NO_HEAD),
        ("GPT2LMHeadModel", {"Rerank", "Classify"}, _NO_HEAD),
        ("T5ForConditionalGeneration", {"Rerank", "Classify"}, _NO_HEAD),
        ("BertModel", set(), ""),
        ("Qwen2ForRewardModel", set(), ""),
    ],
)
def test_a_task_fits_the_models_class(name: str, refused: set[str], why: str) -> None:
    for wanted in (None, "Generate", "Embed", "Rerank", "Classify", "Reward"):
        if wanted not in refused:
            check_architectures([name], wanted)
            continue
        with pytest.raises(ConfigError) as found:
            check_architectures([name], wanted)
        assert str(found.value) == f"spec.model.task is {wanted}, but this model ({name}) has {why}"


@pytest.mark.parametrize(
    ("task", "flags"),
    [
        ("Generate", ["--runner=generate"]),
        ("Embed", ["--runner=pooling", "--convert=embed"]),
        ("Rerank", ["--runner=pooling", "--convert=classify"]),
        ("Classify", ["--runner=pooling", "--convert=classify"]),
        ("Reward", ["--runner=pooling"]),
        (None, []),
    ],
)
def test_vllm_is_told_the_task(task: str | None, flags: list[str]) -> None:
    config = parse(ServingConfig, {**VLLM, **({"task": task} if task else {})})
    found = build_vllm_flags(config)
    assert [flag for flag in found if flag.startswith(("--runner", "--convert"))] == flags


def test_a_config_without_a_task_is_written_as_before() -> None:
    # Replicas of older images refuse what they do not know.
    assert "task" not in parse(ServingConfig, VLLM).model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "Embed", "engine": {"args": {"runner": "pooling"}}}, "flag runner cannot be set"),
        ({"task": "Embed", "engine": {"args": {"convert": "none"}}}, "flag convert cannot be set"),
        ({"task": "Rerank", "engine": {"name": "simulated"}}, "task must be Generate or Embed"),
        (
            {"task": "Embed", "engine": {"name": "transformers"}},
            "task must be Generate: the transformers ",
        ),
        ({"task": "embed"}, "Input should be"),
        (
            {
                "task": "Embed",
                "engine": {
                    "name": "external",
                    "external": {"baseURL": "https://a/v1", "model": "m"},
                },
            },
            "task cannot be set for the external engine",
        ),
    ],
)
def test_bad_tasks_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(ServingConfig, {**VLLM, **settings})


@pytest.mark.parametrize(
    ("model", "path", "message"),
    [
        (
            EMBEDS,
            "/v1/chat/completions",
            "this model embeds and has no /v1/chat/completions. Use one of: /v1/embeddings, ",
        ),
        (EMBEDS, "/classify", "this model embeds and has no /classify. Use one of: /v1/embeddings"),
        (RERANKS, "/v1/embeddings", "this model reranks and has no /v1/embeddings. Use one of: "),
        (
            ModelTask(Task.GENERATE),
            "/v1/embeddings",
            "this model generates text and has no /v1/embeddings. Use one of: /v1/chat/completions",
        ),
        (EMBEDS, "/other", "POST /other is not served here. This replica serves /v1/embeddings, "),
    ],
)
async def test_a_path_of_another_task_is_refused(model: ModelTask, path: str, message: str) -> None:
    status, _, body = await call(front(model), path)
    assert status == 404
    assert body["error"]["message"].startswith(message)


async def test_another_method_is_not_another_task() -> None:
    _, _, body = await call(front(), "/v1/embeddings", method="GET")
    assert body["error"]["message"].startswith("GET /v1/embeddings is not served here.")


@pytest.mark.parametrize(
    ("model", "path", "defaults"),
    [
        (EMBEDS, "/v1/embeddings", {"dimensions": 8}),
        (EMBEDS, "/v1/embeddings", {"truncate_prompt_tokens": 9, "encoding_format": "base64"}),
        (RERANKS, "/v1/rerank", {"top_n": 3}),
        (RERANKS, "/v1/score", {"max_tokens_per_doc": 3}),
        (RERANKS, "/classify", {"use_activation": False}),
        (EMBEDS, "/pooling", {"task": "embed"}),
    ],
)
async def test_defaults_hold_where_the_field_exists(
    model: ModelTask, path: str, defaults: dict[str, Any]
) -> None:
    answer = await call(front(model, defaults=defaults), path, b'{"input": "hi"}')
    assert (answer[0], answer[2]) == (200, {"input": "hi", **defaults})
    name = next(iter(defaults))
    own = json.dumps({name: "own"} if name != "encoding_format" else {}).encode()
    answer = await call(front(model, defaults=defaults), path, own)
    assert answer[2][name] == "own"


@pytest.mark.parametrize(
    ("path", "prompt", "message"),
    [
        (
            "/v1/embeddings",
            {"system": "Be brief."},
            (
                "/v1/embeddings has no place for a system text, and this model has one. "
                "Remove spec.prompt.system."
            ),
        ),
        (
            "/pooling",
            {"defaults": {"dimensions": 8}},
            (
                "/pooling has no field dimensions, which this model sets by spec.prompt.defaults. "
                "Remove it there."
            ),
        ),
    ],
)
async def test_a_prompt_without_a_place_is_refused(
    path: str, prompt: dict[str, Any], message: str
) -> None:
    status, _, body = await call(front(**prompt), path, b'{"input": "hi"}')
    assert (status, body["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("model", "path", "field"),
    [
        (EMBEDS, "/v1/embeddings", "input"),
        (EMBEDS, "/v1/embeddings", "messages"),
        (EMBEDS, "/pooling", "data"),
        (RERANKS, "/v2/rerank", "documents"),
        (RERANKS, "/v1/score", "text_2"),
        (RERANKS, "/v1/score", "queries"),
        (RERANKS, "/classify", "input"),
    ],
)
async def test_too_many_texts_are_refused(model: ModelTask, path: str, field: str) -> None:
    most = json.dumps({field: ["a"] * MOST_INPUTS}).encode()
    assert (await call(front(model), path, most))[0] == 200
    status, _, body = await call(front(model), path, json.dumps({field: ["a"] * 10_000}).encode())
    message = f"{field} has 10,000 entries, and a request may have 2,048. Send several requests."
    assert (status, body["error"]["message"]) == (400, message)


async def test_the_tokens_of_one_text_are_no_list_of_texts() -> None:
    body = json.dumps({"input": [7] * (MOST_INPUTS + 1)}).encode()
    assert (await call(front(), "/v1/embeddings", body))[0] == 200


@pytest.mark.parametrize("wanted", ["float16", 7, ["float"]])
async def test_an_unknown_encoding_format_is_refused(wanted: Any) -> None:
    body = json.dumps({"input": "a", "encoding_format": wanted}).encode()
    status, _, answer = await call(front(), "/v1/embeddings", body)
    message = "encoding_format must be one of float, base64, bytes, bytes_only. Correct it."
    assert (status, answer["error"]["message"]) == (400, message)


USAGE = b'"usage":{"prompt_tokens":7,"total_tokens":7,"completion_tokens":0,"prompt_tokens_details":null}'
VECTORS = b'{"object":"list","data":[{"embedding":[' + b"0.125," * 9000 + b"1]}]," + USAGE + b"}"
RANKS = (
    b'{"id":"1","usage":{"prompt_tokens":7,"total_tokens":7},"results":['
    + b'{"document":{"text":"\\"usage\\":{\\"prompt_tokens\\":9}"}},' * 99
    + b"{}]}"
)


@pytest.mark.parametrize("body", [VECTORS, RANKS])
async def test_an_answer_counts_for_latency_and_prompt_tokens(body: bytes) -> None:
    app = front(app=answering(body, kind=b"application/json"))
    await call(app, "/v1/embeddings", b'{"input": ["%s", "b"]}' % (b"a" * 2000))
    document = app.stats()
    row = document["revisions"]["2"]
    assert document["task"] == "Embed"
    assert row["requests"] == {"200": 1}
    assert (row["e2e"]["count"], row["ttft"]["count"], row["itl"]["count"]) == (1, 0, 0)
    assert (row["outputTokens"]["count"], row["outputTokens"]["sum"]) == (0, 0)
    assert row["usage"] == {"answers": 1, "promptTokens": 7}
    assert [sum(counts) for _, counts in row["e2e"]["byPromptBytes"]] == [0, 1, 0]


async def test_a_failure_counts_for_the_verdict() -> None:
    async def fail(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    app = front(app=fail)
    await call(app, "/v1/embeddings", b'{"input": "a"}')
    assert app.stats()["revisions"]["2"]["requests"] == {"500": 1}


def test_stats_of_a_chat_model_name_no_task() -> None:
    assert "task" not in front(ModelTask(Task.GENERATE)).stats()


@pytest.mark.parametrize("task", [task for task in Task if task != Task.GENERATE])
def test_stats_with_a_task_are_as_the_contract_says(task: Task) -> None:
    stats = front(ModelTask(task)).stats()
    check("replica", stats)
    assert stats["task"] == task


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (VECTORS, Usage(0, 7, None)),
        (RANKS, Usage(0, 7, None)),
        (b'{"data":[]}', None),
        (b'{"usage":{"prompt_tokens":"x"}}', None),
        (b"\x00" * 4096, None),
    ],
)
def test_usage_is_found_without_parsing_vectors(body: bytes, usage: Usage | None) -> None:
    assert find_pooled_usage(body) == usage
