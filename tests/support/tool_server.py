"""An engine in one process, behind the replica's front, and under `/plain` as it is.

Runs in the serving environment: `python tests/support/tool_server.py ENGINE MODEL PORT`. `/kept` is what the engine sent for the last
request that went through the front.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

import uvicorn

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine import ASGIApp, Message, Receive, Scope, Send
from llmdeployment_serving.start import start_engine

FLAGS = {
    "vllm": {
        "max-model-len": 1024,
        "max-num-seqs": 4,
        "enforce-eager": True,
        "structured-outputs-config.backend": "xgrammar",
        "structured-outputs-config.disable_any_whitespace": True,
    },
    "transformers": {"max-model-len": 1024},
}


class Keeper:
    """Passes an application's answers on, and keeps the last one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.body = b""

        async def keep(message: Message) -> None:
            self.body += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, keep)


async def serve(name: str, folder: Path, port: int) -> None:
    """Serve until the process is ended."""
    engine_config = {"name": name, "args": FLAGS[name]}
    document = {"servedName": "chat", "modelPath": str(folder), "engine": engine_config}
    config = parse(ServingConfig, document)
    engine = await start_engine(config)
    plain = await engine.build_app()
    keeper = Keeper(plain)
    front = ReplicaApp(config, engine, keeper)
    front.take(parse(UserConfig, {"revisions": {"1": {"prompt": {}}}}))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path == "/kept":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": keeper.body})
        elif path.startswith("/plain"):
            rest = path.removeprefix("/plain")
            await plain({**scope, "path": rest, "raw_path": rest.encode()}, receive, send)
        else:
            await front(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(answer, port=port, log_level="warning", lifespan="off"))
    try:
        await server.serve()
    finally:
        engine.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "CXX": "no-compiler"}
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
