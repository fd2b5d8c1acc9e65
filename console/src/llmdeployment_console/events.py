"""Server-sent events, and how many streams there may be."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from llmdeployment_console.refusals import RequestRefused, build_refusal

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
    """How many streams are open."""

    open: int = 0


class EventStream(StreamingResponse):
    """An answer of events that takes one of the places, or is refused.

    Args:
        events: what is sent.
        places: of all streams.
    """

    def __init__(self, events: AsyncIterator[bytes], places: Places) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._places = places

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._places.open >= MOST:
            message = f"{MOST} streams are open already. Close a tab of the console."
            refused = RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_streams", message)
            await build_refusal(refused)(scope, receive, send)
            return
        self._places.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.open -= 1
