"""The command `llmdeployment-serving external`: a replica without Ray and without an engine, whose answers come from an external API.

Its configuration is in its environment at the start, with the prompt. Such a pod loads no model, so another prompt is another pod.
What answers are looked at for is in a mounted file, because it must not take other pods (`monitoring_file`).
"""

import asyncio
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import uvicorn

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import MonitoringConfig, RevisionConfig, ServingConfig, UserConfig
from llmdeployment_serving.engine import Receive, Scope, Send
from llmdeployment_serving.engine_external import start_external
from llmdeployment_serving.errors import AnswerCutError, ConfigError
from llmdeployment_serving.metrics_port import read_port, serve_metrics
from llmdeployment_serving.monitoring_file import MonitoringFile
from llmdeployment_serving.probe import REVISION_HEADER

logger = logging.getLogger(__name__)

CONFIG = "LLMD_SERVING_CONFIG"
"""Environment variable with the `ServingConfig` (JSON)."""
API_KEY = "LLMD_EXTERNAL_API_KEY"
"""Environment variable with the API's key; unset for an API without keys."""
MONITORING = "LLMD_MONITORING"
"""Environment variable with the path of the file that holds the `MonitoringConfig` (JSON); unset: nobody mounted one."""
SPAN_SECONDS = 1.0
"""Seconds that an ending replica waits for its last spans."""
MAX_REVISIONS = 64
"""Revisions that requests are counted for, at most."""

_number = re.compile(rb"[1-9][0-9]{0,9}")


async def serve_external(
    config: ServingConfig, key: str, host: str, port: int, monitoring: Path | None = None
) -> None:
    """Serve until SIGTERM, then finish the answers in progress.

    Args:
        config: what the pod was started with.
        key: the API's key; empty for an API without keys.
        host: the address to listen on.
        port: the port to listen on.
        monitoring: the file with what answers are looked at for; it may change, appear and go.

    Raises:
        ConfigError: the configuration or the key is not valid.
    """
    # uvicorn stops at SIGTERM, then sends it again to the handler before its own. The default one would end the process at once, and what
    # waits of spans and of the request log with it; that is written at the exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    app = await build_external_app(config, key)
    settings = uvicorn.Config(
        app, host=host, port=port, lifespan="on", log_level="warning", access_log=False
    )
    async with serve_metrics(app.render_metrics, host, read_port()), _follow(monitoring, app):
        try:
            await uvicorn.Server(settings).serve()
        finally:
            app.close()


@asynccontextmanager
async def _follow(path: Path | None, app: "ExternalReplica") -> AsyncIterator[None]:
    """Take what the file says for as long as the block runs; without a file do nothing."""
    if path is None:
        yield
        return
    file = MonitoringFile(path, app.watch_for)
    file.look()
    task = asyncio.create_task(file.follow(), name="monitoring")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def build_external_app(config: ServingConfig, key: str) -> "ExternalReplica":
    """Return the ASGI application of a replica."""
    if config.engine.name != "external":
        raise ConfigError(
            f"engine.name is {config.engine.name}, but this command runs the external engine only"
        )
    engine = await start_external(config, key)
    front = ReplicaApp(config, engine, await engine.build_app())
    return ExternalReplica(front)


class ExternalReplica:
    """Does what Ray Serve does for other replicas: answers the probe's path, and adds revisions.

    All revisions of these pods have one prompt, which the engine applies. So their numbers only count requests; they come from the
    gateway's header, up to `MAX_REVISIONS`.
    """

    def __init__(self, front: ReplicaApp) -> None:
        self._replica_app = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "http":
            if scope["path"] == "/-/healthz":
                await _send_healthy(send)
                return
            self._add_revision(dict(scope["headers"]).get(REVISION_HEADER, b""))
        try:
            await self._replica_app(scope, receive, send)
        except AnswerCutError as error:
            # why: without the answer's end uvicorn closes the connection, so the client sees that the answer is not complete.
            logger.warning("an answer was cut off: %s", error)

    def render_metrics(self) -> bytes:
        """Return the page for Prometheus."""
        return self._replica_app.render_metrics()

    def watch_for(self, monitoring: MonitoringConfig) -> None:
        """Look at the next answers for these patterns."""
        self._replica_app.watch_for(monitoring)

    def close(self) -> None:
        """Send the spans that wait."""
        self._replica_app.spans.close(SPAN_SECONDS)

    def _add_revision(self, number: bytes) -> None:
        known = self._replica_app.user_config.revisions
        if len(known) < MAX_REVISIONS and _number.fullmatch(number):
            known = {**known, number.decode(): RevisionConfig()}
            self._replica_app.user_config = UserConfig(revisions=known)


async def _send_healthy(send: Send) -> None:
    kind = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": int(HTTPStatus.OK), "headers": kind})
    await send({"type": "http.response.body", "body": b"ok"})
