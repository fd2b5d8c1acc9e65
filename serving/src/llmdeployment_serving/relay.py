"""Passes requests on to the engine, and to the next one when the engine stops.

A request of which nothing was sent is tried once more. It may be what stopped the engine, and then it stops the next one too, so:

- The newest goes first and alone, until its answer begins or `ALONE_SECONDS` are over. An engine that a request stops mostly does so
  at once, so this one is the likely cause.
- A request that two engines stopped under is refused: 422 `engine_crash`. If it was alone the second time it is the cause, and is
  refused when it is sent again too.

A stream that had begun ends with the engine's own error event. Requests that come while there is no engine wait for the next one;
nearly all go elsewhere, because `/health` is not 200 meanwhile.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from llmdeployment_serving.crashes import REFUSED_AFTER, Crashes, hash_request
from llmdeployment_serving.engine import ASGIApp, Engine, Message, Receive, Scope, Send
from llmdeployment_serving.errors import ENGINE_STOPPED, RefusedError

logger = logging.getLogger(__name__)

ALONE_SECONDS = 10.0
"""Seconds that the newest request has an engine for itself, at most."""
ABANDONED_GRACE_SECONDS = 0.1
"""Seconds that the engine's own handling of a disconnect may take before the request is cancelled from outside."""
_REFUSAL = (
    "Two engines stopped while they worked on this request, so it is refused. "
    "Change it, or tell the operator of this service."
)


@dataclass
class _Waiting:
    """A request that waits for the next engine.

    Attributes:
        was_tried: whether an engine stopped under it.
    """

    was_tried: bool
    may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    has_answer: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """The way from a replica's requests to its engine of the time."""

    def __init__(self, engine: Engine, app: ASGIApp) -> None:
        self._engine = engine
        self._app = app
        self._engine_number = 1
        self._under_way = 0
        """Requests that this engine works on, or had when it stopped."""
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self.is_open = True
        """Whether requests go to the engine at once."""
        self._has_given_up = False
        self._crashes = Crashes()

    async def answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            RefusedError: two engines stopped under this request, or there is no next engine.
        """
        request = hash_request(scope["path"], body)
        number = next(self._numbers)
        turn = _Waiting(was_tried=False)
        while True:
            self._check(request)
            if not self.is_open:
                await self._wait(number, request, turn)
            if await self._try(request, scope, _replay(body, receive), send, turn.has_answer):
                return
            if turn.was_tried:
                raise _build_refusal()
            turn = _Waiting(was_tried=True)

    def pause(self) -> None:
        """Let requests wait, because the engine has stopped."""
        self.is_open = False

    async def resume(self, engine: Engine, app: ASGIApp) -> None:
        """Pass requests on to another engine, those that wait first; return without an end if it stops under the first of them."""
        self._engine, self._app = engine, app
        self._engine_number += 1
        self._under_way = 0
        tried = [number for number, turn in self._waiting.items() if turn.was_tried]
        if tried:
            newest = self._waiting[max(tried)]
            newest.may_begin.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(newest.has_answer.wait(), ALONE_SECONDS)
        if engine.find_failure() is None:
            self.is_open = True
            self._release()

    def count_waiting(self) -> int:
        """Return how many requests wait for an engine."""
        return len(self._waiting)

    def give_up(self) -> None:
        """Answer those that wait with an error: there will be no other engine in this process."""
        self._has_given_up = True
        self._release()

    def _release(self) -> None:
        for each in self._waiting.values():
            each.may_begin.set()

    async def _wait(self, number: int, request: str, turn: _Waiting) -> None:
        """Wait for the next engine.

        Raises:
            RefusedError: meanwhile the engine stopped under the same request again, or there is no next engine.
        """
        self._waiting[number] = turn
        try:
            if not self._has_given_up:
                await turn.may_begin.wait()
            self._check(request)
        except BaseException:  # because a client that leaves cancels; it is raised again
            turn.has_answer.set()  # nobody needs to wait for a request that is over
            raise
        finally:
            del self._waiting[number]

    def _record_crash(self, request: str, engine_number: int, others: int) -> None:
        if engine_number == self._engine_number:
            self.pause()
        count = self._crashes.add(request, engine_number, others)
        logger.error("an engine stopped under request %s: %d of %d", request, count, REFUSED_AFTER)

    def _check(self, request: str) -> None:
        if self._has_given_up:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, ENGINE_STOPPED)
        if self._crashes.count(request) >= REFUSED_AFTER:
            raise _build_refusal()

    async def _try(
        self, request: str, scope: Scope, receive: Receive, send: Send, has_answer: asyncio.Event
    ) -> bool:
        """Return whether the client has an answer; without one nothing was sent, and the engine has stopped."""
        engine, number = self._engine, self._engine_number
        self._under_way += 1
        attempt = _Attempt(send, engine, has_answer)
        try:
            await run_until_abandoned(self._app(scope, receive, attempt.send))
        except Exception:  # because a dying engine may raise anything; others are raised again
            if attempt.has_begun or engine.find_failure() is None:
                raise
            attempt.is_void = True
        finally:
            has_answer.set()
            if engine.find_failure() is not None:
                others = self._under_way - 1 if number == self._engine_number else 1
                self._record_crash(request, number, others)
            elif number == self._engine_number:
                self._under_way -= 1
        if engine.find_failure() is None:
            self._crashes.forget(request)
        return not attempt.is_void


def _build_refusal() -> RefusedError:
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, _REFUSAL, code="engine_crash")


async def run_until_abandoned(call: Awaitable[None]) -> None:
    """Await `call`. If the client leaves, also end the work behind it.

    Ray Serve cancels the handler of a client that left. vLLM's handlers wait for two tasks of their own (the work and the
    disconnect), and cancelling that wait leaves the work running to its last token: 12 s measured. So the cancellation is held
    back for a moment in which vLLM reads the disconnect and aborts, and passed on only if it has not.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=ABANDONED_GRACE_SECONDS)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=ABANDONED_GRACE_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # why: asyncio logs an exception that is never read as an error
        raise


class _Attempt:
    """One try of a request. The head of the answer is held back until its first piece; then it is known whether the engine stopped."""

    def __init__(self, send: Send, engine: Engine, has_answer: asyncio.Event) -> None:
        self.has_begun = False
        self.is_void = False
        self._send = send
        self._engine = engine
        self._has_answer = has_answer
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        """Forward one ASGI message."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        if not self.has_begun and self._engine.find_failure() is not None:
            self.is_void = True
        if self.is_void:
            return
        if self._head is not None:
            self.has_begun = True
            self._has_answer.set()
            await self._send(self._head)
            self._head = None
        await self._send(message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns `body` first, and then the client's disconnect."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
