"""The HTTP server under the console."""

import asyncio
import logging
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

_STOP_SECONDS = 2


class _Server(uvicorn.Server):
    """A server that ends its streams when it is to end: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._loop = asyncio.get_running_loop()
        self._ending = ending

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._ending.set)


def build_server(app: ASGIApp, ending: asyncio.Event, connections: int) -> uvicorn.Server:
    """Return the server. It logs no requests: the address of the first has the token.

    Args:
        app: what answers.
        ending: set at Ctrl-C and at SIGTERM.
        connections: that there may be at one time.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=connections,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    return _Server(config, ending)
