"""The API server as the agent sees it in these tests.

The real one refuses EndpointSlices with loopback addresses. So the slices say 198.x.y.z, and this proxy has the agent
read 127.x.y.z. It can also fail on demand.
"""

import ssl

import aiohttp
from aiohttp import web
from dev.cluster.control_plane import ControlPlane
from tests.support.ports import free_port


class Loopback:
    """A proxy before the real API server; `fault` is a status to answer watches and lists with."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.port = free_port()
        self.fault: int | None = None
        self.fault_watches_only = False
        self.seen: list[tuple[str, str]] = []
        self._open: list[web.Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        context = ssl.create_default_context(cafile=str(self._plane.ca))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        app = web.Application()
        app.router.add_get("/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        self.cut()
        await self._runner.cleanup()
        await self._session.close()

    def cut(self) -> None:
        """Break every watch that is under way."""
        for request in list(self._open):
            if request.transport is not None:
                request.transport.abort()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, request.headers.get("Authorization", "")))
        watch = "watch" in request.query
        if self.fault is not None and (watch or not self.fault_watches_only):
            return web.json_response({"kind": "Status", "code": self.fault}, status=self.fault)
        headers = {"Authorization": f"Bearer {self._plane.token}"}
        async with self._session.get(self._plane.url + request.path_qs, headers=headers) as real:
            answer = web.StreamResponse(status=real.status)
            answer.content_type = "application/json"
            await answer.prepare(request)
            self._open.append(request)
            try:
                # An event is a line, and may be longer than the reader's own limit for one.
                rest = b""
                async for piece in real.content.iter_any():
                    whole, newline, rest = (rest + piece).rpartition(b"\n")
                    await answer.write((whole + newline).replace(b'"198.', b'"127.'))
                await answer.write(rest.replace(b'"198.', b'"127.'))
                await answer.write_eof()
            except ConnectionError:
                pass
            finally:
                self._open.remove(request)
            return answer
