"""`/live` of the operator."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from llmdeployment_operator import live_api
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.live_api import STREAMS, build_live_routes, format_instant
from llmdeployment_operator.plan.live.ring import OBJECTS, LiveHistory, Owner
from llmdeployment_operator.plan.observed.live_counters import LiveCounters

NOON = 1795694400.0
OWNER = ("shop", "chat")


def record(history: LiveHistory, at: float) -> None:
    history.record(OWNER, "u", LiveCounters(waiting=3), at, RolloutSpec(), Status(ready_replicas=2))


@asynccontextmanager
async def serve(
    history: LiveHistory,
    read_clock: Callable[[], float] | None = None,
    look: Callable[[Owner], None] | None = None,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    clock = read_clock or (lambda: NOON + 20)
    app.add_routes(build_live_routes(history, clock, look or (lambda _: None)))
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_points_are_given_and_with_a_time_only_later_ones() -> None:
    history = LiveHistory()
    for at in (NOON, NOON + 5.0014, NOON + 11):
        record(history, at)
    async with serve(history) as client:
        whole = (await (await client.get("/live/shop/chat")).json())["points"]
        assert [point["at"] for point in whole] == [
            "2026-11-26T12:00:00.000Z",
            "2026-11-26T12:00:05.001Z",
            "2026-11-26T12:00:11.000Z",
        ]
        assert (whole[0]["waiting"], whole[0]["replicas"]) == (3, {"ready": 2, "desired": 0})
        for number, point in enumerate(whole):
            later = await client.get("/live/shop/chat", params={"after": point["at"]})
            assert (await later.json())["points"] == whole[number + 1 :]
        assert (await client.get("/live/shop/chat", params={"after": "yesterday"})).status == 400
        assert await (await client.get("/live/shop/other")).json() == {"points": []}
        assert (await client.post("/live/shop/chat")).status == 405


async def test_the_fleet_has_the_last_point_and_sixty_minutes_of_each() -> None:
    history = LiveHistory()
    record(history, NOON)
    async with serve(history) as client:
        (item,) = (await (await client.get("/live")).json())["items"]
    assert (item["namespace"], item["name"]) == OWNER
    assert item["point"]["at"] == format_instant(NOON)
    assert item["ttftP90ByMinute"] == [None] * 60


async def test_a_stream_has_the_past_and_then_each_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_api, "_LOOK_SECONDS", 0.001)
    history = LiveHistory()
    record(history, NOON)
    async with serve(history) as client, asyncio.timeout(10):
        stream = await client.get("/live/shop/chat", headers={"accept": "text/event-stream"})
        assert stream.headers["content-type"] == "text/event-stream"
        name, past = await read_event(stream.content)
        assert (name, len(past["points"])) == ("history", 1)
        record(history, NOON + 5)
        name, point = await read_event(stream.content)
        assert (name, point["at"]) == ("point", format_instant(NOON + 5))
        stream.close()


async def test_one_that_rests_is_looked_at_while_somebody_reads_its_points() -> None:
    history, looked, now = LiveHistory(), list[Owner](), [NOON]
    record(history, NOON)
    async with serve(history, lambda: now[0], looked.append) as client:
        for seconds in (0, 49, 50, 51, 99, 100, 101):
            # No pass makes a point: that is no reason to ask for more and more of them.
            now[0] = NOON + seconds
            await client.get("/live/shop/chat")
        assert looked == [OWNER, OWNER]
        record(history, NOON + 120)
        now[0] = NOON + 169
        await client.get("/live/shop/chat")
        assert looked == [OWNER, OWNER]
        now[0] = NOON + 900
        await client.get("/live/shop/nobody-knows-it")
        await client.get("/live")
        assert looked == [OWNER, OWNER]


async def test_a_stream_has_the_operator_look_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_api, "_LOOK_SECONDS", 0.001)
    history, now, came = LiveHistory(), [NOON], asyncio.Event()
    record(history, NOON)
    async with (
        serve(history, lambda: now[0], lambda _: came.set()) as client,
        asyncio.timeout(10),
    ):
        stream = await client.get("/live/shop/chat", headers={"accept": "text/event-stream"})
        await read_event(stream.content)
        assert not came.is_set()
        now[0] = NOON + 60
        await came.wait()
        stream.close()


async def test_what_is_remembered_of_readers_is_bounded() -> None:
    history, looked = LiveHistory(), list[Owner]()
    async with serve(history, lambda: NOON + 60, looked.append) as client:
        for number in range(OBJECTS + 1):
            owner = ("shop", f"chat-{number}")
            history.record(owner, "u", LiveCounters(), NOON, RolloutSpec(), Status())
            await client.get(f"/live/shop/chat-{number}")
        await client.get(f"/live/shop/chat-{OBJECTS}")
        assert len(looked) == OBJECTS + 1
        # There was no room for this one beside so many others.
        await client.get("/live/shop/chat-1")
    assert looked[-1] == ("shop", "chat-1")


async def test_too_many_streams_are_refused() -> None:
    async with serve(LiveHistory()) as client, asyncio.timeout(30):
        ask = {"accept": "text/event-stream"}
        streams = [await client.get("/live/shop/chat", headers=ask) for _ in range(STREAMS)]
        assert {stream.status for stream in streams} == {200}
        assert (await client.get("/live/shop/chat", headers=ask)).status == 503
        assert (await client.get("/live/shop/chat")).status == 200
        for stream in streams:
            stream.close()


async def read_event(content: Any) -> tuple[str, Any]:
    """Return the next event, comments left out."""
    while not (line := await content.readline()).startswith(b"event: "):
        pass
    data = await content.readline()
    return line.decode().strip().removeprefix("event: "), json.loads(data.removeprefix(b"data: "))
