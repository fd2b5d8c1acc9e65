"""`engine: external`: an OpenAI-compatible API that somebody else runs, behind the same front as an engine in this pod.

What goes there is the client's body with the revision's prompt in it and the model's name over there, and nothing of the client's headers:
its key is the gateway's. What comes back is passed on as it comes. The API's key is in one place, the header of the HTTP client.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from llmdeployment_serving.config import ExternalConfig, ServingConfig
from llmdeployment_serving.engine import ASGIApp, Receive, Scope, Send
from llmdeployment_serving.errors import (
    AdapterError,
    AnswerCutError,
    ConfigError,
    build_openai_error,
    send_error,
)
from llmdeployment_serving.prompts import apply_prompt
from llmdeployment_serving.stats import EngineSnapshot, Histogram

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 15.0
"""Less than servers keep an idle connection: one that they close under a request costs that request."""
MAX_ERROR_BYTES = 256 * 1024
MAX_EVENT_BYTES = 1024 * 1024
PASSED_HEADERS = ("content-type", "content-encoding", "retry-after")
PASSED_PREFIX = "x-ratelimit-"
REDACTED = b"[redacted]"

_ok = 200
_redirects = range(300, 400)
_errors = 400
_key_refused = (401, 403)
_event_ends = (b"\n\n", b"\r\n\r\n")


class UnreachableError(Exception):
    """The API gave no answer; the text says why, and holds nothing secret."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def start_external(config: ServingConfig, key: str = "") -> "ExternalEngine":
    """Return the engine; the API is not asked for anything, so that it may be down when a pod starts.

    Raises:
        ConfigError: the key cannot be sent in a header.
    """
    external = config.engine.external
    if external is None:
        raise ConfigError("engine.external is missing")
    key = key.strip()
    if not key.isprintable() or not key.isascii():
        raise ConfigError(
            "the key of spec.engine.external.apiKeySecretRef holds something that is no key: "
            "one line of ASCII letters, digits and signs"
        )
    return ExternalEngine(config.served_name, external, key)


