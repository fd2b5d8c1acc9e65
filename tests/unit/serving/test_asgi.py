from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.bodies import MAX_BODY_BYTES
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.relay import run_until_abandoned
from llmdeployment_serving.stats import EngineSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmdeployment_serving.engine import ASGIApp, Message, Receive, Scope, Send
    from llmdeployment_serving.score import Score


class Idle:
    """An engine that does nothing; its application is what a test gives."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def build_app(self) -> ASGIApp:
        return self._app

    def find_failure(self) -> str | None:
        return None

    def take_snapshot(self) -> EngineSnapshot:
        return EngineSnapshot(0, 0, 0.0, 0, 0, {})

    def render_metrics(self) -> bytes:
        return b""

    async def score(self, text: str) -> Score | None:
        raise AssertionError(f"no test here scores a text: {text}")

    async def compute_reference(self, tokens: Sequence[int]) -> float | None:
        raise AssertionError(f"no test here scores a text: {tokens}")

    async def load_adapter(self, name: str, path: str) -> None:
        raise AssertionError(f"no test here has an adapter: {name} in {path}")

    async def unload_adapter(self, name: str) -> None:
        raise AssertionError(f"no test here has an adapter: {name}")

    def shutdown(self) -> None:
        pass


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def front(app: ASGIApp = echo, **config: Any) -> ReplicaApp:
    settings = {"servedName": "chat", "engine": {"name": "simulated"}, **config}
    made = ReplicaApp(parse(ServingConfig, settings), Idle(app), app)
    revisions = {"1": {"prompt": {"system": "One."}}, "2": {"prompt": {"system": "Two."}}}
    made.take(parse(UserConfig, {"revisions": revisions}))
    return made


async def call(
    app: ReplicaApp, path: str, body: bytes = b"{}", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], Any]:
    sent: list[Message] = []
    given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "query_string": b"", "headers": given}
    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(b"".join(m["body"] for m in sent[1:]))


def answering(*bodies: bytes, kind: bytes = b"text/event-stream", ends: bool = True) -> ASGIApp:
    """Return an engine's application that answers in these pieces."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if ends:
            await send({"type": "http.response.body", "body": b""})

    return app


async def counted(app: ASGIApp, body: bytes, **headers: str) -> dict[str, Any]:
    """Return what a replica counts of one request."""
    made = front(app)
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: Message) -> None:
        pass

    await made({"type": "http", "path": CHAT, "method": "POST", "headers": given}, receive, send)
    return dict(made.stats_with_users()["revisions"]["2"])


def lengths(histogram: dict[str, Any]) -> dict[Any, int]:
    return {below: sum(counts) for below, counts in histogram["byPromptBytes"]}


CHAT = "/v1/chat/completions"
HELLO = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.mark.parametrize(
    ("header", "requests"),
    [({}, 1), ({"x_llm_uncounted": "yes"}, 1), ({"x_llm_uncounted": "true"}, 0)],
)
async def test_a_request_of_the_console_is_answered_and_not_counted(
    header: dict[str, str], requests: int
) -> None:
    app = front(
        answering(b'{"choices": [{"message": {"content": "no"}}]}', kind=b"application/json")
    )
    for _ in range(2):
        status, headers, _ = await call(app, CHAT, HELLO, x_llm_revision="2", **header)
        assert (status, headers["x-llm-revision"]) == (200, "2")
    row = app.stats()["revisions"].get("2", {})
    assert sum(row.get("requests", {}).values()) == 2 * requests
    assert row.get("e2e", {}).get("count", 0) == 2 * requests


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/health"])
async def test_before_its_self_test_a_replica_answers_nobody(path: str) -> None:
    app = front()
    app.is_proven = False
    status, headers, body = await call(app, path)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "has not passed its self-test yet" in body["error"]["message"]
    assert (await call(app, "/stats", method="GET"))[0] == 200
    app.is_proven = True
    assert (await call(app, path))[0] == 200


@pytest.mark.parametrize(("asked", "applied"), [({}, "Two."), ({"x_llm_revision": "1"}, "One.")])
async def test_the_header_names_the_revision_and_without_it_the_newest_answers(
    asked: dict[str, str], applied: str
) -> None:
    status, headers, body = await call(front(), CHAT, HELLO, **asked)

    assert status == 200
    assert body["messages"][0] == {"role": "system", "content": applied}
    assert headers["x-llm-revision"] == asked.get("x_llm_revision", "2")


