"""A reverse proxy before the real API server that can answer in its place, late, or not at all."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from dev.cluster.control_plane import ControlPlane
from tests.support.loops import run_as_process
from tests.support.ports import free_port

Fault = Callable[[str, str], int | str | None]
"""Given method and path with query: a status to answer with, "hang", "cut" or None for the real answer."""


def no_fault(_method: str, _path: str) -> int | str | None:
    """Let everything through."""
    return None


class FaultProxy:
    """Runs in a thread; `fault` may be replaced at any time, `seen` lists what came by."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.port = free_port()
        self.fault: Fault = no_fault
        self.seen: list[tuple[str, str]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: run_as_process(self._main()), daemon=True)

    def kubeconfig(self, folder: Path) -> str:
        """Write a kubeconfig that leads through this proxy and return its path."""
        body = yaml.safe_load(self._plane.kubeconfig.read_text())
        body["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path = folder / "faulty.kubeconfig"
        path.write_text(yaml.safe_dump(body))
        return str(path)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = ssl.create_default_context(cafile=str(self._plane.ca))
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session:
            app = web.Application(client_max_size=16 * 2**20)
            app.router.add_route("*", "/{path:.*}", self._pass_on)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.seen.append((request.method, path))
        fault = self.fault(request.method, path)
        if isinstance(fault, int):
            return _status(fault)
        if fault == "hang":
            await asyncio.wait_for(self._stop.wait(), 3600)
        if fault == "cut" and request.transport is not None:
            request.transport.abort()
            return web.Response()
        return await self._real(request, path)

    async def _real(self, request: web.Request, path: str) -> web.StreamResponse:
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in {"host", "content-length", "transfer-encoding"}
        }
        body = await request.read()
        async with self._session.request(
            request.method, self._plane.url + path, headers=headers, data=body or None
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def _status(code: int) -> web.Response:
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reasons.get(code, "Unknown"),
        "message": f"injected {code}",
    }
    return web.Response(status=code, text=json.dumps(body), content_type="application/json")
