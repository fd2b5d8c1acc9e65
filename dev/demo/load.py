"""A light load while something changes: requests start on a clock, as long as not too many are under way."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import aiohttp
from bench.rollout_judge import OK, Answer

ANSWER_SECONDS = 300
"""Seconds that an answer may take."""
MOST_REQUESTS = 2000
USERS = 30
STREAM_END = "data: [DONE]"
"""The last event of a complete stream."""
QUESTIONS = ("Tell me a story about the sea.", "What is a lighthouse for?", "Describe a harbour.")

Question = Callable[[int], tuple[str, dict[str, Any]]]
"""From a request's number to its user (empty for none), and its body without the model."""


def build_conversation(number: int) -> tuple[str, dict[str, Any]]:
    """Return a question of one of `USERS` users; the revision sets the length of the answer."""
    message = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
    return f"user-{number % USERS}", {"messages": [message]}


class Load:
    """Asks a model inside of `with`, at most `MOST_REQUESTS` times.

    With `at_once` a slow machine gets fewer requests, as people would send them, and no queue that grows for ever.

    Attributes:
        answers: the answers so far, with those of other loads that share the list.
    """

    def __init__(
        self,
        url: str,
        model: str,
        per_second: float,
        question: Question = build_conversation,
        answers: list[Answer] | None = None,
        at_once: int = MOST_REQUESTS,
    ) -> None:
        self.answers: list[Answer] = [] if answers is None else answers
        self._url, self._model, self._pause = f"{url}/chat/completions", model, 1 / per_second
        self._question = question
        self._at_once = at_once
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
        places = asyncio.Semaphore(self._at_once)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self._stop.is_set() and len(asked) < MOST_REQUESTS:
                await places.acquire()
                task = asyncio.create_task(self._ask(session, len(asked)))
                task.add_done_callback(lambda _: places.release())
                asked.append(task)
                await asyncio.sleep(self._pause)  # why: the clock of the load
            await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        user, question = self._question(number)
        headers = {"x-user": user} if user else {}
        body = {"model": self._model, **question}
        stream = bool(question.get("stream"))
        status, revision, whole, started = 0, "", False, time.monotonic()
        try:
            async with session.post(self._url, json=body, headers=headers) as answer:
                text = await answer.text()
                status, revision = answer.status, answer.headers.get("x-llm-revision", "")
                whole = not stream or text.rstrip().endswith(STREAM_END)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = repr(error)
        why = "" if status == OK and whole else f"{status}: {text[:200]}"
        ended = time.monotonic()
        self.answers.append(
            Answer(user, started, ended, status, revision, revision, stream, whole, error=why)
        )
