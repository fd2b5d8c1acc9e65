"""A replica without Ray: the same engine and application in uvicorn, for tests, measurements and small machines."""

import asyncio
import signal
import sys

import uvicorn

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.start import start_engine


async def serve_plain(config: ServingConfig, user_config: object, host: str, port: int) -> None:
    """Serve until SIGTERM, then finish the streams in progress."""
    user = parse(UserConfig, user_config)
    # uvicorn stops at SIGTERM, then sends it again to the handler before its own. The default one would leave the engine's processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    engine = await start_engine(config)
    try:
        app = ReplicaApp(config, engine, await engine.build_app())
        app.take(user)
        loading = asyncio.create_task(app.adapters.run(), name="adapters")
        await app.adapters.wait_until_settled()
        await app.self_test.run(user.self_test)
        settings = uvicorn.Config(
            app, host=host, port=port, lifespan="on", log_level="warning", access_log=False
        )
        await uvicorn.Server(settings).serve()
        loading.cancel()
    finally:
        engine.shutdown()
