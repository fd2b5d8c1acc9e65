"""Request bodies, read within bounds: of bytes, of seconds, and of all bodies that are under way at once, and the replica's own answers."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from llmdeployment_serving.engine import Receive, Send
from llmdeployment_serving.errors import Header, RefusedError

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bytes of a request body, at most."""
BODY_SECONDS = 30.0
"""Seconds from a request's head to the end of its body, as in the gateway."""
UPLOADS = 256
"""Bodies that may be under way at once. They hold no place among the requests that are answered."""
CLIENT_LEFT = 499

_retry: tuple[Header, ...] = ((b"retry-after", b"1"),)
# why: the rest of a body is never read, so the connection cannot carry another request.
_closing: tuple[Header, ...] = ((b"connection", b"close"),)


class Bodies:
    """Reads the bodies of a replica's requests."""

    def __init__(self) -> None:
        self._uploads = 0

    async def read(self, headers: Iterable[Header], receive: Receive) -> bytes:
        """Return a whole request body.

        Raises:
            RefusedError: the body is larger than `MAX_BODY_BYTES`, it is not complete after `BODY_SECONDS`, the client left, or
                `UPLOADS` bodies are under way.
        """
        if self._uploads >= UPLOADS:
            message = f"{UPLOADS} requests are being sent to this replica already, which is the limit. Send the request again."
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message, (*_retry, *_closing))
        self._uploads += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await _read(headers, receive)
        except TimeoutError:
            message = f"The request body did not arrive within {BODY_SECONDS:g} s. Send it again."
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, message, _closing) from None
        finally:
            self._uploads -= 1


async def _read(headers: Iterable[Header], receive: Receive) -> bytes:
    declared = dict(headers).get(b"content-length", b"0")
    chunks: list[bytes] = []
    announced, size = int(declared) if declared.isdigit() else 0, 0
    while max(announced, size) <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(CLIENT_LEFT, "the client left while it sent its request")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body", False) and size <= MAX_BODY_BYTES:
            return b"".join(chunks)
    raise RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request body is larger than {MAX_BODY_BYTES // 2**20} MiB. Send a smaller one.",
        _closing,
    )


async def send_whole(send: Send, body: bytes, kind: bytes) -> None:
    """Send an answer of the replica's own, with status 200 and this content type."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(HTTPStatus.OK), "headers": headers})
    await send({"type": "http.response.body", "body": body})
