"""`/healthz`, `/readyz` and `/metrics` of the operator."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest

from llmdeployment_operator.metrics import Metrics

STUCK_SECONDS = 300.0
"""A pass has a deadline below this, so an older one means that the loop or its workers do not move any more."""


@asynccontextmanager
async def serve_health(
    port: int,
    metrics: Metrics,
    stuck_for: Callable[[], float],
    ready: Callable[[], str | None],
    more: Iterable[web.AbstractRouteDef] = (),
) -> AsyncIterator[None]:
    """Serve these paths on all addresses for as long as the context lasts.

    Args:
        port: TCP port.
        metrics: what `/metrics` shows.
        stuck_for: seconds the oldest waiting or running pass has made no progress.
        ready: what `/readyz` says, or None while the operator cannot do its part. An operator that stands by is ready: a
            rollout of the operator's own Deployment goes on, and the PodDisruptionBudget counts it.
        more: further routes.
    """

    async def healthz(_: web.Request) -> web.Response:
        seconds = stuck_for()
        if seconds > STUCK_SECONDS:
            return web.Response(status=503, text=f"no progress for {seconds:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        text = ready()
        if text is None:
            return web.Response(status=503, text="not watching yet\n")
        return web.Response(text=f"{text}\n")

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry),
            headers={"Content-Type": "text/plain; version=0.0.4"},
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", show_metrics),
            *more,
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()
