"""`/live` of the operator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from llmdeployment_operator import live_api
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.live_api import STREAMS, build_live_routes, format_instant
from llmdeployment_operator.plan.live.ring import LiveHistory
from llmdeployment_operator.plan.observed.live_counters import LiveCounters

NOON = 1795694400.0
OWNER = ("shop", "chat")


def record(history: LiveHistory, at: float) -> None:
    history.record(OWNER, "u", LiveCounters(waiting=3), at, RolloutSpec(), Status(ready_replicas=2))


@asynccontextmanager
async def serve(history: LiveHistory) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(build_live_routes(history, lambda: NOON + 20))
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
