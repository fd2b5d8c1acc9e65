"""A plain stand-in for an OpenAI-compatible API somewhere else. It holds no model: it says what it is, and a test says what it does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Upstream:
    """The stand-in: what it was asked, and what a test lets it do."""

    url: str = ""
    asked: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went away before its answer's end."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((dict(request.headers), body))
        self.came.set()
        match body.get("user"):
            case "limited":
                raise web.HTTPTooManyRequests(
                    text="slow down",
                    headers={"retry-after": "7", "x-ratelimit-limit-requests": "5"},
                )
            case "broken":
                raise web.HTTPServiceUnavailable(text="overloaded")
            case "no-access":
                raise web.HTTPUnauthorized(text=f"bad key: {request.headers['authorization']}")
            case "parrot":
                raise web.HTTPBadRequest(text=f"you sent {request.headers['authorization']}")
            case "moved":
                raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/elsewhere")
            case "slow":
                await self._wait()
        if body.get("stream"):
            return await self._stream(request, cut=body.get("user") == "cut")
        text = "I am a stand-in without a model"
        choices = [{"index": 0, "message": {"role": "assistant", "content": text}}]
        usage = {"prompt_tokens": 9, "completion_tokens": 7}
        answer = {"id": "1", "model": body["model"], "choices": choices}
        # So long that it cannot come in one piece, with the usage at its end.
        answer |= {"system_fingerprint": "stand-in " * 50_000, "usage": usage}
        return web.json_response(answer, headers={"set-cookie": "a=b"})

    async def _stream(self, request: web.Request, *, cut: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_event({"role": "assistant", "content": ""}))
        await response.write(_event({"content": "I am"}))
        await self._wait()
        if cut:
            assert request.transport is not None
            request.transport.abort()
            return response
        # As networks do: an event in two parts, and the end of it together with the next.
        whole = _event({"content": " a stand-in"}) + b"data: [DONE]\n\n"
        await response.write(whole[:20])
        await response.write(whole[20:])
        return response

    async def _wait(self) -> None:
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


def _event(delta: dict[str, str]) -> bytes:
    # With spaces, unlike OpenAI's own: `json.dumps` does so, and many servers with it.
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Run the stand-in on a port of this machine."""
    api = Upstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", api.answer)
    app.router.add_post("/v1/completions", api.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    api.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield api
    finally:
        api.go_on.set()
        await runner.cleanup()
