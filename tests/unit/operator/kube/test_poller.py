"""Who is asked, for how long, and that nobody waits for somebody else's pods. The pods are real servers on this machine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from llmdeployment_operator.kube import serve
from llmdeployment_operator.kube.errors import ServeRefused
from llmdeployment_operator.kube.poller import FRESH_SECONDS, Poller, Target
from llmdeployment_operator.kube.store import Owner

CHAT: Owner = ("team", "chat")
SECONDS = 20


@dataclass
class Pods:
    """Servers that answer `/stats`; `/stats` of one that hangs ends when the test does."""

    port: int
    asked: list[str] = field(default_factory=list)
    hang: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    async def stats(request: web.Request) -> web.StreamResponse:
        host = request.host.split(":")[0]
        found.asked.append(host)
        if host == "127.0.0.2":
            await found.hang.wait()
        if host == "127.0.0.3":
            raise web.HTTPFound("http://127.0.0.1:1/stolen")
        if host == "127.0.0.4":
            return web.Response(body=b'"' + b"x" * (2 << 20) + b'"')
        return web.json_response({"host": host, **request.query})

    app = web.Application()
    app.add_routes([web.get("/stats", stats)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104  # because 127.0.0.1 to 127.0.0.4 are four pods
    await site.start()
    found = Pods(runner.addresses[0][1])
    yield found
    found.hang.set()
    await runner.cleanup()


@dataclass
class Calls:
    """The LLMDeployments whose pass was called for."""

    made: list[Owner] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __call__(self, owner: Owner) -> None:
        self.made.append(owner)
        self.tasks.append(asyncio.get_running_loop().create_task(self._tell()))

    async def _tell(self) -> None:
        async with self.came:
            self.came.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS), self.came:
            await self.came.wait_for(lambda: len(self.made) >= count)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


def target(pods: Pods, host: str = "127.0.0.1", seconds: float = SECONDS) -> dict[str, Target]:
    return {host: Target(host, host, pods.port, seconds=seconds)}


async def test_a_pass_waits_for_nobody_and_the_next_one_has_the_answers(
    pods: Pods, session: aiohttp.ClientSession
) -> None:
    calls, clock = Calls(), Clock()
    poller = Poller(session, calls, clock)
    wanted = target(pods)
    assert poller.answers(CHAT, wanted) is None
    assert poller.answers(CHAT, wanted) is None
    await calls.until(1)
    found = poller.answers(CHAT, wanted)
    assert found is not None
    assert found["127.0.0.1"].body == {"host": "127.0.0.1"}
    assert calls.made == [CHAT]
    clock.now += FRESH_SECONDS
    assert poller.answers(CHAT, wanted) is not None
    clock.now += 0.1
    assert poller.answers(CHAT, wanted) is None
    await calls.until(2)
    await poller.close()
    assert len(pods.asked) == 2


async def test_an_answer_to_another_question_is_not_taken(
    pods: Pods, session: aiohttp.ClientSession
) -> None:
    calls = Calls()
    poller = Poller(session, calls, Clock())
    plain = target(pods)
    users = {uid: replace(each, path=serve.STATS_WITH_USERS) for uid, each in plain.items()}
    for number, (wanted, query) in enumerate(
        ((plain, {}), (users, {"users": "true"}), (plain, {}))
    ):
        assert poller.answers(CHAT, wanted) is None
        await calls.until(number + 1)
        found = poller.answers(CHAT, wanted)
        assert found is not None
        assert found["127.0.0.1"].body == {"host": "127.0.0.1", **query}
    await poller.close()


async def test_who_has_nobody_to_ask_waits_for_nothing(session: aiohttp.ClientSession) -> None:
    assert Poller(session, Calls()).answers(CHAT, {}) == {}


async def test_answers_that_waited_in_the_queue_are_taken_once(
    pods: Pods, session: aiohttp.ClientSession
) -> None:
    calls, clock = Calls(), Clock()
    poller = Poller(session, calls, clock)
    poller.answers(CHAT, target(pods))
    await calls.until(1)
    clock.now += 1000
    assert poller.answers(CHAT, target(pods)) is not None
    assert poller.answers(CHAT, target(pods)) is None
    await poller.close()


async def test_a_pod_that_is_new_is_asked_at_once(
    pods: Pods, session: aiohttp.ClientSession
) -> None:
    calls = Calls()
    poller = Poller(session, calls, Clock())
    poller.answers(CHAT, target(pods))
    await calls.until(1)
    both = target(pods) | target(pods, "127.0.0.5")
    assert poller.answers(CHAT, both) is None
    await calls.until(2)
    found = poller.answers(CHAT, both)
    assert found is not None
    assert found.keys() == both.keys()


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
async def test_who_hangs_redirects_or_never_ends_is_absent(
    pods: Pods, session: aiohttp.ClientSession, host: str
) -> None:
    calls = Calls()
    poller = Poller(session, calls)
    wanted = target(pods) | target(pods, host, seconds=0.3)
    poller.answers(CHAT, wanted)
    await calls.until(1)
    found = poller.answers(CHAT, wanted)
    assert found is not None
    assert found.keys() == {"127.0.0.1"}


async def test_forty_of_a_hundred_that_hang_delay_nobody_else(
    pods: Pods, session: aiohttp.ClientSession
) -> None:
    calls = Calls()
    poller = Poller(session, calls)
    hanging = [("team", f"hangs-{number}") for number in range(40)]
    good = [("team", f"good-{number}") for number in range(60)]
    for owner in (*hanging, *good):
        poller.answers(owner, target(pods, "127.0.0.2" if owner in hanging else "127.0.0.1"))
    await calls.until(60)
    assert set(calls.made) == set(good)
    await poller.close()


async def test_an_error_nobody_thought_of_ends_no_round(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("never thought of")

    monkeypatch.setattr(serve, "get_stats", broken)
    calls = Calls()
    poller = Poller(session, calls)
    wanted = {"a": Target("a", "127.0.0.1", 1)}
    poller.answers(CHAT, wanted)
    await calls.until(1)
    assert poller.answers(CHAT, wanted) == {}


async def test_a_refusal_is_told_of_the_declaration_that_was_refused_and_of_no_other(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    async def put(_: Any, __: str, ___: str, body: Any) -> None:
        made.append(body)
        if body["bad"]:
            raise ServeRefused("no such field")

    monkeypatch.setattr(serve, "put_applications", put)
    calls = Calls()
    poller = Poller(session, calls)
    for _ in range(3):
        assert poller.declare(CHAT, "runtime", "127.0.0.1", "token", {"bad": True}) == ""
    await calls.until(1)
    assert poller.declare(CHAT, "runtime", "127.0.0.1", "token", {"bad": True}) == "no such field"
    assert poller.declare(CHAT, "runtime", "127.0.0.1", "token", {"bad": False}) == ""
    await calls.until(2)
    assert made == [{"bad": True}, {"bad": False}]


async def test_what_serve_said_before_a_declaration_is_not_believed_after_it(
    pods: Pods, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(*_: Any) -> None:
        return None

    monkeypatch.setattr(serve, "put_applications", put)
    calls = Calls()
    poller = Poller(session, calls, Clock())
    poller.answers(CHAT, target(pods))
    await calls.until(1)
    poller.declare(CHAT, "runtime", "127.0.0.1", "token", {})
    await calls.until(2)
    assert poller.answers(CHAT, target(pods)) is None
    await poller.close()
