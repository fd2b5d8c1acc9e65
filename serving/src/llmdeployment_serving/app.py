"""The Ray Serve application: `import_path: llmdeployment_serving.app:build`.

Ray imports this module on the head node too, to build the application, so it imports no engine.
"""

import asyncio
import logging
import os
from typing import Any

from ray import serve
from ray.serve import Application

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import (
    DEPLOYMENT_NAME,
    REPLICA_PORT,
    REPLICA_RESOURCE,
    ServingConfig,
    UserConfig,
    parse,
)
from llmdeployment_serving.engine import ASGIApp
from llmdeployment_serving.errors import ConfigError, EngineDeadError
from llmdeployment_serving.port import allow_rebinding, wait_until_free
from llmdeployment_serving.serve_log import list_log_targets, restore_log_targets
from llmdeployment_serving.start import start_engine

logger = logging.getLogger(__name__)

GRACEFUL_SHUTDOWN_SECONDS = 900.0
"""A stream longer than this is cut when its replica goes; an upper bound on patience, not a delay."""
PROBE_HEADROOM = 64
"""Places beyond `maxOngoingRequests`, so that `/health` and `/stats` are answered by a replica that is full."""
DEAD_ENGINE_GRACE_SECONDS = 1.0
"""Time for the failed requests' answers to leave before the process ends."""
PORT_WAIT_SECONDS = 60.0
_watch_interval_seconds = 0.5


class Replica:
    """One engine and its front."""

    async def __init__(  # type: ignore[misc]  # because Ray Serve awaits it, and mypy knows no such thing
        self, document: dict[str, Any]
    ) -> None:
        self._config = parse(ServingConfig, document)
        self._log_targets = list_log_targets()
        self._engine = await start_engine(self._config)
        self._replica_app: ReplicaApp | None = None
        self._user_config: UserConfig | None = None

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the ASGI application Ray Serve puts behind the replica's port."""
        app = await self._engine.build_app()
        restore_log_targets(self._log_targets)
        port = int(os.environ.get("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", REPLICA_PORT))
        allow_rebinding(port)
        if not await wait_until_free(port, timeout_seconds=PORT_WAIT_SECONDS):
            logger.error("port %d is taken by another process of this pod", port)
        self._replica_app = ReplicaApp(self._config, self._engine, app)
        self._replica_app.take(self._user_config or UserConfig())
        self._loading = asyncio.create_task(self._replica_app.adapters.run(), name="adapters")
        self._watch = asyncio.create_task(self._exit_when_dead(), name="engine-watch")
        return self._replica_app

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new revisions; requests that are under way keep theirs.

        Only a replica's first config may fail it. Ray Serve replaces a replica whose `reconfigure`
        raises, so a bad change would end every running replica at once: it is refused and logged
        instead, and a revision that is missing because of it answers 503. Adapters that cannot be loaded
        fail nothing at all, they are told in `/stats`; a new replica answers when it has those that can.
        """
        try:
            taken = parse(UserConfig, user_config)
        except ConfigError as error:
            if self._user_config is None:
                raise
            logger.error("kept the previous user config: %s", error)  # noqa: TRY400  # because one sentence is enough
            return
        born = self._user_config is None
        self._user_config = taken
        if self._replica_app is not None:
            self._replica_app.take(taken)
            if born:
                await self._replica_app.adapters.wait_until_settled()

    def check_health(self) -> None:
        """Raise when the engine is dead."""
        if reason := self._engine.find_failure():
            raise EngineDeadError(reason)

    async def _exit_when_dead(self) -> None:
        """End the process soon after its engine.

        A replica that merely fails its health checks is drained like a healthy one (30 s) before it is replaced; a dead process is
        replaced at once, and its port refuses, which every load balancer understands.
        """
        while (reason := self._engine.find_failure()) is None:  # noqa: ASYNC110  # because an engine's process dies without an event
            await asyncio.sleep(_watch_interval_seconds)  # why: the interval of a watch without end
        logger.error("the engine is dead, this replica ends: %s", reason)
        await asyncio.sleep(DEAD_ENGINE_GRACE_SECONDS)  # why: errors get out first
        self._engine.shutdown()
        os._exit(1)


def build(args: dict[str, Any]) -> Application:
    """Return the application for one `ServingConfig`; Ray calls it with the `args` of the application's config."""
    config = parse(ServingConfig, args)
    deployment = serve.deployment(
        name=DEPLOYMENT_NAME,
        max_ongoing_requests=config.max_ongoing_requests + PROBE_HEADROOM,
        max_queued_requests=PROBE_HEADROOM,
        graceful_shutdown_timeout_s=GRACEFUL_SHUTDOWN_SECONDS,
        health_check_period_s=5.0,
        health_check_timeout_s=30.0,
        ray_actor_options={
            "num_cpus": 0,
            "num_gpus": config.gpus,
            "resources": {REPLICA_RESOURCE: 1},
        },
    )
    return deployment(serve.ingress()(Replica)).bind(config.model_dump(mode="json", by_alias=True))
