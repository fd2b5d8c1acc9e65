"""Chats with one revision, as a browser meets them."""

import json
from typing import Any

import pytest
from tests.unit.console.fakes import (
    HOST,
    ONE,
    WRITE,
    FakeCluster,
    FakeWays,
    build_local,
    moving,
    open_console,
)
from tests.unit.console.pods import run_pod

from llmdeployment_console.app import Console


def chunk(**event: Any) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


ANSWER = (
    chunk(choices=[{"delta": {"role": "assistant", "content": ""}}])
    + chunk(choices=[{"delta": {"content": "<b>Par"}}])
    + chunk(choices=[{"delta": {"content": "is</b>"}, "finish_reason": "stop"}])
    + chunk(choices=[], usage={"completion_tokens": 7})
    + b"data: [DONE]\n\n"
)
QUESTION = {"revision": 4, "messages": [{"role": "user", "content": "?"}], "maxTokens": 20}


async def ask(console: Console, body: Any = None, to: str = "chat") -> list[tuple[str, Any]]:
    """Return the events of a chat, in a browser in another thread; the console's own loop runs on here."""
    from httpx2 import ASGITransport, AsyncClient  # noqa: PLC0415  # because Starlette's client has a loop of its own

    app: Any = build_local(console)
    value = console.sessions.exchange_token(console.sessions.issue_token())
    headers = {**WRITE, "cookie": f"{console.sessions.cookie}={value}"}
    async with AsyncClient(transport=ASGITransport(app), base_url=f"http://{HOST}") as browser:
        answer = await browser.post(f"{ONE}/{to}", json=body or QUESTION, headers=headers)
    if answer.headers["content-type"] == "application/json":
        return [(str(answer.status_code), answer.json()["error"])]
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    return [(a.removeprefix("event: "), json.loads(b.removeprefix("data: "))) for a, b in blocks]


async def test_a_chat_streams_one_revisions_answer_past_the_gateway() -> None:
    with run_pod(ANSWER) as (base, pod):
        ways = FakeWays(base)
        async with open_console(FakeCluster(moving()), ways) as (console, _):
            events = await ask(console)
    assert events[:2] == [("text", {"text": "<b>Par"}), ("text", {"text": "is</b>"})]
    name, end = events[2]
    assert (name, end["tokens"], end["finishReason"]) == ("end", 7, "stop")
    assert 0 <= end["ttft"] <= end["seconds"]
    assert ways.places == [("shop", "svc/chat-0000001c", 30000)]
    ((path, headers, body),) = pod.requests
    assert path == "/v1/chat/completions"
    assert (headers["x-llm-revision"], headers["x-llm-uncounted"]) == ("4", "true")
    assert (body["model"], body["max_tokens"], body["stream"]) == ("chat", 20, True)


@pytest.mark.parametrize(
    ("cost", "found"),
    [
        (None, None),
        # Revision 4 asks for no accelerators of its own on record, so only a price per replica is known.
        ({"currency": "EUR", "perReplicaHour": "3600"}, ("EUR", "time")),
    ],
)
async def test_an_answer_has_a_cost_where_there_is_a_price(cost: Any, found: Any) -> None:
    with run_pod(ANSWER) as (base, _pod):
        deployment = moving()
        deployment["spec"] = {**deployment["spec"], "cost": cost}
        async with open_console(FakeCluster(deployment), FakeWays(base)) as (console, _):
            *_, (_name, end) = await ask(console)
    if found is None:
        assert end["cost"] is None
    else:
        assert (end["cost"]["currency"], end["cost"]["basis"]) == found
        # At 3600 an hour a second costs 1.
        assert end["cost"]["amount"] == pytest.approx(end["seconds"], abs=0.002)


async def test_an_answer_without_a_reason_or_usage_is_complete_all_the_same() -> None:
    pieces = [chunk(choices=[{"delta": {"content": text}}]) for text in "ab"]
    with run_pod(b"".join([*pieces, b"data: [DONE]\n\n"])) as (base, _):
        async with open_console(FakeCluster(moving()), FakeWays(base)) as (console, _clock):
            *_, (name, end) = await ask(console)
    assert (name, end["tokens"], end["finishReason"]) == ("end", 2, None)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"error": {"message": "no place"}}', "The replica answered 503: no place"),
        (ANSWER.split(b"is</b>")[0], "cut off"),
        (chunk(error={"message": "out of memory"}), "The model's server failed: out of memory"),
        (b"data: nonsense\n\n", "cut off"),
        (b"", "cut off"),
    ],
)
async def test_a_chat_that_fails_says_why(answer: bytes, message: str) -> None:
    with run_pod(answer) as (base, _):
        async with open_console(FakeCluster(moving()), FakeWays(base)) as (console, _clock):
            *_, (name, data) = await ask(console)
    assert name == "error"
    assert message in data["message"]


async def test_a_chat_with_a_pod_that_is_gone_is_sent_once_more() -> None:
    with run_pod() as (base, _):
        pass
    ways = FakeWays(base)
    async with open_console(FakeCluster(moving()), ways) as (console, _clock):
        ((name, _data),) = await ask(console)
    assert name == "error"
    assert ways.dropped == [("shop", "svc/chat-0000001c", 30000)]
    assert len(ways.places) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"revision": 2}, "409"),
        ({"revision": 0}, "400"),
        ({"messages": []}, "400"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "400"),
        ({"maxTokens": 10**6}, "400"),
        ({"url": "http://evil.example"}, "400"),
    ],
)
async def test_a_chat_that_cannot_be_is_refused(change: Any, status: str) -> None:
    ways = FakeWays("http://127.0.0.1:1")
    async with open_console(FakeCluster(moving()), ways) as (console, _):
        assert [name for name, _ in await ask(console, {**QUESTION, **change})] == [status]
    assert ways.places == []
