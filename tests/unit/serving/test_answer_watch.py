"""A replica looks at its answers, and the client gets every byte as the engine sent it."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.serving.test_asgi import CHAT, HELLO, ROLE, TOKEN, Idle, answering, front

from llmdeployment_serving import body_forms
from llmdeployment_serving.answer_text import AnswerReader
from llmdeployment_serving.api_paths import ApiPath
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import MonitoringConfig, ServingConfig, UserConfig, parse
from llmdeployment_serving.output_shares import BUILT_IN

if TYPE_CHECKING:
    from llmdeployment_serving.engine import ASGIApp, Message

PATTERNS = {"outputPatterns": [{"name": "brand", "pattern": "(?i)acme"}]}
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def say(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def watching(app: ASGIApp) -> ReplicaApp:
    made = front(app)
    revisions = {
        "1": {},
        "2": {"prompt": {"defaults": {"response_format": {"type": "json_object"}}}},
    }
    made.take(parse(UserConfig, {"revisions": revisions, "monitoring": PATTERNS}))
    return made


async def ask(app: ReplicaApp, body: bytes = HELLO, **headers: str) -> bytes:
    """Return the bytes that a client gets."""
    sent: list[Message] = []
    given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]

    given_body = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not given_body:
            await asyncio.Event().wait()  # the client stays
        return given_body.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": CHAT, "method": "POST", "headers": given, "query_string": b""}
    await app(scope, receive, send)
    return b"".join(m.get("body", b"") for m in sent)


def shares(app: ReplicaApp, revision: str = "1") -> dict[str, tuple[int, int]]:
    rows = app.stats()["revisions"][revision]["shares"]
    return {share: (row["total"], row["bad"]) for share, row in rows.items()}


async def test_an_answer_is_counted_for_its_revision_by_every_share_that_it_is_of() -> None:
    app = watching(answering(ROLE, say("As an AI language model, I like Ac"), say("me."), END))
    await ask(app, x_llm_revision="1")
    assert shares(app) == {
        "refusal": (1, 1),
        "empty": (1, 0),
        "truncated": (1, 0),
        "invalidJson": (0, 0),
        "invalidToolCall": (0, 0),
        "repetition": (1, 0),
        "languageSwitch": (0, 0),
        "pattern/brand": (1, 1),
    }
    # The other revision's prompt asks for JSON where the client does not.
    await ask(app)
    assert shares(app, "2")["invalidJson"] == (1, 1)
    assert shares(app)["refusal"] == (1, 1)


async def test_the_counts_are_by_the_length_of_the_prompt() -> None:
    app = watching(answering(say("hm"), END))
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 2000}]}).encode()
    await ask(app, body, x_llm_revision="1")
    row = app.stats()["revisions"]["1"]["shares"]["truncated"]
    assert row["byPromptBytes"] == [[1024, 0, 0], [8192, 1, 0], ["+Inf", 0, 0]]


@pytest.mark.parametrize(
    "app",
    [
        answering(say("I cannot help with that."), ends=False),
        answering(b'{"choices": [{"message": {"content": ""}}]}', kind=b"text/plain"),
        answering(b'{"choices": []}', kind=b"application/json"),
        answering(say("half"), b'data: {"error": {"message": "died"}}\n\n'),
    ],
    ids=["cut short", "of another type", "without a choice", "ended in an error"],
)
async def test_what_is_no_finished_answer_is_not_counted(app: ASGIApp) -> None:
    made = watching(app)
    await ask(made, x_llm_revision="1")
    assert set(shares(made).values()) == {(0, 0)}


async def test_an_error_is_not_an_answer() -> None:
    async def refuse(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"choices": [{"text": ""}]}'})

    app = watching(refuse)
    await ask(app, x_llm_revision="1")
    assert set(shares(app).values()) == {(0, 0)}


async def test_a_compressed_answer_is_passed_on_and_not_looked_at() -> None:
    async def compress(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"Content-Encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"choices": [{"text": ""}]}'})

    app = watching(compress)
    assert await ask(app, x_llm_revision="1") == b'{"choices": [{"text": ""}]}'
    assert set(shares(app).values()) == {(0, 0)}


async def test_of_a_thousand_streams_no_byte_changes() -> None:
    source = random.Random(16)  # noqa: S311  # because a test keeps no secret
    changed = 0
    for _ in range(1000):
        words = ("".join(source.choices('aß世"\\{}\n', k=source.randrange(9))) for _ in range(9))
        whole = ROLE + b"".join(map(say, words)) + b": \xff\n" + END
        cuts = sorted(source.sample(range(len(whole)), 7))
        pieces = [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]
        changed += await ask(watching(answering(*pieces)), x_llm_revision="1") != whole
    assert changed == 0


@pytest.mark.parametrize("method", ["__init__", "add", "read"])
async def test_a_fault_of_the_reader_does_not_reach_the_client(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    app = watching(answering(ROLE, TOKEN, END))
    monkeypatch.setattr(AnswerReader, method, fail)
    assert await ask(app, x_llm_revision="1") == ROLE + TOKEN + END
    assert app.stats()["revisions"]["1"]["requests"] == {"200": 1}
    assert set(shares(app).values()) == {(0, 0)}
    assert caplog.messages == ["an answer could not be looked at"]


async def test_a_fault_in_reading_the_request_does_not_reach_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    form = replace(body_forms.CHAT, read_question=fail)
    paths = {CHAT: ApiPath(CHAT, form, CHAT)}
    monkeypatch.setattr("llmdeployment_serving.asgi.list_paths", lambda *_: paths)
    assert await ask(watching(answering(ROLE, END)), x_llm_revision="1") == ROLE + END


async def test_prometheus_has_both_counters_of_every_share() -> None:
    app = watching(answering(say("As an AI language model I am Acme."), END))
    await ask(app, x_llm_revision="1")
    lines = app.render_metrics().decode().splitlines()
    labels = 'engine="simulated",model="chat",name="",namespace="",revision="1"'
    for share, checked, matches in (("refusal", 1, 1), ("empty", 1, 0), ("pattern/brand", 1, 1)):
        name = f'{{{labels},share="{share}"}}'
        assert f"llmdeployment_output_checked_total{name} {checked}.0" in lines
        assert f"llmdeployment_output_matches_total{name} {matches}.0" in lines


async def test_a_replica_without_monitoring_has_the_built_in_shares() -> None:
    app = ReplicaApp(
        parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}}),
        Idle(answering(say("x"), END)),
        answering(say("x"), END),
    )
    app.take(parse(UserConfig, {"revisions": {"1": {}}}))
    await ask(app)
    assert shares(app).keys() == set(BUILT_IN)


async def test_a_new_pattern_is_asked_of_the_next_answer() -> None:
    app = watching(answering(say("acme zeta"), END))
    await ask(app, x_llm_revision="1")
    patterns = {"outputPatterns": [{"name": "zeta", "pattern": "zeta$"}]}
    app.take(parse(UserConfig, {"revisions": {"1": {}}, "monitoring": patterns}))
    assert shares(app)["pattern/zeta"] == (0, 0)
    assert "pattern/brand" not in shares(app)
    await ask(app)
    assert shares(app)["pattern/zeta"] == (1, 1)
    assert shares(app)["empty"] == (2, 0)


@pytest.mark.parametrize(
    "pattern",
    [
        {"name": "Brand", "pattern": "x"},
        {"name": "a" * 33, "pattern": "x"},
        {"name": "a", "pattern": ""},
        {"name": "a", "pattern": "x" * 513},
    ],
)
def test_patterns_are_bounded(pattern: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"outputPatterns\.0\."):
        MonitoringConfig.model_validate({"outputPatterns": [pattern]})
