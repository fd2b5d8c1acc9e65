"""A light load while something changes: requests start on a clock, whether or not earlier ones have been answered."""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Self

import aiohttp
from bench.rollout_judge import Answer

ANSWER_SECONDS = 300
USERS = 30
QUESTIONS = ("Tell me a story about the sea.", "What is a lighthouse for?", "Describe a harbour.")


class Load:
    """Asks a model from `with` to its end, as many users in turn; the length of answers is the revision's to say.

    Attributes:
        answers: what came back so far.
    """

    def __init__(self, url: str, model: str, per_second: float) -> None:
        self.answers: list[Answer] = []
        self._url, self._model, self._pause = f"{url}/chat/completions", model, 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ANSWER_SECONDS + 30)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        asked: list[asyncio.Task[None]] = []
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self._stop.is_set():
                asked.append(asyncio.create_task(self._ask(session, len(asked))))
                await asyncio.sleep(self._pause)  # why: the clock of an open-loop load
            await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        user, started = f"user-{number % USERS}", time.monotonic()
        message = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
        body = {"model": self._model, "messages": [message]}
        status, revision = 0, ""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with session.post(self._url, json=body, headers={"x-user": user}) as answer:
                await answer.read()
                status, revision = answer.status, answer.headers.get("x-llm-revision", "")
        self.answers.append(Answer(user, started, time.monotonic(), status, revision, revision))
