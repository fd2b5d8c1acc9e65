"""A small HTTP server in this process that stands for a replica."""

import asyncio
import contextlib
import hashlib
import json

from aiohttp import web

PORT = 30000


class Replica:
    """Answers on `host`, an address of 127.0.0.0/8, as a replica of docs/concepts/serving.md does."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.status = 200
        self.answered = 0
        self.most = 0
        """Requests at the same time, the most there ever were."""
        self._present = 0
        self.tokens = 20
        self.pause = 0.05
        self.delay = 0.0
        self.sent: list[float] = []
        self.events: tuple[bytes, ...] = ()
        """The pieces of a stream; without them it has `tokens` numbers."""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._answer)
        app.router.add_get("/v1/models/{name}", self._answer)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        app.router.add_post("/v1/responses", self._answer)
        app.router.add_post("/v1/embeddings", self._answer)
        app.router.add_post("/v1/messages", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, PORT, reuse_address=True).start()

    async def stop(self) -> None:
        """Refuse new connections, end what is under way, and be gone."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.status != 200:
            return web.json_response(
                {"error": {"message": "full"}}, status=self.status, headers={"retry-after": "1"}
            )
        self.answered += 1
        self._present += 1
        self.most = max(self.most, self._present)
        await asyncio.sleep(self.delay)  # why: a slow model
        self._present -= 1
        told = {key.lower(): value for key, value in request.headers.items()}
        try:
            asked = json.loads(body) if body else {}
        except ValueError:
            asked = {}
        if isinstance(asked, dict) and asked.get("stream"):
            return await self._stream(request)
        # What a replica says about its arm is nobody's business: the gateway's word counts.
        message = {"role": "assistant", "content": "hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return web.json_response(
            {
                "id": "1",
                "choices": choices,
                "host": self.host,
                "told": told,
                "sha256": hashlib.sha256(body).hexdigest(),
            },
            headers={
                "x-llm-arm": "liar",
                "x-llm-extra": "1",
                # As engines' servers say by default.
                "access-control-allow-origin": "*",
                "access-control-allow-credentials": "true",
            },
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            for event in self.events or (b"data: %d\n\n" % n for n in range(self.tokens)):
                await answer.write(event)
                await asyncio.sleep(self.pause)  # why: a model's pace
            if not self.events:
                await answer.write(b"data: [DONE]\n\n")
            await answer.write_eof()
        return answer
