"""A queue of keys with one pass per key at a time.

Many events for a key while it waits become one pass; events while its pass runs make it wait once more. A pass that
fails is tried again after a delay that doubles from half a second to a minute, with up to half of it at random.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from llmdeployment_operator.handlers.backlog import Backlog, Urgency

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0


def delay(failures: int, chance: float) -> float:
    """Return the seconds to wait after so many failures in a row; `chance` is in [0, 1).

    >>> delay(1, 0.0), delay(3, 0.0), delay(30, 0.0)
    (0.5, 2.0, 60.0)
    >>> delay(1, 0.5)
    0.625
    """
    base = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 10))
    return base * (1 + chance / 2)


class WorkQueue(Generic[K]):
    """Keys that wait for a pass, and the workers that make it.

    Args:
        work: makes one pass and returns the seconds until the next, or None. It may raise.
        failed: is told of every exception and how many passes of the key have failed in a row, before the key is put back.
            It must not raise.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        failed: Callable[[K, Exception, int], Awaitable[None]],
    ) -> None:
        self._work = work
        self._failed = failed
        self._backlog: Backlog[K] = Backlog()
        self._places = asyncio.Semaphore(0)
        self._waiting: dict[K, float] = {}
        self._running: dict[K, float] = {}
        self._again: dict[K, Urgency] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: K, urgency: Urgency = Urgency.CHANGE) -> None:
        """Ask for a pass as soon as it is the key's turn."""
        if (timer := self._later.pop(key, None)) is not None:
            timer.cancel()
        if key in self._running:
            self._again[key] = min(urgency, self._again.get(key, urgency))
            return
        self._backlog.add(key, urgency)
        if key not in self._waiting:
            self._waiting[key] = time.monotonic()
            self._places.release()

    def put_after(self, key: K, seconds: float) -> None:
        """Ask for a pass in some seconds, unless one is due before."""
        loop = asyncio.get_running_loop()
        timer = self._later.get(key)
        due = loop.time() + seconds
        if key in self._waiting or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._later[key] = loop.call_at(due, self._due, key)

    def stuck_for(self) -> float:
        """Return for how many seconds the oldest waiting key or running pass has made no progress."""
        return time.monotonic() - min(
            [*self._waiting.values(), *self._running.values()], default=time.monotonic()
        )

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            await self._places.acquire()
            key = self._backlog.pop()
            self._waiting.pop(key, None)
            self._running[key] = time.monotonic()
            try:
                await self._pass(key)
            finally:
                self._running.pop(key, None)
            if (urgency := self._again.pop(key, None)) is not None:
                self.put(key, urgency)

    async def _pass(self, key: K) -> None:
        try:
            after = await self._work(key)
        except Exception as error:  # noqa: BLE001  # because nothing may end a worker; the callback counts and logs it
            self._failures[key] = self._failures.get(key, 0) + 1
            await self._failed(key, error, self._failures[key])
            self.put_after(key, delay(self._failures[key], random.random()))  # noqa: S311  # because jitter is no secret
            return
        self._failures.pop(key, None)
        if after is not None:
            self.put_after(key, after)

    def _due(self, key: K) -> None:
        self._later.pop(key, None)
        self.put(key)
