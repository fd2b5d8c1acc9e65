"""Request bodies, read within bounds of bytes and seconds, for each and for all at once, and the replica's own answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from llmdeployment_serving.engine import Receive, Send
from llmdeployment_serving.errors import Header, RefusedError

MAX_BODY_BYTES = 32 * 2**20
"""Bytes of a request body, at most, unless the front door says otherwise."""
LIMIT_HEADER = b"x-llm-max-body-bytes"
"""Where the front door says how many bytes a body may have (`spec.gateway.maxBodySize`). It removes what clients send."""
LARGEST_LIMIT = 256 * 2**20
"""Bytes that it can allow, at most."""
HELD_BYTES = 256 * 2**20
"""Bytes of all bodies together, from their arrival to the end of their answers."""
FREE_BYTES = 64 * 2**10
"""Bytes of each body that do not count among them: the size that a gateway can send again. So large bodies keep no small one out."""
DRAINED_BYTES = 64 * 2**20
"""Bytes behind its limit that a body is read to before it is refused, because many clients read no answer before they sent everything."""
BODY_SECONDS = 30.0
"""Seconds from a request's head to the end of its body, as in the gateway."""
SLOWEST = 256 * 2**10
"""Bytes for which a body gets a second more: a large body may take longer, a stalled one may not."""
UPLOADS = 256
"""Bodies that may be under way at once. They hold no place among the requests that are answered."""
CLIENT_LEFT = 499

_MOST_DIGITS = 12
_retry: tuple[Header, ...] = ((b"retry-after", b"1"),)
# why: the rest of a body is never read, so the connection cannot carry another request.
_closing: tuple[Header, ...] = ((b"connection", b"close"),)


@dataclass
class _Upload:
    """A body that is being read or answered.

    Attributes:
        limit: bytes that it may have.
        announced: bytes that its request says it has; 0 if it does not say.
        size: bytes that came so far.
        counted: bytes of it that count among those of all bodies.
        pieces: what came, as long as the request is not refused.
        refusal: why it will be refused.
    """

    limit: int
    announced: int
    size: int = 0
    counted: int = 0
    pieces: list[bytes] = field(default_factory=list)
    refusal: RefusedError | None = None

    def allow_seconds(self) -> float:
        """Return the seconds that the body has had from its request's head on, for what came of it so far."""
        return BODY_SECONDS + self.size / SLOWEST

    def is_drained(self) -> bool:
        """Say whether no more of a refused body is worth reading."""
        read = max(self.size, self.announced)
        return self.refusal is not None and read > self.limit + DRAINED_BYTES


class Bodies:
    """Reads the bodies of a replica's requests."""

    def __init__(self) -> None:
        self._uploads = 0
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, headers: Iterable[Header], receive: Receive) -> AsyncIterator[bytes]:
        """Yield a whole request body, whose bytes count among those of all bodies until the context ends.

        Raises:
            RefusedError: the body is larger than its limit, it is not complete in time, the client left, `UPLOADS` bodies are under way,
                or all bodies together would have more than `HELD_BYTES`.
        """
        upload = _begin(headers)
        try:
            yield await self._receive(upload, receive)
        finally:
            self._held -= upload.counted

    async def _receive(self, upload: _Upload, receive: Receive) -> bytes:
        if self._uploads >= UPLOADS:
            message = f"{UPLOADS} requests are being sent to this replica already, which is the limit. Send the request again."
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message, (*_retry, *_closing))
        self._uploads += 1
        try:
            await self._collect(upload, receive)
        finally:
            self._uploads -= 1
        if upload.refusal is not None:
            raise upload.refusal
        body = b"".join(upload.pieces)
        upload.pieces.clear()
        return body

    async def _collect(self, upload: _Upload, receive: Receive) -> None:
        begun = asyncio.get_running_loop().time()
        self._check(upload)
        try:
            async with asyncio.timeout(BODY_SECONDS) as deadline:
                while not upload.is_drained():
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(CLIENT_LEFT, "the client left while it sent its request")
                    piece = message.get("body", b"")
                    upload.size += len(piece)
                    self._check(upload)
                    if upload.refusal is None:
                        upload.pieces.append(piece)
                    if not message.get("more_body", False):
                        return
                    deadline.reschedule(begun + upload.allow_seconds())
        except TimeoutError:
            if upload.refusal is None:
                seconds = round(upload.allow_seconds())
                late = f"The request body did not arrive within {seconds} s. Send it again."
                raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, late, _closing) from None

    def _check(self, upload: _Upload) -> None:
        """Count what came of a body, or refuse the request; what comes after that is read and dropped."""
        if upload.refusal is not None:
            return
        growth = max(0, upload.size - FREE_BYTES) - upload.counted
        if max(upload.announced, upload.size) > upload.limit:
            message = (
                f"The request body is larger than {upload.limit / 2**20:g} MiB. Send a smaller one."
            )
            upload.refusal = RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, _closing)
        elif self._held + growth > HELD_BYTES:
            message = (
                f"The requests at this replica have {HELD_BYTES // 2**20} MiB of bodies already, which is the limit. "
                "Send the request again later, or send a smaller one."
            )
            upload.refusal = RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, message, (*_retry, *_closing)
            )
        else:
            self._held += growth
            upload.counted += growth
            return
        upload.pieces.clear()
        self._held -= upload.counted
        upload.counted = 0


def _begin(headers: Iterable[Header]) -> _Upload:
    found = dict(headers)
    limit = _read_bytes(found.get(LIMIT_HEADER, b"")) or MAX_BODY_BYTES
    return _Upload(min(limit, LARGEST_LIMIT), _read_bytes(found.get(b"content-length", b"")))


def _read_bytes(text: bytes) -> int:
    """Return the number in a header; 0 for what is none, and the largest one for one that is longer."""
    if not text.isdigit():
        return 0
    return int(text) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS


async def send_whole(send: Send, body: bytes, kind: bytes) -> None:
    """Send an answer of the replica's own, with status 200 and this content type."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(HTTPStatus.OK), "headers": headers})
    await send({"type": "http.response.body", "body": body})
