"""`/live` of the operator: the last hour of each LLMDeployment, for the console. Read-only, and only numbers.

- `/live` -> `{"items": [{"namespace", "name", "point", "ttftP90ByMinute"}]}`
- `/live/NAMESPACE/NAME` -> `{"points": [...]}`, with `?after=<RFC 3339>` those that are later. With `Accept: text/event-stream`
  the event `history`, then a `point` each time there is one.

An LLMDeployment that rests makes no points. While somebody reads its own, the operator looks at it when the last one is old.
"""

import asyncio
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from llmdeployment_operator.plan.live.point import Point, describe_minutes
from llmdeployment_operator.plan.live.ring import OBJECTS, LiveHistory, Owner

STREAMS = 32
"""Streams at one time. A further one is refused."""

OLD_SECONDS = 50.0
"""After this long without a point, whoever reads has the operator look: so points are a minute apart at most, a poll's time included."""

_LOOK_SECONDS = 1.0
_SILENT_LOOKS = 15
"""After so many looks without a point, a comment is sent: that is how a client that is gone is noticed."""


def build_live_routes(
    history: LiveHistory, read_clock: Callable[[], float], look: Callable[[Owner], None]
) -> list[web.AbstractRouteDef]:
    """Return the routes.

    Args:
        history: the points; read at each request.
        read_clock: seconds since 1970.
        look: asks for a pass over an LLMDeployment.
    """
    streams = asyncio.Semaphore(STREAMS)
    looked: dict[Owner, float] = {}

    def freshen(owner: Owner) -> None:
        """Have the operator look at one whose points are old, and not again soon, though its passes may fail."""
        last, now = history.find_last(owner), read_clock()
        # One that is not known is nobody's, or is looked at for the first time soon.
        if last is None or now - max(last, looked.get(owner, last)) < OLD_SECONDS:
            return
        if len(looked) >= OBJECTS:
            looked.clear()
        looked[owner] = now
        look(owner)

    async def show_fleet(_: web.Request) -> web.Response:
        now = read_clock()
        return web.json_response(
            {"items": [_describe_last(history, owner, now) for owner in history.list_owners()]}
        )

    async def show_points(request: web.Request) -> web.StreamResponse:
        owner = request.match_info["namespace"], request.match_info["name"]
        if "text/event-stream" in request.headers.get("Accept", ""):
            if streams.locked():
                return web.json_response({"error": "too many streams"}, status=503)
            async with streams:
                return await _stream(request, history, owner, freshen)
        freshen(owner)
        after = _parse_after(request.query.get("after", ""))
        if after is None:
            return web.json_response({"error": "after is no RFC 3339 time"}, status=400)
        return web.json_response({"points": write_points(history.list_points(owner, after))})

    return [web.get("/live", show_fleet), web.get("/live/{namespace}/{name}", show_points)]


def write_points(points: list[tuple[float, Point]]) -> list[dict[str, Any]]:
    """Return points as documents, each with its time first."""
    return [{"at": format_instant(at), **point} for at, point in points]


def format_instant(at: float) -> str:
    """Return a time in milliseconds, so that no two points have the same.

    >>> format_instant(1795694400.1234)
    '2026-11-26T12:00:00.123Z'
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _parse_after(text: str) -> float | None:
    """Return a time in seconds since 1970: before all others if there is none, None if it cannot be read."""
    if not text:
        return -math.inf
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # The time of a point was cut to milliseconds, and the point itself is not later than itself.
    return found.timestamp() + 0.001 if found.tzinfo is not None else None


def _describe_last(history: LiveHistory, owner: Owner, now: float) -> dict[str, Any]:
    points = history.list_points(owner)
    return {
        "namespace": owner[0],
        "name": owner[1],
        "point": write_points(points[-1:])[0] if points else None,
        "ttftP90ByMinute": describe_minutes(points, now),
    }


async def _stream(
    request: web.Request, history: LiveHistory, owner: Owner, freshen: Callable[[Owner], None]
) -> web.StreamResponse:
    answer = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await answer.prepare(request)
    points = history.list_points(owner)
    await answer.write(_format_event("history", {"points": write_points(points)}))
    last, silent = points[-1][0] if points else -math.inf, 0
    while True:
        freshen(owner)
        await asyncio.sleep(_LOOK_SECONDS)  # why: passes make points, and nothing tells of them
        fresh = history.list_points(owner, last)
        for document in write_points(fresh):
            await answer.write(_format_event("point", document))
        last, silent = (fresh[-1][0], 0) if fresh else (last, silent + 1)
        if silent >= _SILENT_LOOKS:
            await answer.write(b": nothing new\n\n")
            silent = 0


def _format_event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
