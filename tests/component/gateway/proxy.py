"""HAProxy without an agent: it runs from the files that the agent writes, and whoever starts it reads its log."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from tests.component.gateway.conftest import haproxy_binary
from tests.component.gateway.pod import CHAT, SALT, SERVICE, row
from tests.component.gateway.replica import PORT
from tests.support.ports import free_port

from llmdeployment_gateway import changes, rundir
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.runtime_api import RuntimeApi
from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.tally import EndedRequest, parse_line
from llmdeployment_gateway.tracing import TracesSettings

SECONDS = 20


class Proxy:
    """HAProxy in front of one address, and its log."""

    def __init__(self, host: str, traces: TracesSettings | None = None) -> None:
        # Short: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gw-"))
        self.port = free_port()
        bind = f"127.0.0.1:{self.port}"
        settings = Settings("team", "chat", "none", run_dir=self.folder, bind=bind, traces=traces)
        routes = Routes.model_validate(
            {"deployment": "chat", "servedName": "chat", "salt": SALT, "routes": [row()]}
        )
        endpoints = {SERVICE: frozenset({Address(host, PORT)})}
        rundir.prepare(settings, {})
        rundir.write_state(settings, changes.build_state(routes, endpoints, {}, {SERVICE: "slot0"}))
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.setblocking(False)
        self.log.bind(str(self.folder / "log.sock"))
        command = [haproxy_binary(), "-db", "-f", str(self.folder / rundir.CONFIG)]
        self.process = subprocess.Popen(command)

    async def ask(self, **headers: str) -> Any:
        """Return what the replica was told of a request."""
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.post(url, json=CHAT, headers=headers) as answer:
                        return (await answer.json())["told"]
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.02)  # why: HAProxy starts

    async def read_line(self) -> EndedRequest:
        """Return the next request of the log."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            while (ended := parse_line(await loop.sock_recv(self.log, 4096))) is None:
                pass
        return ended

    async def count_held(self) -> int:
        return (await RuntimeApi(self.folder / "admin.sock").hold()).held

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.folder)
