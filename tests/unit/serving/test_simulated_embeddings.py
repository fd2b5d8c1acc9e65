"""The vectors of the simulated engine."""

import base64
import json
import struct
from typing import Any

import pytest
from tests.unit.serving.test_asgi import call

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine_simulated import SimulatedEngine, start_simulated
from llmdeployment_serving.vector_agreement import measure_cosine


async def ask_simulated(body: dict[str, Any], seed: int = 0) -> tuple[int, Any]:
    settings = {"servedName": "words", "task": "Embed", "engine": {"name": "simulated"}}
    config = parse(ServingConfig, settings)
    args = {"seed": seed, "batch-tokens-per-second": 9_000}
    engine = await start_simulated(
        config.model_copy(update={"engine": config.engine.model_copy(update={"args": args})})
    )
    try:
        app = ReplicaApp(config, engine, await engine.build_app(), engine.get_task())
        app.take(parse(UserConfig, {"revisions": {"1": {}}}))
        status, _, answer = await call(app, "/v1/embeddings", json.dumps(body).encode())
        await check_counters(engine, app, status)
    finally:
        engine.shutdown()
    return status, answer


async def check_counters(engine: SimulatedEngine, app: ReplicaApp, status: int) -> None:
    assert await engine.score("any text") is None
    snapshot = engine.take_snapshot()
    assert snapshot.generation_tokens == 0
    assert bool(snapshot.prompt_tokens) == (status == 200)
    assert app.stats()["task"] == "Embed"


async def test_the_simulated_engine_embeds() -> None:
    status, answer = await ask_simulated({"input": ["red car", "red car", "blue bus"]})
    assert (status, answer["system_fingerprint"]) == (200, "simulated")
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    one, same, other = (row["embedding"] for row in answer["data"])
    assert one == same
    assert len(one) == 64
    assert measure_cosine(one, one) == pytest.approx(1)
    assert abs(measure_cosine(one, other)) < 0.5
    _, elsewhere = await ask_simulated({"input": "red car"}, seed=1)
    assert abs(measure_cosine(one, elsewhere["data"][0]["embedding"])) < 0.5


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "input must be a text or a list of texts, none of them empty"),
        ({"input": ["a", " "]}, 400, "input must be a text or a list of texts, none of them empty"),
        ({"input": [1, 2]}, 400, "input must be a text or a list of texts, none of them empty"),
        ({"input": "a", "dimensions": 65}, 400, "dimensions must be between 1 and 64"),
        ({"input": "a " * 8193}, 400, "the model's context is 8192 tokens"),
        (
            {"input": "a", "encoding_format": "bytes"},
            400,
            "the simulated engine has encoding_format float and base64 only",
        ),
    ],
)
async def test_the_simulated_engine_refuses(
    body: dict[str, Any], status: int, message: str
) -> None:
    found, answer = await ask_simulated(body)
    assert (found, answer["error"]["message"]) == (status, message)


async def test_simulated_vectors_are_encoded_as_openais_client_reads_them() -> None:
    _, plain = await ask_simulated({"input": "a", "dimensions": 3})
    _, coded = await ask_simulated({"input": "a", "dimensions": 3, "encoding_format": "base64"})
    found = struct.unpack("<3f", base64.b64decode(coded["data"][0]["embedding"]))
    assert list(found) == pytest.approx(plain["data"][0]["embedding"], abs=1e-6)
