"""Sends notices to receivers by HTTP, so that no pass waits for anybody and no receiver for another.

Each receiver has a queue of its own and is sent one message at a time, in order. One that hangs or fails delays and loses its own
messages only. What waits is in memory: a process that ends loses what `drain` did not get sent.

URLs and keys are read from files at each try, and stand in no log, error or metric.
"""

import asyncio
import functools
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from llmdeployment_operator.kube.errors import NotLeader
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.notify.bodies import build_headers, read_key, write_message
from llmdeployment_operator.plan.notify.notices import Notice
from llmdeployment_operator.plan.notify.receivers import (
    URL_CHARACTERS,
    Receiver,
    explain_url,
)
from llmdeployment_operator.plan.notify.retries import (
    find_pause,
    is_success,
    is_tried_again,
    read_retry_after,
)

log = logging.getLogger(__name__)

WAITING = 256
"""Messages that wait for one receiver. Of more, the oldest are dropped: what is true now is worth more."""
TRY_SECONDS = 5.0
"""How long a receiver may take for its answer."""
DRAIN_SECONDS = 3.0

KEY_CHARACTERS = 128

SENT, FAILED, DROPPED = RESULTS = ("sent", "failed", "dropped")


@dataclass(frozen=True)
class _Entry:
    notice: Notice
    since: float


@dataclass
class _Box:
    """What waits for one receiver."""

    receiver: Receiver
    waiting: deque[_Entry] = field(default_factory=deque)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    sending: int = 0


@dataclass(frozen=True)
class _Answer:
    """How a try ended: why the message was not taken, or nothing; and whether another try may help."""

    why: str = ""
    again: bool = False
    retry_after: float = 0.0


def _count_waiting(box: _Box) -> int:
    return len(box.waiting) + box.sending


class Outbox:
    """The queues of all receivers.

    Args:
        session: for all requests; one that sends only while this process leads.
        receivers: who is told.
        folder: has the files NAME/url and NAME/key of each receiver.
        metrics: counts messages.
        console_url: for links; empty: without.
        sleep: waits between two tries.
        try_seconds: how long a receiver may take for its answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        receivers: Iterable[Receiver],
        folder: Path,
        metrics: Metrics,
        console_url: str = "",
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        try_seconds: float = TRY_SECONDS,
    ) -> None:
        self._session = session
        self._folder = folder
        self._metrics = metrics
        self._console_url = console_url
        self._sleep = sleep
        self._timeout = aiohttp.ClientTimeout(total=try_seconds)
        self._boxes = [_Box(receiver) for receiver in receivers]
        for box in self._boxes:
            name = box.receiver.name
            box.idle.set()
            for result in RESULTS:
                metrics.notifications.labels(name, result)
            waiting = metrics.notifications_waiting.labels(name)
            waiting.set_function(functools.partial(_count_waiting, box))

    def post(self, notices: Iterable[Notice]) -> None:
        """Put notices into the queues of those who want them."""
        for notice in notices:
            for box in self._boxes:
                if box.receiver.wants(notice):
                    self._put(box, _Entry(notice, time.monotonic()))

    async def run(self) -> None:
        """Send until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for box in self._boxes:
                group.create_task(self._send_forever(box))

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until nothing waits any more, but not for long."""
        idle = [asyncio.create_task(box.idle.wait()) for box in self._boxes]
        if not idle:
            return
        _, late = await asyncio.wait(idle, timeout=seconds)
        for task in late:
            task.cancel()
        if left := sum(_count_waiting(box) for box in self._boxes):
            log.warning("notifications not sent before the operator ended: %d", left)

    def _put(self, box: _Box, entry: _Entry) -> None:
        if len(box.waiting) >= WAITING:
            box.waiting.popleft()
            self._count(box, DROPPED)
        box.waiting.append(entry)
        box.idle.clear()
        box.came.set()

    async def _send_forever(self, box: _Box) -> None:
        while True:
            if not box.waiting:
                box.came.clear()
                box.idle.set()
                await box.came.wait()
            entry, box.sending = box.waiting.popleft(), 1
            try:
                self._count(box, await self._send(box.receiver, entry))
            except Exception as error:  # noqa: BLE001  # because a message must not end the operator
                # Its text may hold the URL.
                self._count(box, FAILED)
                _warn(box.receiver, f"it failed with {type(error).__name__} and is given up")
            finally:
                box.sending = 0

    async def _send(self, receiver: Receiver, entry: _Entry) -> str:
        """Try until the receiver has taken a message, or it is given up; return which of the two."""
        tries = 0
        while True:
            answer = await self._try(receiver, entry.notice)
            if not answer.why:
                return SENT
            tries += 1
            age = time.monotonic() - entry.since
            chance = random.random()  # noqa: S311  # because jitter is no secret
            pause = find_pause(tries, age, answer.retry_after, chance) if answer.again else None
            if pause is None:
                _warn(receiver, f"{answer.why}. It is given up after {tries} tries")
                return FAILED
            _warn(receiver, f"{answer.why}. It is tried again in {pause:.0f} s")
            await self._sleep(pause)

    async def _try(self, receiver: Receiver, notice: Notice) -> _Answer:
        try:
            url, key = _read_secrets(self._folder / receiver.name, receiver)
        except ValueError as error:
            # The Secret may be corrected while this waits.
            return _Answer(str(error), again=True)
        message = write_message(receiver, notice, self._console_url)
        headers = build_headers(message, notice, int(time.time()), key)
        try:
            async with self._session.post(
                url,
                data=message.body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                # The body says nothing that is needed, so it is not read.
                status, asked = response.status, response.headers.get("Retry-After", "")
        except NotLeader:
            return _Answer("this operator does not lead any more")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The error's own text may hold the URL.
            return _Answer(
                f"there is no answer ({type(error).__name__})", again=is_tried_again(None)
            )
        if is_success(status):
            return _Answer()
        seconds = read_retry_after(asked, datetime.now(UTC))
        return _Answer(f"the answer has the status {status}", is_tried_again(status), seconds)

    def _count(self, box: _Box, result: str) -> None:
        self._metrics.notifications.labels(box.receiver.name, result).inc()


def _read_secrets(folder: Path, receiver: Receiver) -> tuple[str, bytes]:
    """Return the URL of a receiver, and its key or nothing.

    Raises:
        ValueError: one of them cannot be used; the text holds neither.
    """
    url = _read_file(folder / "url", URL_CHARACTERS)
    if not url:
        raise ValueError("its Secret has no URL")
    if why := explain_url(url, receiver):
        raise ValueError(why)
    return url, read_key(_read_file(folder / "key", KEY_CHARACTERS)) if receiver.signed else b""


def _read_file(path: Path, most: int) -> str:
    """Return a file of a Secret without white space around, cut where it is too long; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(most + 2).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _warn(receiver: Receiver, why: str) -> None:
    log.warning("a notification to the receiver %s was not taken: %s.", receiver.name, why)
