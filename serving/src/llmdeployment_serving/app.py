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
from llmdeployment_serving.bodies import UPLOADS
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
from llmdeployment_serving.keeper import EngineKeeper
from llmdeployment_serving.metrics_port import read_port, run_metrics
from llmdeployment_serving.port import allow_rebinding, wait_until_free
from llmdeployment_serving.serve_log import list_log_targets, restore_log_targets, write_own_log
from llmdeployment_serving.start import start_engine

logger = logging.getLogger(__name__)

GRACEFUL_SHUTDOWN_SECONDS = 900.0
"""Seconds after which a stopping replica cuts off streams. An idle replica stops at once."""
PROBE_HEADROOM = 64
"""Requests beyond `maxOngoingRequests`, so that a full replica still answers `/health` and `/stats`."""
DEAD_ENGINE_GRACE_SECONDS = 1.0
"""Seconds between the engine's end and the process's end, for the answers of failed requests."""
HOST = "0.0.0.0"  # noqa: S104  # because Prometheus connects to it, and NetworkPolicies guard it
"""Where the metrics are served."""
PORT_WAIT_SECONDS = 60.0
"""Seconds that a replica waits for its port, which the process before it may still have."""


class Replica:
    """The deployment of Ray Serve: one engine and the application in front of it."""

    async def __init__(  # type: ignore[misc]  # because Ray Serve awaits it, which mypy does not know
        self, document: dict[str, Any]
    ) -> None:
        write_own_log()
        self._config = parse(ServingConfig, document)
        self._log_targets = list_log_targets()
        self._keeper = EngineKeeper(self._config, await start_engine(self._config))
        self._replica_app: ReplicaApp | None = None
        self._user_config: UserConfig | None = None

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the ASGI application that Ray Serve runs on the replica's port."""
        engine = self._keeper.engine
        app = await engine.build_app()
        restore_log_targets(self._log_targets)
        port = int(os.environ.get("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", REPLICA_PORT))
        allow_rebinding(port)
        if not await wait_until_free(port, timeout_seconds=PORT_WAIT_SECONDS):
            logger.error(
                "port %d is still taken by another process of this pod after %.0f s",
                port,
                PORT_WAIT_SECONDS,
            )
        self._replica_app = ReplicaApp(self._config, engine, app, engine.get_task())
        # Ray opens the port now, and gives the settings of the self-test later.
        self._replica_app.is_proven = False
        self._replica_app.take(self._user_config or UserConfig())
        self._loading = asyncio.create_task(self._replica_app.adapters.run(), name="adapters")
        self._watch = asyncio.create_task(
            self._end_without_engine(self._replica_app), name="engine-watch"
        )
        if (metrics_port := read_port()) is not None:
            self._metrics = asyncio.create_task(
                run_metrics(self._replica_app.render_metrics, HOST, metrics_port), name="metrics"
            )
        return self._replica_app

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new revisions; requests in progress keep theirs.

        Only a replica's first config may fail it. Ray Serve replaces a replica whose `reconfigure` raises, so a bad change would
        end all running replicas at once. Instead the change is refused and logged, and requests for a revision that is missing
        because of it get 503. An adapter that cannot be loaded raises no error; `/stats` reports it. A new replica is ready once
        it has the adapters that can be loaded and has passed its self-test. A running one that is off a new reference ends.
        """
        try:
            config = parse(UserConfig, user_config)
        except ConfigError as error:
            if self._user_config is None:
                raise
            logger.error("the new user config is refused, the previous one stays: %s", error)  # noqa: TRY400  # because one sentence is enough
            return
        is_first = self._user_config is None
        self._user_config = config
        if self._replica_app is not None:
            self._replica_app.take(config)
            if is_first:
                await self._replica_app.adapters.wait_until_settled()
                self_test = self._replica_app.self_test
                await self_test.run(config.self_test)
                self._replica_app.is_proven = True
                self._tests = asyncio.create_task(self_test.repeat(), name="self-test")

    def check_health(self) -> None:
        """Raise `EngineDeadError` if the engine computes wrongly, or is dead and no other one is on its way."""
        if reason := self._keeper.find_failure(self._replica_app):
            raise EngineDeadError(reason)

    async def _end_without_engine(self, app: ReplicaApp) -> None:
        """End the process when there can be no engine.

        Ray drains a replica that only fails its health checks for 30 s before it replaces it. It replaces a dead process at once,
        and the closed port refuses connections, which every load balancer understands.
        """
        reason = await self._keeper.run(app)
        logger.error(
            "the engine is dead or wrong, so this replica ends and Ray starts a new one: %s", reason
        )
        app.give_up()
        await asyncio.sleep(DEAD_ENGINE_GRACE_SECONDS)  # why: errors are sent first
        self._keeper.engine.shutdown()
        os._exit(1)


def build(args: dict[str, Any]) -> Application:
    """Return the application of a `ServingConfig`; Ray calls this with the `args` of the application's config."""
    config = parse(ServingConfig, args)
    deployment = serve.deployment(
        name=DEPLOYMENT_NAME,
        max_ongoing_requests=config.max_ongoing_requests + UPLOADS + PROBE_HEADROOM,
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
