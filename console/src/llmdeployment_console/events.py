"""Server-sent events, and how many streams there may be."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from llmdeployment_console.refusals import RequestRefused, build_refusal
from llmdeployment_console.viewers import ANYBODY, Viewer

MOST = 32
"""Streams at one time."""

KEEP_ALIVE = b": nothing new\n\n"


def format_event(name: str, data: object) -> bytes:
    r"""Return one event; JSON has no line breaks.

    >>> format_event("text", {"text": "a\nb"})
    b'event: text\ndata: {"text":"a\\nb"}\n\n'
    """
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


@dataclass
class Places:
    """How many streams are open, and whether they are to end.

    Attributes:
        most: streams at one time.
        most_each: those of one viewer.
        open: how many there are.
        by_viewer: the same for each viewer who has some.
        ending: set when all are to end.
    """

    most: int = MOST
    most_each: int = MOST
    open: int = 0
    by_viewer: Counter[Viewer] = field(default_factory=Counter)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, viewer: Viewer) -> bool:
        """Take a place for a viewer, and say whether there was one."""
        if self.open >= self.most or self.by_viewer[viewer] >= self.most_each:
            return False
        self.open += 1
        self.by_viewer[viewer] += 1
        return True

    def give_back(self, viewer: Viewer) -> None:
        """Give a place back. Who has none is forgotten."""
        self.open -= 1
        self.by_viewer[viewer] -= 1
        if not self.by_viewer[viewer]:
            del self.by_viewer[viewer]


class EventStream(StreamingResponse):
    """An answer of events that takes one of the places, or is refused.

    Args:
        events: what is sent.
        places: of all streams.
        viewer: whose stream it is.
    """

    def __init__(
        self, events: AsyncIterator[bytes], places: Places, viewer: Viewer = ANYBODY
    ) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._places = places
        self._viewer = viewer

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._places.take(self._viewer):
            message = "Too many streams are open already. Close a tab of the console."
            refused = RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_streams", message)
            await build_refusal(refused)(scope, receive, send)
            return
        streaming = asyncio.ensure_future(super().__call__(scope, receive, send))
        ending = asyncio.ensure_future(self._places.ending.wait())
        try:
            await asyncio.wait({streaming, ending}, return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                streaming.result()
            else:
                await _cancel(streaming)
                # The answer is complete, so that the server has nothing to complain of.
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await _cancel(streaming)
            ending.cancel()
            self._places.give_back(self._viewer)


async def _cancel(task: asyncio.Future[None]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