class ExternalEngine:
    """The way to an API and back."""

    def __init__(self, served_name: str, config: ExternalConfig, key: str) -> None:
        self._served_name = served_name
        self._config = config
        self._key = key.encode()
        self._running = 0
        self._session: aiohttp.ClientSession | None = None

    async def build_app(self) -> ASGIApp:
        """Return the HTTP application; its lifespan holds the connections."""
        return self._serve

    def find_failure(self) -> str | None:
        """Return None: an API that is down does not make this replica a bad one, or one blip would take all of them out."""
        return None

    def take_snapshot(self) -> EngineSnapshot:
        """Return the requests under way. Tokens are 0, since only the API counts them, and so are the times: the front takes them."""
        empty = {name: Histogram().as_json() for name in ("ttft", "itl", "e2e", "queue")}
        return EngineSnapshot(self._running, 0, 0.0, 0, 0, empty)

    def render_metrics(self) -> bytes:
        """Return nothing: the replica's own metrics say all there is."""
        return b""

    async def load_adapter(self, name: str, path: str) -> None:
        """Refuse: what a model elsewhere is made of is nobody's here to say."""
        raise AdapterError(f"an API elsewhere takes no adapter: {name} in {path}")

    async def unload_adapter(self, name: str) -> None:
        """Do nothing: none is ever loaded."""

    def shutdown(self) -> None:
        """Do nothing: the application's lifespan closes the connections."""

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._hold_session(receive, send)
        elif scope["path"] == "/health":
            await _send_json(send, {})
        elif scope["path"] == "/v1/models":
            card = {
                "id": self._served_name,
                "object": "model",
                "created": 0,
                "owned_by": "llmdeployment",
                "engine": "external",
            }
            await _send_json(send, {"object": "list", "data": [card]})
        else:
            await self._pass_on(scope, receive, send)

    async def _hold_session(self, receive: Receive, send: Send) -> None:
        await receive()
        headers = {"accept-encoding": "identity", "user-agent": "llmdeployment"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key.decode()}"
        async with aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=self._config.timeout_seconds
            ),
            auto_decompress=False,
            trust_env=True,
        ) as session:
            self._session = session
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        if body.get("model") not in (None, self._served_name):
            await send_error(send, 404, f"the model {body['model']!r} does not exist")
            return
        chat = scope["path"].endswith("/chat/completions")
        body = apply_prompt(body, self._config.prompt, chat=chat)
        body["model"] = self._config.model
        url = self._config.base_url.rstrip("/") + scope["path"].removeprefix("/v1")
        self._running += 1
        try:
            await run_until_client_leaves(receive, self._exchange(url, body, send))
        except UnreachableError as error:
            logger.warning("%d: %s", error.status, error)
            await send_error(send, error.status, str(error))
        finally:
            self._running -= 1

    async def _exchange(self, url: str, body: Mapping[str, Any], send: Send) -> None:
        """Send one request and passes its answer on.

        Raises:
            UnreachableError: there is none; nothing was sent to the client.
            AnswerCutError: it broke off.
        """
        if self._session is None:
            raise UnreachableError(503, "this replica is only starting")
        begun = False
        try:
            async with self._session.post(url, json=body, allow_redirects=False) as answer:
                refused = await self._read_refusal(answer)
                begun = refused is None
                if refused is None:
                    await self._stream(answer, send)
                    return
            await _send_whole(send, *refused)
        except (TimeoutError, aiohttp.ClientError) as error:
            # why: `from None` and a sentence of our own, because aiohttp's errors hold the request, and that holds the key.
            found = self._explain(error)
            if not begun:
                raise found from None
            await self._cut(send, found)

    async def _cut(self, send: Send, why: UnreachableError) -> None:
        """End an answer of which the client has a part: OpenAI clients read an event that is an error, all see a broken answer."""
        event = b"data: " + json.dumps(build_openai_error(why.status, str(why))).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
        raise AnswerCutError(str(why)) from None

    async def _read_refusal(
        self, answer: aiohttp.ClientResponse
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """Return status, headers and body of an answer that is none; an API may repeat in it what it was sent, the key too."""
        if answer.status in _key_refused:
            raise UnreachableError(
                502,
                f"the API at {self._host} refused the key (status {answer.status}): "
                "check the Secret of spec.engine.external.apiKeySecretRef",
            )
        if answer.status in _redirects:
            raise UnreachableError(
                502,
                f"the API at {self._host} answered with a redirect (status {answer.status}): "
                "check spec.engine.external.baseURL",
            )
        if answer.status < _errors:
            return None
        body = b"" if "content-encoding" in answer.headers else await _read_short(answer.content)
        if not body:
            message = f"the API at {self._host} refused the request"
            body = json.dumps(build_openai_error(answer.status, message)).encode()
        if self._key:
            body = body.replace(self._key, REDACTED)
        return answer.status, self._select_headers(answer), body

    async def _stream(self, answer: aiohttp.ClientResponse, send: Send) -> None:
        headers = self._select_headers(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        encoded = "content-encoding" in answer.headers
        chunks = answer.content.iter_any()
        # A whole answer has no blank line and so is one piece, which the front can read the usage of.
        async for chunk in chunks if encoded else split_events(chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _select_headers(self, answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        """Return the headers a client may want; none that could set something in it, none that holds the key."""
        found = [
            (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
            for name, value in answer.headers.items()
            if name.lower() in PASSED_HEADERS or name.lower().startswith(PASSED_PREFIX)
        ]
        return [(name, value) for name, value in found if not self._key or self._key not in value]

    def _explain(self, error: Exception) -> UnreachableError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return UnreachableError(
                504, f"the API at {self._host} took no connection within {CONNECT_SECONDS:.0f} s"
            )
        if isinstance(error, TimeoutError):
            return UnreachableError(
                504,
                f"the API at {self._host} said nothing for {self._config.timeout_seconds} s "
                "(spec.engine.external.timeoutSeconds)",
            )
        if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            return UnreachableError(502, f"the API at {self._host} {_describe_broken(error)}")
        return UnreachableError(502, f"the API at {self._host} gave no proper HTTP answer")

    @property
    def _host(self) -> str:
        return urlsplit(self._config.base_url).netloc


def _describe_broken(error: aiohttp.ClientConnectionError | aiohttp.ClientPayloadError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "has a certificate that cannot be verified"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "cannot be reached: its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        known = error.errno is not None and error.errno > 0
        return f"cannot be reached: {os.strerror(error.errno or 0) if known else 'no connection'}"
    return "ended the connection"


async def split_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield whole server-sent events: the network cuts where it likes, and times are taken per event.

    What is left at the end comes as it is, and so does an event beyond `MAX_EVENT_BYTES`.
    """
    rest = b""
    async for chunk in chunks:
        rest += chunk
        while (end := _find_event_end(rest)) or len(rest) > MAX_EVENT_BYTES:
            end = end or len(rest)
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _find_event_end(text: bytes) -> int:
    r"""Return the length of the first event with the blank line behind it, or 0.

    >>> _find_event_end(b"data: 1\n\ndata: 2"), _find_event_end(b"data: 1\r\n\r\n"), _find_event_end(b"data")
    (9, 11, 0)
    """
    found = (text.find(mark) + len(mark) for mark in _event_ends if mark in text)
    return min(found, default=0)


async def run_until_client_leaves(receive: Receive, work: Awaitable[None]) -> None:
    """Await `work`, and ends it when the client leaves: nobody pays for tokens that nobody reads."""
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.wait({task, watch})
    if not task.cancelled():
        task.result()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_short(content: aiohttp.StreamReader) -> bytes:
    """Return the whole of a short text, and nothing of one longer than `MAX_ERROR_BYTES`: a key that is cut is not found."""
    found = b""
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > MAX_ERROR_BYTES:
            return b""
    return found


async def _send_json(send: Send, document: Mapping[str, Any]) -> None:
    kind = [(b"content-type", b"application/json")]
    await _send_whole(send, _ok, kind, json.dumps(document).encode())


async def _send_whole(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
