"""`engine: external`: an OpenAI-compatible API that somebody else runs, behind the same application as an engine in this pod.

The API gets the client's body, with the revision's prompt and the API's name of the model, and none of the client's headers, because
the client's key is for the gateway. Answers are passed on as they come. The API's key is only in the header of the HTTP client.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from llmdeployment_serving.api_paths import list_paths
from llmdeployment_serving.config import ExternalConfig, ServingConfig
from llmdeployment_serving.engine import ASGIApp, Receive, Scope, Send
from llmdeployment_serving.errors import (
    MODEL_NOT_FOUND,
    AdapterError,
    AnswerCutError,
    ConfigError,
    RefusedError,
    build_openai_error,
    send_error,
)
from llmdeployment_serving.model_tasks import GENERATES, ModelTask
from llmdeployment_serving.score import Score
from llmdeployment_serving.stats import EngineSnapshot, Histogram

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""Seconds that a connection to the API may take."""
KEEP_ALIVE_SECONDS = 15.0
"""Seconds that an idle connection is kept: less than servers keep it, because a connection that closes under a request fails it."""
MAX_ERROR_BYTES = 256 * 1024
"""Bytes of an error that is passed on, at most."""
MAX_EVENT_BYTES = 1024 * 1024
"""Bytes of one server-sent event, at most; a longer one is passed on in pieces."""
PASSED_HEADERS = ("content-type", "content-encoding", "retry-after")
PASSED_PREFIX = "x-ratelimit-"
REDACTED = b"[redacted]"

_key_refused = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_event_ends = (b"\n\n", b"\r\n\r\n")


