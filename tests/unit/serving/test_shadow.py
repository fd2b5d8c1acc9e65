"""A replica's shadow, against a stand-in of the canary's replicas on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llmdeployment_serving import shadow
from llmdeployment_serving.asgi import FEW_REQUESTS, ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.shadow import MOST_BYTES, MOST_WAITING, PATIENCE_SECONDS, Shadows
from llmdeployment_serving.stats import EngineSnapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llmdeployment_serving.engine import Message, Receive, Scope, Send

CHAT = "/v1/chat/completions"
Reply = tuple[int, Any]


def chat(text: object, reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


class Canary:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Reply = (200, chat("Paris it is"))
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.hangs_up = False
        app = web.Application()
        app.router.add_post(CHAT, self._answer)
        app.router.add_post("/v1/embeddings", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((headers, await request.json()))
        if self.hangs_up and request.transport is not None:
            request.transport.close()
        status, document = self.reply
        return web.json_response(document, status=status)


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    found = Canary()
    await found.server.start_server()
    yield found
    await found.server.close()


class Stable:
    """A replica of revision 1: a live answer is in prose, an answer of its own is what `says`."""

    path = CHAT

    def __init__(self, canary: Canary, **settings: Any) -> None:
        self.says: Reply = (200, chat("Paris it was"))
        self.asked: list[dict[str, Any]] = []
        self.waiting, self.kv_usage = 0, 0.0
        self.app = ReplicaApp(
            parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}}),
            self,  # type: ignore[arg-type]  # because the tests need three methods of an engine
            self._answer,
        )
        config = {"stable": "1", "revision": "2", "url": canary.url, "percent": 100}
        self.shadow = {**config, "maxTokens": 64, "seconds": 3600, **settings}
        self.cast(self.shadow)

    def cast(self, *shadows: dict[str, Any], **more: Any) -> None:
        revisions = {"1": {"prompt": {"system": "One."}}, "3": {}}
        self.app.take(parse(UserConfig, {"revisions": revisions, "shadows": shadows, **more}))

    def find_failure(self) -> str | None:
        return None

    def take_snapshot(self) -> EngineSnapshot:
        return EngineSnapshot(0, self.waiting, self.kv_usage, 0, 0, {})

    async def _answer(self, _: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        self.asked.append(body)
        own = body.get("temperature") == 0
        status, document = self.says if own else (body.get("status", 200), chat("Paris"))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    async def live(self, revision: str = "1", **body: Any) -> int:
        """Send a live request and return its status; also wait until its shadow, if any, is over."""
        status = await self.send(revision, **body)
        if (work := self.app.shadows._work) is not None:
            await work
        return status

    async def send(
        self, revision: str = "1", more: dict[str, str] | None = None, **body: Any
    ) -> int:
        sent: list[Message] = []
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        raw = json.dumps({"messages": messages, **body}).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        sent_along = {"x-llm-revision": revision, "authorization": "Bearer secret", **(more or {})}
        headers = [(name.encode(), value.encode()) for name, value in sent_along.items()]
        scope = {"type": "http", "path": self.path, "method": "POST", "headers": headers}
        await self.app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    @property
    def row(self) -> dict[str, Any]:
        (found,) = self.app.stats()["shadows"]
        return dict(found)

    def counts(self) -> tuple[int, int, int, int]:
        return tuple(self.row[key] for key in ("compared", "failed", "skipped", "excluded"))  # type: ignore[return-value]  # because there are four


async def test_both_revisions_are_asked_the_same_greedily_after_the_client_has_its_answer(
    canary: Canary,
) -> None:
    stable = Stable(canary)
    assert await stable.live(temperature=1.5, max_tokens=1000, model="chat") == 200
    ((headers, asked),) = canary.asked
    greedy = {"temperature": 0, "n": 1, "stream": False, "max_tokens": 64, "model": "chat"}
    question = [{"role": "user", "content": "What is the capital of France?"}]
    assert asked == {"messages": question, **greedy}
    assert (headers["x-llm-revision"], headers["x-llm-shadow"]) == ("2", "1")
    assert "authorization" not in headers
    # The stable revision's own prompt is added here, the canary's there.
    assert stable.asked[1] == {
        "messages": [{"role": "system", "content": "One."}, *question],
        **greedy,
    }
    # 2 of 3 words in common: 2 x 2 / (3 + 3).
    row = stable.row
    assert {key: value for key, value in row.items() if key != "shares"} == {
        "stable": 1,
        "revision": 2,
        "compared": 1,
        "failed": 0,
        "skipped": 0,
        "excluded": 0,
        "identical": 0,
        "agreementThousandths": 667,
    }
    none = {"total": 1, "stableBad": 0, "canaryBad": 0, "bothBad": 0}
    assert row["shares"] == dict.fromkeys(("refusal", "empty", "repetition"), none)


async def test_a_shadow_is_in_no_other_count(canary: Canary) -> None:
    stable = Stable(canary)
    await stable.live()
    revision = stable.app.stats()["revisions"]["1"]
    assert revision["requests"] == {"200": 1}
    assert revision["e2e"]["count"] == 1
    assert revision["shares"]["refusal"]["total"] == 1
    assert len(stable.asked) == 2


async def test_identical_answers_and_shares_of_each_side(canary: Canary) -> None:
    stable = Stable(canary)
    stable.cast(
        stable.shadow, monitoring={"outputPatterns": [{"name": "brand", "pattern": "Acme"}]}
    )
    refusal = "As an AI language model, I cannot help with that."
    for own, other in (("Acme", " Acme\n"), ("Yes", refusal), (refusal, ""), ("Acme", "No")):
        stable.says, canary.reply = (200, chat(own)), (200, chat(other))
        await stable.live()
    row = stable.row
    assert (row["compared"], row["identical"], row["agreementThousandths"]) == (4, 1, 1000)
    shares = {share: tuple(counts.values()) for share, counts in row["shares"].items()}
    assert shares["refusal"] == (4, 1, 1, 0)
    assert shares["empty"] == (4, 0, 1, 0)
    assert shares["pattern/brand"] == (4, 2, 1, 1)
    # Another expression under the same name is another share.
    stable.cast(
        stable.shadow, monitoring={"outputPatterns": [{"name": "brand", "pattern": "Zeta"}]}
    )
    assert "pattern/brand" not in stable.row["shares"]
    assert stable.row["shares"]["refusal"]["total"] == 4


async def test_what_the_limit_of_tokens_does_is_no_share(canary: Canary) -> None:
    stable = Stable(canary)
    stable.says = (200, chat('{"a": 1}'))
    for reason in ("length", "stop"):
        canary.reply = (200, chat('{"a": 1', reason))
        await stable.live(response_format={"type": "json_object"})
    shares = stable.row["shares"]
    assert "truncated" not in shares
    assert tuple(shares["invalidJson"].values()) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("canary_says", "stable_says", "counts"),
    [
        ((500, {}), (200, chat("a")), (0, 1, 0, 0)),
        ((404, {}), (200, chat("a")), (0, 1, 0, 0)),
        ((200, {"choices": []}), (200, chat("a")), (0, 1, 0, 0)),
        ((200, "x" * 1_100_000), (200, chat("a")), (0, 1, 0, 0)),
        ((400, {}), (400, {}), (0, 0, 1, 0)),
        ((200, chat("a")), (500, {}), (0, 0, 1, 0)),
        ((503, {}), (200, chat("a")), (0, 0, 1, 0)),
        ((429, {}), (200, chat("a")), (0, 0, 1, 0)),
        ((200, chat("a")), (200, chat("a")), (1, 0, 0, 0)),
    ],
)
async def test_who_answers(
    canary: Canary, canary_says: Reply, stable_says: Reply, counts: tuple[int, ...]
) -> None:
    stable = Stable(canary)
    canary.reply, stable.says = canary_says, stable_says
    await stable.live()
    assert stable.counts() == counts


async def test_a_canary_that_is_not_there_is_skipped_and_one_that_breaks_off_has_failed(
    canary: Canary,
) -> None:
    stable = Stable(canary)
    canary.hangs_up = True
    await stable.live()
    assert stable.counts() == (0, 1, 0, 0)
    await canary.server.close()
    await stable.live()
    assert stable.counts() == (0, 1, 1, 0)


async def test_only_answered_requests_of_the_stable_revision_are_sampled(canary: Canary) -> None:
    stable = Stable(canary)
    assert await stable.live("3") == 200
    assert await stable.live("7") == 503
    assert await stable.live(status=400) == 400
    assert await stable.live(tools=[{"type": "function"}]) == 200
    assert stable.counts() == (0, 0, 0, 1)
    assert canary.asked == []


async def test_a_chat_of_the_console_is_not_repeated(canary: Canary) -> None:
    stable = Stable(canary)
    assert await stable.send(more={"x-llm-uncounted": "true"}) == 200
    assert stable.app.shadows._work is None
    assert stable.app.stats()["revisions"] == {}


@pytest.mark.parametrize(("draw", "sampled"), [(0.1999, 1), (0.2, 0), (0.9, 0)])
async def test_the_percent(draw: float, sampled: int, canary: Canary) -> None:
    stable = Stable(canary, percent=20)
    stable.app.shadows._draw = lambda: draw
    await stable.live()
    assert len(canary.asked) == sampled


@pytest.mark.parametrize(
    ("waiting", "kv_usage", "in_flight"),
    [(1, 0.0, 0), (0, 0.51, 0), (0, 0.0, FEW_REQUESTS + 1)],
    ids=["waiting", "cache", "running"],
)
async def test_a_replica_that_is_full_asks_nobody(
    waiting: int, kv_usage: float, in_flight: int, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    stable = Stable(canary)
    clock = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    monkeypatch.setattr(shadow.asyncio, "sleep", sleep)
    stable.app.shadows._clock = lambda: clock
    stable.kv_usage, stable.app._in_flight = 0.5, FEW_REQUESTS
    assert stable.app._has_room()
    stable.waiting, stable.kv_usage, stable.app._in_flight = waiting, kv_usage, in_flight
    assert not stable.app._has_room()
    await stable.live()
    assert stable.counts() == (0, 0, 1, 0)
    assert clock == PATIENCE_SECONDS
    assert canary.asked == []


@pytest.mark.parametrize(
    ("in_flight", "headers", "status"),
    [
        (FEW_REQUESTS, {"x-llm-shadow": "1"}, 200),
        (FEW_REQUESTS + 1, {"x-llm-shadow": "1"}, 503),
        (FEW_REQUESTS + 1, {}, 200),
    ],
)
async def test_a_replica_that_is_full_answers_no_other_ones_shadow(
    in_flight: int, headers: dict[str, str], status: int, canary: Canary
) -> None:
    stable = Stable(canary)
    stable.app._in_flight = in_flight
    assert await stable.send("3", headers) == status
    assert stable.app._in_flight == in_flight


async def test_load_that_comes_meanwhile_spares_the_stable_replica(canary: Canary) -> None:
    stable = Stable(canary)
    looks = iter((True, False))
    stable.app.shadows._has_room = lambda: next(looks)
    await stable.live()
    assert stable.counts() == (0, 0, 1, 0)
    assert len(canary.asked) == 1
    assert len(stable.asked) == 1


async def test_only_so_many_wait_and_none_that_is_large(canary: Canary) -> None:
    stable = Stable(canary)
    stable.app.shadows._start = lambda: None  # type: ignore[method-assign]  # because nothing may leave the queue
    for _ in range(MOST_WAITING + 3):
        await stable.send()
    stable.app.shadows.offer("1", CHAT, b"x" * (MOST_BYTES + 1))
    assert stable.counts() == (0, 0, 3, 1)
    assert len(stable.app.shadows._waiting) == MOST_WAITING
    stable.cast()
    assert not stable.app.shadows._waiting
    assert "shadows" not in stable.app.stats()


async def test_counts_stay_with_the_canary_and_end_with_it(canary: Canary) -> None:
    stable = Stable(canary)
    await stable.live()
    stable.cast({**stable.shadow, "percent": 50})
    assert stable.row["compared"] == 1
    stable.cast({**stable.shadow, "revision": "4"})
    assert (stable.row["revision"], stable.row["compared"]) == (4, 0)


async def test_it_ends_by_itself(canary: Canary) -> None:
    shadows = Shadows(ask=None, has_room=None, draw=lambda: 0.0, clock=lambda: now)  # type: ignore[arg-type]  # because nothing is asked
    shadows._start = lambda: None  # type: ignore[method-assign]  # because nothing is asked
    now = 100.0
    config = parse(UserConfig, {"shadows": [{**Stable(canary).shadow, "seconds": 60}]}).shadows
    shadows.take(config, ())
    for now in (159.9, 160.0):  # noqa: B007  # because the clock reads it
        shadows.offer("1", CHAT, b"{}")
    assert len(shadows._waiting) == 1
    # The same again does not begin it anew, and a longer one goes on.
    shadows.take(config, ())
    shadows.offer("1", CHAT, b"{}")
    assert len(shadows._waiting) == 1
    shadows.take([config[0].model_copy(update={"seconds": 61})], ())
    shadows.offer("1", CHAT, b"{}")
    assert len(shadows._waiting) == 2


async def test_whatever_goes_wrong_the_next_one_is_asked(
    canary: Canary, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stable = Stable(canary)
    with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
        patch.setattr(shadow, "build_question", lambda *_: 1 / 0)
        await stable.live()
    await stable.live()
    assert stable.counts() == (1, 0, 1, 0)


async def test_an_answer_that_takes_too_long_is_skipped(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "ASK_SECONDS", 0.01)
    stable = Stable(canary)

    async def hang(*_: object) -> tuple[int, bytes]:
        await asyncio.Event().wait()
        raise AssertionError

    stable.app.shadows._ask = hang
    monkeypatch.setattr(shadow, "_ask_canary", lambda *_: hang_less())

    async def hang_less() -> tuple[int, bytes]:
        return 200, json.dumps(chat("a")).encode()

    await stable.live()
    assert stable.counts() == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"percent": 0},
        {"percent": 101},
        {"maxTokens": 0},
        {"seconds": 0},
        {"url": "http://user:key@host:1"},
        {"url": "http://host"},
        {"stable": "0"},
        {"other": 1},
    ],
)
def test_a_config_that_no_operator_writes(change: dict[str, Any]) -> None:
    good = {"stable": "1", "revision": "2", "url": "http://a.b.svc:30000", "percent": 1}
    good |= {"maxTokens": 1, "seconds": 1}
    assert parse(UserConfig, {"shadows": [good]}).shadows[0].percent == 1
    with pytest.raises(ConfigError):
        parse(UserConfig, {"shadows": [{**good, **change}]})
