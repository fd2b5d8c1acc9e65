"""Models that embed and rerank, with the real engine: tiny ones with random weights, and what transformers computes of them."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import openai
import pytest
import urllib3
from dev import model, serving_env
from tests.support import vllm_options
from tests.support.ray_runtime import RayRuntime, until
from tests.support.tiny_models import QUERY, TEXTS

from llmdeployment_serving import pooled_bodies
from llmdeployment_serving.vector_agreement import measure_cosine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
SCRIPT = "tests/support/tiny_models.py"
ONE_PERCENT = 1e-2
_start_seconds = 300.0


@pytest.fixture(scope="module")
def environment() -> Path:
    found = serving_env.refresh()
    if found is None or model.find_ready() is None:
        pytest.skip(reason="no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    return found


@pytest.fixture(scope="module")
def models(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    python = str(environment / "bin/python")
    subprocess.run([python, SCRIPT, str(folder), str(model.find_ready())], check=True)
    return folder


@pytest.fixture(scope="module")
def expected(models: Path) -> dict[str, Any]:
    return dict(json.loads((models / "expected.json").read_text()))


@pytest.fixture(scope="module")
def runtime(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayRuntime]:
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "CXX": "no-compiler"}
    made = RayRuntime(
        tmp_path_factory.mktemp("ray"),
        python=str(environment / "bin/python"),
        environment=settings,
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


def serve(
    runtime: RayRuntime, document: dict[str, Any], files: Path, **settings: Any
) -> dict[str, Any]:
    """Let the runtime serve a model, wait for it, and return its `/stats`."""
    wanted = copy.deepcopy(document)
    application = wanted["applications"][0]
    flags = {"max-model-len": 128, "max-num-seqs": 16, "enforce-eager": True}
    application["args"] |= {"servedName": files.name, "modelPath": str(files), **settings}
    application["args"]["engine"] = {"name": "vllm", "args": flags}
    revisions = {"1": {}, "2": {"prompt": {"defaults": {"truncate_prompt_tokens": 3}}}}
    application["deployments"][0]["user_config"] = {"revisions": revisions}
    assert runtime.put(wanted) == 200

    def read() -> dict[str, Any] | None:
        try:
            found = runtime.stats()
        except OSError:
            return None
        return found if found["model"] == files.name else None

    return dict(until(read, seconds=_start_seconds, what=f"a replica with the {files.name}"))


@pytest.fixture(scope="module")
def embedder(runtime: RayRuntime, put_document: dict[str, Any], models: Path) -> RayRuntime:
    assert serve(runtime, put_document, models / "embedder", task="Embed")["task"] == "Embed"
    return runtime


def ask(runtime: RayRuntime, path: str, revision: str = "1", **body: Any) -> tuple[int, Any]:
    headers = {"x-llm-revision": revision}
    answer = urllib3.request("POST", runtime.replica_url(path), json=body, headers=headers)
    return answer.status, answer.json()


def test_vectors_are_those_of_transformers(embedder: RayRuntime, expected: dict[str, Any]) -> None:
    url = embedder.replica_url("/v1")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        found = client.embeddings.create(
            model="embedder", input=list(TEXTS), extra_headers={"x-llm-revision": "1"}
        )
    # OpenAI's client asks for base64.
    pairs = zip((row.embedding for row in found.data), expected["vectors"], strict=True)
    assert [1 - measure_cosine(*pair) < ONE_PERCENT for pair in pairs] == [True] * len(TEXTS)
    row = embedder.stats()["revisions"]["1"]
    assert row["usage"] == {"answers": 1, "promptTokens": found.usage.prompt_tokens}
    assert (row["e2e"]["count"], row["ttft"]["count"], row["outputTokens"]["count"]) == (1, 0, 0)
    one, other = expected["vectors"][:2]
    assert 1 - measure_cosine(one, other) > ONE_PERCENT


def test_a_revisions_defaults_hold(embedder: RayRuntime) -> None:
    _, found = ask(embedder, "/v1/embeddings", "2", input=TEXTS[1])
    assert found["usage"]["prompt_tokens"] == 3
    _, found = ask(embedder, "/v1/embeddings", "2", input=TEXTS[1], truncate_prompt_tokens=2)
    assert found["usage"]["prompt_tokens"] == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "hi"}]},
            404,
            "this model embeds and has no /v1/chat/completions. Use one of: /v1/embeddings, ",
        ),
        ("/v1/embeddings", {"input": ["a"] * 10_000}, 400, "input has 10,000 entries, and a "),
        (
            "/v1/embeddings",
            {"input": "a", "encoding_format": "float128"},
            400,
            "encoding_format must be one of float, base64, bytes, bytes_only. Correct it.",
        ),
        ("/v1/embeddings", {"input": "a " * 200}, 400, "This model's maximum context length is "),
        ("/v1/embeddings", {"input": [[]]}, 400, "The decoder prompt cannot be empty"),
    ],
)
def test_a_bad_request_is_refused_in_a_sentence(
    embedder: RayRuntime, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    found, answer = ask(embedder, path, **body)
    assert found == status
    assert answer["error"]["message"].startswith(message)


def test_every_path_of_an_embedder_answers(embedder: RayRuntime) -> None:
    documents = list(TEXTS)
    assert ask(embedder, "/pooling", input="a")[0] == 200
    assert ask(embedder, "/tokenize", prompt="a")[0] == 200
    for path in ("/v1/rerank", "/v2/rerank"):
        status, found = ask(embedder, path, query=TEXTS[0], documents=documents)
        # By cosine: a text is most like itself.
        assert (status, found["results"][0]["index"]) == (200, 0)
    status, found = ask(embedder, "/v1/score", text_1=TEXTS[0], text_2=documents)
    assert (status, len(found["data"])) == (200, len(TEXTS))


@pytest.fixture(scope="module")
def reranker(embedder: RayRuntime, put_document: dict[str, Any], models: Path) -> RayRuntime:
    # The task is read from the model's own config. This ends the embedder.
    assert serve(embedder, put_document, models / "reranker")["task"] == "Rerank"
    return embedder


def test_scores_are_those_of_transformers(reranker: RayRuntime, expected: dict[str, Any]) -> None:
    documents, scores = list(TEXTS), pytest.approx(expected["scores"], abs=ONE_PERCENT)
    status, found = ask(reranker, "/v1/score", text_1=QUERY, text_2=documents)
    assert (status, [row["score"] for row in found["data"]]) == (200, scores)
    for path in ("/v1/rerank", "/v2/rerank"):
        status, found = ask(reranker, path, query=QUERY, documents=documents)
        ranked = sorted(found["results"], key=lambda row: row["index"])
        assert (status, [row["relevance_score"] for row in ranked]) == (200, scores)
    assert reranker.stats()["revisions"]["1"]["usage"]["answers"] == 3
    status, answer = ask(reranker, "/v1/embeddings", input="a")
    assert status == 404
    assert answer["error"]["message"].startswith("this model reranks and has no /v1/embeddings. ")


@pytest.mark.parametrize(
    ("folder", "kind", "known"),
    [
        ("embed", "EmbeddingCompletionRequest", pooled_bodies.EMBEDDING_FIELDS),
        ("pooling", "PoolingCompletionRequest", pooled_bodies.POOLING_FIELDS),
        ("scoring", "ScoreDataRequest", pooled_bodies.SCORING_FIELDS),
        ("scoring", "RerankRequest", pooled_bodies.RERANK_FIELDS),
        ("classify", "ClassificationCompletionRequest", pooled_bodies.CLASSIFY_FIELDS),
    ],
)
def test_a_default_is_a_field_of_this_vllm(
    environment: Path, folder: str, kind: str, known: frozenset[str]
) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    assert known <= vllm_options.list_pooling_fields(packages, folder, kind)