async def test_an_unknown_revision_is_never_answered_with_another_prompt() -> None:
    app = front()
    status, _, body = await call(app, CHAT, HELLO, x_llm_revision="7")

    assert status == 503
    assert "not known to this replica" in body["error"]["message"]
    assert list(app.stats()["revisions"]) == ["0"]


@pytest.mark.parametrize(
    ("path", "method", "body", "expected"),
    [
        ("/v1/embeddings", "POST", b"{}", 404),
        (CHAT, "GET", b"", 404),
        (CHAT, "POST", b"not json", 400),
        (CHAT, "POST", b"[]", 400),
        (CHAT, "POST", b"[" * 100_000, 400),
        (CHAT, "POST", b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
async def test_what_is_refused_is_refused_in_openais_words(
    path: str, method: str, body: bytes, expected: int
) -> None:
    status, _, answer = await call(front(), path, body, method)

    assert status == answer["error"]["code"] == expected


async def test_a_full_replica_says_so_and_counts_what_is_in_flight() -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await leave.wait()
        await echo(scope, receive, send)

    app = front(slow, maxOngoingRequests=1)
    first = asyncio.create_task(call(app, CHAT, HELLO))
    await arrived.wait()
    assert app.stats()["inFlight"] == 1
    status, headers, _ = await call(app, CHAT, HELLO)
    leave.set()

    assert (status, headers["retry-after"]) == (503, "1")
    assert (await first)[0] == 200
    assert app.stats()["inFlight"] == 0
    assert app.stats()["revisions"]["2"]["requests"] == {"200": 1, "503": 1}


@pytest.mark.parametrize("heeds", [True, False])
async def test_work_behind_a_client_that_left_ends(heeds: bool) -> None:  # noqa: FBT001  # because pytest gives parameters by name
    begun, left, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await (left if heeds else asyncio.Event()).wait()
        finally:
            ended.set()

    task = asyncio.create_task(run_until_abandoned(work()))
    await begun.wait()
    task.cancel()
    left.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a \\"usage\\" "}}]}\n\n'
TOLD = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":70}}\n\n'
CACHED = (
    b'{"usage": {"prompt_tokens": 90, "completion_tokens": 20, '
    b'"prompt_tokens_details": {"cached_tokens": 64}}}'
)


@pytest.mark.parametrize(
    ("size", "bucket"), [(0, 1024), (1023, 1024), (1024, 8192), (8192, "+Inf"), (99_999, "+Inf")]
)
async def test_answers_are_counted_by_the_length_of_the_clients_prompt(
    size: int, bucket: Any
) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "x" * size}]}).encode()
    stats = await counted(answering(ROLE, TOKEN, TOKEN), body)

    expected = {1024: 0, 8192: 0, "+Inf": 0, bucket: 1}
    for name in ("ttft", "itl", "e2e", "outputTokens"):
        assert (name, stats[name]["count"]) == (name, 1)
        assert lengths(stats[name]) == expected


@pytest.mark.parametrize(
    ("bucket", "group"),
    [("0", 0), ("63", 63), ("64", 0), ("9999", 15)]
    + [(bucket, None) for bucket in ("", "10000", "-1", "x", "1e3", " 7", "\u0663")],
)
async def test_answers_are_counted_by_the_group_of_the_user(bucket: str, group: Any) -> None:
    stats = await counted(answering(ROLE, TOKEN, TOKEN, TOKEN), HELLO, x_llm_bucket=bucket)

    for name, values in (("ttft", 1), ("itl", 2), ("e2e", 1), ("outputTokens", 1)):
        assert (name, stats[name]["count"]) == (name, values)
        found = {number: sum(counts) for number, counts in stats[name]["byUser"]}
        assert found == ({} if group is None else {group: values})


