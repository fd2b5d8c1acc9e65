"""The traffic of the rollout matrix: short requests on a clock, and long streams that are under way all the time."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from bench.rollout_engine import Engine
from bench.rollout_judge import OK, Answer

ANSWER_SECONDS = 1000
USERS = 40
SHORT_TOKENS = 3


async def answers_as_gateway(url: str) -> bool:
    """Return whether a gateway answers there, by the error that only it has."""
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/nothing") as answer,
        ):
            return "unknown_url" in await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


@dataclass
class Traffic:
    """Everything that is asked of one gateway, from `start` to `stop`.

    Attributes:
        url: the gateway's `/v1`.
        model: what it serves.
        per_second: short requests.
        stream_seconds: how long a stream takes, about.
        streams: how many there are at any time.
        engine: how answers are read.
        answers: what came back so far.
    """

    url: str
    model: str
    per_second: float
    stream_seconds: float
    streams: int
    engine: Engine
    answers: list[Answer] = field(default_factory=list)
    flowing: int = 0
    """Streams that have their first token and not yet their last."""

    def start(self) -> None:
        """Begin to ask."""
        self._stopping = asyncio.Event()
        self._random = random.Random(1)  # noqa: S311  # because users are no secret
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        slots = (self._slot(f"stream-{number}", number) for number in range(self.streams))
        self._tasks = [asyncio.create_task(each) for each in (self._clock(), *slots)]

    async def stop(self) -> None:
        """Ask nothing more, and wait for the answers that are on their way."""
        self._stopping.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            await self._session.close()

    async def _clock(self) -> None:
        """Open loop: a slow answer delays no other request."""
        asked: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            user = f"user-{self._random.randrange(USERS)}"
            asked.add(asyncio.create_task(self._short(user)))
            await self._pause(1 / self.per_second)
        await asyncio.gather(*asked)

    async def _slot(self, user: str, number: int) -> None:
        """Stream after stream; the slots begin one after another."""
        await self._pause(number * min(3.0, self.stream_seconds / 4) / self.streams)
        while not self._stopping.is_set():
            await self._stream(user)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _body(self, tokens: int, **more: object) -> dict[str, Any]:
        message = {"role": "user", "content": "hello"}
        limits = {"max_tokens": tokens, "ignore_eos": True}
        return {"model": self.model, "messages": [message], **limits, **more}

    async def _short(self, user: str) -> None:
        started = time.monotonic()
        text, status, revision, headers = "", 0, "", ""
        try:
            async with self._session.post(
                f"{self.url}/chat/completions",
                json=self._body(SHORT_TOKENS),
                headers={"x-user": user},
            ) as answer:
                status, revision = answer.status, answer.headers.get("x-llm-revision", "")
                headers = " ".join(answer.headers)
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text, status = repr(error), 0
        said = self.engine.find_version([text]) if status == OK else ""
        error_text = "" if status == OK else f"{status}: {text[:200]} (headers: {headers})"
        ended = time.monotonic()
        self.answers.append(Answer(user, started, ended, status, revision, said, error=error_text))

    async def _stream(self, user: str) -> None:
        tokens = round(self.stream_seconds * self.engine.tokens_per_second)
        started, status, revision, error_text = time.monotonic(), 0, "", ""
        events: list[str] = []
        try:
            async with self._session.post(
                f"{self.url}/chat/completions",
                json=self._body(tokens, stream=True, **self.engine.stream_options),
                headers={"x-user": user},
            ) as answer:
                status, revision = answer.status, answer.headers.get("x-llm-revision", "")
                self.flowing += 1
                try:
                    async for line in answer.content:
                        events += [line[6:].decode().strip()] if line.startswith(b"data: ") else []
                finally:
                    self.flowing -= 1
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            error_text = repr(error)
        whole = self.engine.whole(events, tokens)
        if not whole and not error_text:
            error_text = f"{status}: ended after {len(events)} events of {tokens}"
        self.answers.append(
            Answer(
                *(
                    user,
                    started,
                    time.monotonic(),
                    status,
                    revision,
                    self.engine.find_version(events[:-1]),
                ),
                stream=True,
                whole=whole,
                error="" if whole else error_text,
            )
        )
        if not whole:
            await self._pause(1.0)
