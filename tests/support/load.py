"""Open-loop load on one gateway: requests start on a clock, whether or not earlier ones have been answered."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

LONGEST_SECONDS = 180
MOST_REQUESTS = 2000


@dataclass
class Outcome:
    """What came back: requests by status (0: none at all), the first failures, and the longest wait in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    revisions: Counter[str] = field(default_factory=Counter)
    """Answers by the revision that they say gave them."""

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)


class Load:
    """Asks a model so many times a second, from `with` to its end; bounded in number."""

    def __init__(self, url: str, model: str, per_second: float = 3.0) -> None:
        self.outcome = Outcome()
        self._url, self._model, self._pause = f"{url}/chat/completions", model, 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LONGEST_SECONDS + 30)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=LONGEST_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            asked = []
            while not self._stop.is_set() and len(asked) < MOST_REQUESTS:
                asked.append(asyncio.create_task(self._ask(session)))
                await asyncio.sleep(self._pause)  # why: the clock of an open-loop load
            await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        started = time.monotonic()
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 8,
        }
        try:
            async with session.post(self._url, json=body) as answer:
                text, status = await answer.text(), answer.status
                self.outcome.revisions[answer.headers.get("x-llm-revision", "")] += 1
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text, status = repr(error), 0
        self.outcome.statuses[status] += 1
        self.outcome.longest = max(self.outcome.longest, time.monotonic() - started)
        if status != 200 and len(self.outcome.failures) < 5:
            self.outcome.failures.append(f"{status}: {text[:200]}")


def ask(
    url: str, model: str, text: str = "hello", **more: Any
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Ask once; returns status, body and headers."""

    async def one() -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = more.pop("headers", {})
        body = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 24,
            **more,
        }
        timeout = aiohttp.ClientTimeout(total=LONGEST_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{url}/chat/completions", json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json(), dict(answer.headers)

    return asyncio.run(one())
