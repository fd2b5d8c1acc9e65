"""Keeps a replica's engine: starts the next one in the same process when one stops, and says when the replica has to end.

The next engine in the same process spares Ray's new actor and its imports, and the requests of which nothing was sent can wait for it.
"""

import asyncio
import logging
import time
from collections import deque

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.engine import Engine
from llmdeployment_serving.start import start_engine

logger = logging.getLogger(__name__)

RESTARTS = 3
"""Engines that may follow one another within `RESTART_WINDOW_SECONDS`; then the replica ends, and Ray makes a new one."""
RESTART_WINDOW_SECONDS = 600.0
RESTART_SECONDS = 900.0
"""Seconds that the next engine may take to be ready, as long as a client may wait in the gateway."""
_watch_interval_seconds = 0.5


class EngineKeeper:
    """The engine of one replica, and those that follow it."""

    def __init__(self, config: ServingConfig, engine: Engine) -> None:
        self.engine = engine
        self._config = config
        self._is_restarting = False
        self._restarts: deque[float] = deque(maxlen=RESTARTS)

    def find_failure(self, app: ReplicaApp | None) -> str | None:
        """Return why the replica does not work, or None while it does or an engine is on its way."""
        if self._is_restarting:
            return None
        wrong = app.self_test.fault if app is not None else None
        return wrong or self.engine.find_failure()

    async def run(self, app: ReplicaApp) -> str:
        """Keep an engine running; return why there can be none."""
        while True:
            while (reason := self.find_failure(app)) is None:  # noqa: ASYNC110  # because an engine's process dies without an event
                await asyncio.sleep(_watch_interval_seconds)  # why: polling
            if app.self_test.fault is not None or not app.is_proven or not self._may_restart():
                return reason
            self._is_restarting = True
            try:
                async with asyncio.timeout(RESTART_SECONDS):
                    await self._restart(app, reason)
            except Exception as error:  # noqa: BLE001  # because an engine may fail to start in any way
                return f"{reason}, and the next one did not start: {error!r}"
            finally:
                self._is_restarting = False

    def _may_restart(self) -> bool:
        oldest = self._restarts[0] if len(self._restarts) == RESTARTS else None
        return oldest is None or time.monotonic() - oldest > RESTART_WINDOW_SECONDS

    async def _restart(self, app: ReplicaApp, reason: str) -> None:
        started = time.monotonic()
        self._restarts.append(started)
        logger.error("%s, so the next engine starts in this replica", reason)
        app.pause()
        await asyncio.to_thread(self.engine.shutdown)
        self.engine = await start_engine(self._config)
        await app.replace_engine(self.engine, await self.engine.build_app())
        logger.warning("the next engine answers after %.1f s", time.monotonic() - started)
