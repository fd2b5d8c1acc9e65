"""The simulated engine refuses as often as it is told to, of the prompts that it is told of, and the replica counts that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.serving.test_answer_watch import ask

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.start import start_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FAST = {"decode-tokens-per-second": 50_000, "batch-tokens-per-second": 1_000_000}
REFUSAL = "[simulated] As an AI language model, I cannot help with that."
REVISIONS = {"1": {}, "2": {"prompt": {"system": "Be careful please."}}}


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[ReplicaApp]]]:
    engines = []

    async def start(**args: Any) -> ReplicaApp:
        given = {name.replace("_", "-"): value for name, value in args.items()}
        document = {"servedName": "chat", "engine": {"name": "simulated", "args": FAST | given}}
        config = parse(ServingConfig, document)
        engine = await start_engine(config)
        engines.append(engine)
        app = ReplicaApp(config, engine, await engine.build_app())
        app.take(parse(UserConfig, {"revisions": REVISIONS}))
        return app

    yield start
    for engine in engines:
        engine.shutdown()


def body(text: str = "Tell me of trains", **fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()


async def say(app: ReplicaApp, revision: str = "1", **fields: Any) -> tuple[str, str]:
    choice = json.loads(await ask(app, body(**fields), x_llm_revision=revision))["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def count(app: ReplicaApp, revision: str) -> tuple[int, int]:
    row = app.stats()["revisions"][revision]["shares"]["refusal"]
    return row["total"], row["bad"]


async def test_a_share_of_the_answers_refuses(serve: Any) -> None:
    app = await serve(refusal_percent=30)
    said = [await say(app) for _ in range(200)]
    refused = sum(text == REFUSAL for text, _ in said)
    assert 35 <= refused <= 85
    assert count(app, "1") == (200, refused)


async def test_one_prompt_refuses_and_the_other_does_not(serve: Any) -> None:
    app = await serve(refusal_percent=100, refuse_on="careful")
    assert (await say(app, "1"))[0] != REFUSAL
    assert await say(app, "2") == (REFUSAL, "stop")
    assert (count(app, "1"), count(app, "2")) == ((1, 0), (1, 1))


async def test_a_streamed_refusal_is_found_too(serve: Any) -> None:
    app = await serve(refusal_percent=100)
    await ask(app, body(stream=True), x_llm_revision="1")
    assert count(app, "1") == (1, 1)


async def test_the_clients_limit_holds_for_a_refusal(serve: Any) -> None:
    app = await serve(refusal_percent=100)
    assert await say(app, max_tokens=3) == ("[simulated] As an", "length")
    assert (await say(app, max_tokens=500))[1] == "stop"


async def test_no_answer_refuses_by_default_nor_where_a_refusal_does_not_fit(serve: Any) -> None:
    plain = await serve()
    assert all([(await say(plain))[0] != REFUSAL for _ in range(20)])
    tight = await serve(refusal_percent=100, max_model_len=14)
    assert (await say(tight, max_tokens=10))[0] != REFUSAL
    fitting = await serve(refusal_percent=100, max_model_len=15)
    assert (await say(fitting, max_tokens=11))[0] == REFUSAL