@pytest.mark.parametrize(
    ("recent", "drawn", "counted_too"),
    [("80", 0.24, True), ("80", 0.25, False), ("20", 0.99, True), ("", 0.99, True)]
    + [(odd, 0.99, True) for odd in ("0", "-80", "x", "\u0663")],
)
async def test_the_bounded_sample_has_requests_of_busy_users_by_chance(
    monkeypatch: pytest.MonkeyPatch, recent: str, drawn: float, *, counted_too: bool
) -> None:
    monkeypatch.setattr("llmdeployment_serving.bounded.random.random", lambda: drawn)
    headers = {"x_llm_bucket": "63", "x_llm_user_requests": recent}
    stats = await counted(answering(ROLE, TOKEN, TOKEN, TOKEN), HELLO, **headers)

    bounded = stats["bounded"]
    for name, values in (("ttft", 1), ("itl", 2), ("e2e", 1), ("outputTokens", 1)):
        assert (name, stats[name]["count"]) == (name, values)
        assert (name, bounded[name]["count"]) == (name, values * counted_too)
        assert {g: sum(row) for g, row in bounded[name]["byUser"]} == (
            {15: values} if counted_too else {}
        )
    assert stats["shares"]["refusal"]["total"] == 1
    assert bounded["shares"]["refusal"]["total"] == counted_too


async def test_without_a_gateway_nobody_has_a_group() -> None:
    stats = await counted(answering(ROLE, TOKEN), HELLO)
    assert (stats["ttft"]["count"], stats["ttft"]["byUser"]) == (1, [])


@pytest.mark.parametrize(
    ("query", "users"), [(b"", False), (b"users=true", True), (b"users=false", False)]
)
async def test_counts_by_group_are_sent_to_who_asks_for_them(query: bytes, *, users: bool) -> None:
    app = front(answering(CACHED, kind=b"application/json"))
    await call(app, CHAT, HELLO, x_llm_revision="1", x_llm_bucket="70")
    row = (await ask_stats(app, query))["1"]
    assert row["requests"] == {"200": 1}
    assert ("byUser" in row["e2e"]) == users
    assert ("bounded" in row) == users


async def test_a_revision_that_is_served_no_longer_is_not_sent_by_group() -> None:
    app = front(answering(CACHED, kind=b"application/json"))
    await call(app, CHAT, HELLO, x_llm_revision="1", x_llm_bucket="70")
    await call(app, CHAT, HELLO, x_llm_revision="2", x_llm_bucket="70")
    app.take(parse(UserConfig, {"revisions": {"2": {"prompt": {"system": "Two."}}}}))
    rows = await ask_stats(app, b"users=true")
    assert {number: "byUser" in row["e2e"] for number, row in rows.items()} == {
        "1": False,
        "2": True,
    }


async def ask_stats(app: ReplicaApp, query: bytes) -> Any:
    """Return the revisions of `/stats`."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/stats", "method": "GET", "headers": []}
    await app({**scope, "query_string": query}, receive, send)
    return json.loads(sent[1]["body"])["revisions"]


async def send_chat(app: ReplicaApp, revision: str) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(_: Message) -> None:
        pass

    headers = [(b"x-llm-revision", revision.encode())]
    await app({"type": "http", "path": CHAT, "method": "POST", "headers": headers}, receive, send)


async def test_a_revision_that_is_gone_has_no_series_and_is_still_counted() -> None:
    app = front(answering(b"data: x\n\n"))
    for revision in ("1", "2", "9"):
        await send_chat(app, revision)
    served = lambda: {  # noqa: E731  # because it is used twice
        sample.labels["revision"]
        for family in text_string_to_metric_families(app.render_metrics().decode())
        for sample in family.samples
        if family.name == "llmdeployment_requests"
    }
    assert served() == {"0", "1", "2"}
    app.take(parse(UserConfig, {"revisions": {"2": {}}}))
    assert served() == {"0", "2"}
    assert app.stats()["revisions"].keys() == {"0", "1", "2"}


async def test_the_replicas_port_has_no_metrics() -> None:
    status, _, _ = await call(front(), "/metrics", method="GET")
    assert status == 404


async def test_a_request_keeps_the_revision_with_which_it_began() -> None:
    app = front()
    sent: list[Message] = []
    body = b'{"messages": []}'

    async def receive() -> Message:
        app.take(parse(UserConfig, {"revisions": {"3": {"prompt": {"system": "Three."}}}}))
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": CHAT, "method": "POST", "headers": []}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["messages"] == [{"role": "system", "content": "Two."}]
