"""An event loop whose clock jumps to the next timer: what takes minutes of sleeping takes none, and the same each time."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: the time that was to be waited is over at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("nothing is left to wait for: the program hangs")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time()` begins at 0 and only `asyncio.sleep` and timeouts move it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        # A timer is due when it is reached, not a tick of the real clock before.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.now


async def post_lines(app: Any, path: str, body: bytes) -> Any:
    """Yield the lines of an ASGI application's answer, each when it is sent."""
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
    asked = asyncio.Event()

    async def receive() -> Mapping[str, Any]:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await chunks.put(message.get("body", b""))
            if not message.get("more_body"):
                await chunks.put(None)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    answering = asyncio.create_task(app(scope, receive, send))
    while (chunk := await chunks.get()) is not None:
        for line in chunk.splitlines():
            yield line
    await answering
