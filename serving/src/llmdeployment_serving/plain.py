"""A replica without Ray: the same engine and front behind uvicorn, for tests, measurements and small machines."""

import asyncio

import uvicorn

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.start import start_engine


async def serve_plain(config: ServingConfig, user_config: object, host: str, port: int) -> None:
    """Serve until SIGTERM, then ends the streams that are under way and returns."""
    user = parse(UserConfig, user_config)
    engine = await start_engine(config)
    try:
        front = ReplicaApp(config, engine, await engine.build_app())
        front.take(user)
        loading = asyncio.create_task(front.adapters.run(), name="adapters")
        await front.adapters.wait_until_settled()
        settings = uvicorn.Config(
            front, host=host, port=port, lifespan="on", log_level="warning", access_log=False
        )
        await uvicorn.Server(settings).serve()
        loading.cancel()
    finally:
        engine.shutdown()
