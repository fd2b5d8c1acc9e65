"""A replica without Ray: the same engine and application in uvicorn, for tests, measurements and small machines."""

import asyncio
import signal
import sys

import uvicorn

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import EngineDeadError
from llmdeployment_serving.keeper import EngineKeeper
from llmdeployment_serving.metrics_port import read_port, serve_metrics
from llmdeployment_serving.serve_log import write_own_log
from llmdeployment_serving.start import start_engine


async def serve_plain(config: ServingConfig, user_config: object, host: str, port: int) -> None:
    """Serve until SIGTERM, then finish the streams in progress.

    Raises:
        EngineDeadError: the engine stopped, and no other one took its place.
    """
    write_own_log()
    user = parse(UserConfig, user_config)
    # uvicorn stops at SIGTERM, then sends it again to the handler before its own. The default one would leave the engine's processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    keeper = EngineKeeper(config, await start_engine(config))
    try:
        answer = await keeper.engine.build_app()
        app = ReplicaApp(config, keeper.engine, answer, keeper.engine.get_task())
        app.take(user)
        loading = asyncio.create_task(app.adapters.run(), name="adapters")
        await app.adapters.wait_until_settled()
        await app.self_test.run(user.self_test)
        settings = uvicorn.Config(
            app, host=host, port=port, lifespan="on", log_level="warning", access_log=False
        )
        server = uvicorn.Server(settings)
        keeping = asyncio.create_task(_stop_without_engine(server, keeper, app))
        async with serve_metrics(app.render_metrics, host, read_port()):
            try:
                await server.serve()
            finally:
                app.spans.close(1.0)  # in any case: at SIGTERM, `serve` ends with the exit above
        loading.cancel()
        if keeping.done():
            raise EngineDeadError(await keeping)
        keeping.cancel()
    finally:
        keeper.engine.shutdown()


async def _stop_without_engine(
    server: uvicorn.Server, keeper: EngineKeeper, app: ReplicaApp
) -> str:
    """Return why there is no engine, after the server was told to stop."""
    reason = await keeper.run(app)
    app.give_up()
    server.should_exit = True
    return reason