class UnreachableError(Exception):
    """The API gave no answer; the message says why, and holds no secret."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def start_external(config: ServingConfig, key: str = "") -> "ExternalEngine":
    """Return the engine. This does not call the API, which may be down when a pod starts.

    Raises:
        ConfigError: a header cannot hold the key.
    """
    external = config.engine.external
    if external is None:
        raise ConfigError("engine.external is missing: the external engine needs it")
    key = key.strip()
    if not key.isprintable() or not key.isascii():
        raise ConfigError(
            "the Secret of spec.engine.external.apiKeySecretRef does not hold a key. "
            "Store one line of ASCII letters, digits and signs"
        )
    return ExternalEngine(config.served_name, external, key)


class ExternalEngine:
    """Passes requests to an API and answers back."""

    def __init__(self, served_name: str, config: ExternalConfig, key: str) -> None:
        self._served_name = served_name
        self._config = config
        self._key = key.encode()
        self._running = 0
        self._session: aiohttp.ClientSession | None = None

    async def build_app(self) -> ASGIApp:
        """Return the HTTP application, whose lifespan holds the connections."""
        return self._serve

    def get_task(self) -> ModelTask:
        """Return that of a chat model: the API's embeddings are not passed on."""
        return GENERATES

    def find_failure(self) -> str | None:
        """Return None: if an API that is down made replicas fail, one short outage would remove all of them."""
        return None

    def take_snapshot(self) -> EngineSnapshot:
        """Return the requests in progress. Tokens and times are 0: only the API counts tokens, and the application measures times."""
        empty = {name: Histogram().as_json() for name in ("ttft", "itl", "e2e", "queue")}
        return EngineSnapshot(self._running, 0, 0.0, 0, 0, empty)

    def render_metrics(self) -> bytes:
        """Return nothing: the replica's own metrics are complete."""
        return b""

    async def score(self, _text: str) -> Score | None:
        """Return None: what an API elsewhere computes is its owner's."""
        return None

    async def compute_reference(self, _tokens: Sequence[int]) -> float | None:
        """Return None."""
        return None

    async def load_adapter(self, name: str, path: str) -> None:
        """Raise `AdapterError`: this replica cannot change the model of an API."""
        raise AdapterError(
            f"an external API takes no adapter ({name} in {path}). Remove spec.model.adapters"
        )

    async def unload_adapter(self, name: str) -> None:
        """Do nothing: no adapter is ever loaded."""

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
            await send_error(
                send,
                HTTPStatus.NOT_FOUND,
                f"the model {body['model']!r} does not exist. Use {self._served_name!r}.",
                code=MODEL_NOT_FOUND,
            )
            return
        form = list_paths("external")[scope["path"]].form
        try:
            body = form.apply_prompt(body, self._config.prompt)
        except RefusedError as refused:
            await send_error(send, refused.status, refused.message)
            return
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
            UnreachableError: the API does not answer; the client has got nothing.
            AnswerCutError: the API ended the answer early.
        """
        if self._session is None:
            raise UnreachableError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "this replica is still starting. Send the request again.",
            )
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
            # why: aiohttp's errors hold the request, which holds the key; hence `from None` and our own message.
            found = self._explain(error)
            if not begun:
                raise found from None
            await self._cut(send, found)

    async def _cut(self, send: Send, why: UnreachableError) -> None:
        """End an answer of which the client has a part: OpenAI clients read the error event, others see a broken answer."""
        event = b"data: " + json.dumps(build_openai_error(why.status, str(why))).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
        raise AnswerCutError(str(why)) from None

    async def _read_refusal(
        self, answer: aiohttp.ClientResponse
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """Return status, headers and body of a refusal, without the key, which an API may repeat; None for any other answer."""
        if answer.status in _key_refused:
            raise UnreachableError(
                HTTPStatus.BAD_GATEWAY,
                f"the API at {self._host} refused the key (status {answer.status}): "
                "check the Secret of spec.engine.external.apiKeySecretRef",
            )
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            raise UnreachableError(
                HTTPStatus.BAD_GATEWAY,
                f"the API at {self._host} answered with a redirect (status {answer.status}): "
                "check spec.engine.external.baseURL",
            )
        if answer.status < HTTPStatus.BAD_REQUEST:
            return None
        body = b"" if "content-encoding" in answer.headers else await _read_short(answer.content)
        if not body:
            message = f"the API at {self._host} refused the request and gave no reason"
            body = json.dumps(build_openai_error(answer.status, message)).encode()
        if self._key:
            body = body.replace(self._key, REDACTED)
        return answer.status, self._select_headers(answer), body

    async def _stream(self, answer: aiohttp.ClientResponse, send: Send) -> None:
        headers = self._select_headers(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        encoded = "content-encoding" in answer.headers
        chunks = answer.content.iter_any()
        # An answer that is not streamed has no blank line, so it is one piece, and its usage can be read.
        async for chunk in chunks if encoded else split_events(chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _select_headers(self, answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        """Return the headers for the client: only harmless ones, and none with the key."""
        found = [
            (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
            for name, value in answer.headers.items()
            if name.lower() in PASSED_HEADERS or name.lower().startswith(PASSED_PREFIX)
        ]
        return [(name, value) for name, value in found if not self._key or self._key not in value]

    def _explain(self, error: Exception) -> UnreachableError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return UnreachableError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the API at {self._host} accepted no connection within {CONNECT_SECONDS:.0f} s",
            )
        if isinstance(error, TimeoutError):
            return UnreachableError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the API at {self._host} sent nothing for {self._config.timeout_seconds} s "
                "(spec.engine.external.timeoutSeconds)",
            )
        if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            return UnreachableError(
                HTTPStatus.BAD_GATEWAY, f"the API at {self._host} {_describe_broken(error)}"
            )
        return UnreachableError(
            HTTPStatus.BAD_GATEWAY,
            f"the API at {self._host} did not send valid HTTP. Check spec.engine.external.baseURL",
        )

    @property
    def _host(self) -> str:
        return urlsplit(self._config.base_url).netloc


def _describe_broken(error: aiohttp.ClientConnectionError | aiohttp.ClientPayloadError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "has a certificate that cannot be verified"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "cannot be reached: its name does not resolve. Check spec.engine.external.baseURL and the cluster's DNS"
    if isinstance(error, aiohttp.ClientConnectorError):
        known = error.errno is not None and error.errno > 0
        return f"cannot be reached: {os.strerror(error.errno or 0) if known else 'no connection'}"
    return "ended the connection"


async def split_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield whole server-sent events, because times are measured per event and the network splits anywhere.

    The rest at the end is yielded as it is, and so is an event above `MAX_EVENT_BYTES`.
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
    r"""Return the length of the first event with its blank line, or 0 if it is not complete.

    >>> _find_event_end(b"data: 1\n\ndata: 2"), _find_event_end(b"data: 1\r\n\r\n"), _find_event_end(b"data")
    (9, 11, 0)
    """
    found = (text.find(mark) + len(mark) for mark in _event_ends if mark in text)
    return min(found, default=0)


async def run_until_client_leaves(receive: Receive, work: Awaitable[None]) -> None:
    """Await `work`, and cancel it if the client leaves, so that nobody pays for tokens that nobody reads."""
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
    """Return a whole short text, or nothing if it exceeds `MAX_ERROR_BYTES`: in a part of it, a key could be cut and not found."""
    found = b""
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > MAX_ERROR_BYTES:
            return b""
    return found


async def _send_json(send: Send, document: Mapping[str, Any]) -> None:
    kind = [(b"content-type", b"application/json")]
    await _send_whole(send, HTTPStatus.OK, kind, json.dumps(document).encode())


async def _send_whole(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
