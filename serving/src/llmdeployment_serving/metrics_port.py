"""`/metrics` of a replica, on a port of its own.

The replica's port asks nobody for a password, so who reaches it can have answers generated. A scraper reaches this port instead, which
has this one path.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from llmdeployment_serving.errors import ConfigError

logger = logging.getLogger(__name__)

PORT = "LLMD_METRICS_PORT"
"""Variable with the port; without it there is none."""
CONNECTIONS = 16
"""Connections that wait to be taken."""
RETRY_SECONDS = 1.0
"""Seconds between two tries to open the port, which the process before this one may still have."""
_HEAD_BYTES = 4096


def read_port(env: Mapping[str, str] = os.environ) -> int | None:
    """Return the port of the environment, or None: there shall be none.

    Raises:
        ConfigError: it is no port.
    """
    if not (text := env.get(PORT, "")):
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**16):
        raise ConfigError(f"{PORT} is {text!r}: it must be a port, 1 to 65535")
    return int(text)


@asynccontextmanager
async def serve_metrics(
    render: Callable[[], bytes], host: str, port: int | None
) -> AsyncIterator[None]:
    """Answer `/metrics` on this port for as long as the block runs; without a port do nothing."""
    if port is None:
        yield
        return
    task = asyncio.create_task(run_metrics(render, host, port), name="metrics")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def run_metrics(render: Callable[[], bytes], host: str, port: int) -> None:
    """Answer `/metrics` on this port until cancelled. A port that cannot be opened is tried again: a replica serves without it.

    Args:
        render: returns the page; called in the event loop.
        host: the address to listen at.
        port: TCP port.
    """
    runner = web.AppRunner(
        _build_app(render), access_log=None, max_line_size=_HEAD_BYTES, max_field_size=_HEAD_BYTES
    )
    await runner.setup()
    try:
        is_told = False
        while True:
            site = web.TCPSite(runner, host, port, backlog=CONNECTIONS)
            try:
                await site.start()
                break
            except OSError as error:
                await site.stop()
                if not is_told:
                    logger.warning(
                        "metrics: port %d cannot be opened, and is tried again: %s", port, error
                    )
                is_told = True
                await asyncio.sleep(RETRY_SECONDS)  # why: nothing announces a closed port
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _build_app(render: Callable[[], bytes]) -> web.Application:
    async def show(_: web.Request) -> web.Response:
        kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=render(), headers=kind)

    # A scraper sends no body.
    app = web.Application(client_max_size=1)
    app.router.add_get("/metrics", show)
    return app
