"""The shadow of a revision that has no requests yet: a sample of live requests is asked again, of it and of the revision that serves.

The client has its whole answer before anything of this begins, and never waits for it. Both revisions get the same request, greedy and
short (`shadow_request`), one at a time, and only while this replica has room. What does not fit in is dropped and counted. Answers are
compared and forgotten: counts are all that leaves the replica.
"""

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from llmdeployment_serving.agreement import measure_agreement
from llmdeployment_serving.answer_text import AnswerReader, Choice
from llmdeployment_serving.config import ShadowConfig
from llmdeployment_serving.model_tasks import EMBEDDING_PATH
from llmdeployment_serving.output_shares import (
    BUILT_IN,
    OutputPattern,
    examine,
)
from llmdeployment_serving.questions import (
    Question,
    read_chat_question,
    read_completion_question,
)
from llmdeployment_serving.shadow_request import build_question, is_chat
from llmdeployment_serving.vector_agreement import Vectors, measure_vector_agreement, read_vectors

logger = logging.getLogger(__name__)

MOST_WAITING = 32
"""Requests that wait to be asked again, at most."""
MOST_BYTES = 256 * 1024
"""Bytes of a request that is asked again, at most: 32 of them take 8 MiB."""
PATIENCE_SECONDS = 30.0
"""Seconds that a request waits for room before it is dropped."""
LOOK_SECONDS = 0.5
"""Seconds between two looks for room."""
ASK_SECONDS = 60.0
"""Seconds that an answer may take before the request is dropped."""
MOST_ANSWER_BYTES = 1024 * 1024
SHADOW_HEADER = "x-llm-shadow"
"""Marks a request that nobody waits for: a replica without room refuses it. One of an older image answers it as any other."""

_BUSY = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

Reply = tuple[int, bytes]
"""Status and body of an answer; status 0 for a connection that broke under the request."""
Ask = Callable[[str, str, bytes], Awaitable[Reply]]
"""Asks this replica: number of the revision, path, body."""


@dataclass
class ShadowCounts:
    """What was found of one canary, since this replica learned of it.

    Attributes:
        compared: requests that both revisions answered.
        failed: requests that the canary did not answer and the stable revision did.
        skipped: sampled requests that were dropped: no room, a canary that was busy or away, or no answer in time.
        excluded: sampled requests of a kind that is not shadowed.
        identical: compared answers with the same text.
        agreement: sum of the agreements of compared answers, in thousandths.
        shares: by share, how many comparisons it was asked of, and in how many the stable answer, the canary's and both were bad.
    """

    compared: int = 0
    failed: int = 0
    skipped: int = 0
    excluded: int = 0
    identical: int = 0
    agreement: int = 0
    shares: dict[str, list[int]] = field(default_factory=dict)

    def add(
        self, texts: tuple[str, str], bad: tuple[Mapping[str, bool], Mapping[str, bool]]
    ) -> None:
        """Count a pair of answers, the stable revision's first."""
        one, other = (text.strip() for text in texts)
        self.add_agreement(measure_agreement(one, other), is_same=one == other)
        stable, canary = bad
        for share in stable.keys() & canary.keys():
            row = self.shares.setdefault(share, [0, 0, 0, 0])
            found = (True, stable[share], canary[share], stable[share] and canary[share])
            self.shares[share] = [count + is_so for count, is_so in zip(row, found, strict=True)]

    def add_agreement(self, agreement: float, *, is_same: bool) -> None:
        """Count how well a pair of answers agrees, from 0 to 1."""
        self.compared += 1
        self.identical += is_same
        self.agreement += round(1000 * agreement)

    def as_json(self) -> dict[str, Any]:
        """Return these counts as `/stats` has them."""
        names = ("total", "stableBad", "canaryBad", "bothBad")
        return {
            "compared": self.compared,
            "failed": self.failed,
            "skipped": self.skipped,
            "excluded": self.excluded,
            "identical": self.identical,
            "agreementThousandths": self.agreement,
            "shares": {
                share: dict(zip(names, row, strict=True)) for share, row in self.shares.items()
            },
        }


@dataclass
class _Shadow:
    config: ShadowConfig
    began_at: float
    counts: ShadowCounts = field(default_factory=ShadowCounts)


@dataclass(frozen=True)
class _Sample:
    shadow: _Shadow
    path: str
    raw: bytes
    at: float


class Shadows:
    """The shadows that this replica casts.

    Args:
        ask: asks this replica, without being counted.
        has_room: whether this replica can do more than it has to.
        draw: a random number from 0 to 1.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        ask: Ask,
        has_room: Callable[[], bool],
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._has_room = has_room
        self._draw = draw
        self._clock = clock
        self._shadows: dict[tuple[str, str], _Shadow] = {}
        self._patterns: tuple[OutputPattern, ...] = ()
        self._waiting: deque[_Sample] = deque()
        self._work: asyncio.Task[None] | None = None

    def take(self, configs: Iterable[ShadowConfig], patterns: tuple[OutputPattern, ...]) -> None:
        """Cast these shadows; those that stay keep their counts, and those that are gone lose them."""
        known = {(each.share, each.text) for each in self._patterns}
        same = {each.share for each in patterns if (each.share, each.text) in known}
        before, self._patterns = self._shadows, patterns
        self._shadows = {}
        for config in configs:
            key = config.stable, config.revision
            shadow = before.get(key) or _Shadow(config, self._clock())
            shadow.config = config
            shares = shadow.counts.shares.items()
            shadow.counts.shares = {s: row for s, row in shares if s in BUILT_IN or s in same}
            self._shadows[key] = shadow
        self._waiting = deque(each for each in self._waiting if self._is_on(each.shadow))

    def offer(self, number: str, path: str, raw: bytes) -> None:
        """Take a live request that was answered by this revision, if it is drawn. Returns at once.

        Args:
            number: the revision.
            path: of the request.
            raw: the client's own body.
        """
        for shadow in self._shadows.values():
            lasts = self._clock() - shadow.began_at
            if shadow.config.stable != number or lasts >= shadow.config.seconds:
                continue
            if self._draw() * 100 >= shadow.config.percent:
                continue
            if len(raw) > MOST_BYTES:
                shadow.counts.excluded += 1
            elif len(self._waiting) >= MOST_WAITING:
                shadow.counts.skipped += 1
            else:
                self._waiting.append(_Sample(shadow, path, raw, self._clock()))
                self._start()

    def describe(self) -> dict[str, Any]:
        """Return this part of `/stats`: nothing without a shadow."""
        if not self._shadows:
            return {}
        rows = (
            {"stable": int(stable), "revision": int(revision), **shadow.counts.as_json()}
            for (stable, revision), shadow in self._shadows.items()
        )
        return {"shadows": list(rows)}

    def _start(self) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run(), name="shadow")

    async def _run(self) -> None:
        """Ask what waits, one at a time, and end when nothing is left."""
        while self._waiting:
            # why: each request has a connection of its own, so that it reaches any of the canary's replicas.
            connector = aiohttp.TCPConnector(force_close=True)
            timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                while self._waiting:
                    sample = self._waiting.popleft()
                    try:
                        await self._compare(session, sample)
                    except Exception:  # because a shadow must never be felt
                        sample.shadow.counts.skipped += 1
                        logger.exception("a request could not be shadowed")

    async def _compare(self, session: aiohttp.ClientSession, sample: _Sample) -> None:
        config, counts = sample.shadow.config, sample.shadow.counts
        body = build_question(sample.raw, sample.path, config.max_tokens)
        if body is None:
            counts.excluded += 1
            return
        raw = json.dumps(body).encode()
        if not await self._wait_for_room(sample):
            counts.skipped += 1
            return
        canary = await _ask_canary(session, config, sample.path, raw)
        # Only now, and only with room: this replica works for a pair of answers and for nothing less.
        if canary is None or not self._has_room():
            counts.skipped += 1
            return
        stable = await self._ask_stable(config.stable, sample.path, raw)
        if sample.path == EMBEDDING_PATH:
            _count_vectors(counts, _read_reply_vectors(stable), _read_reply_vectors(canary))
            return
        answered, own = _read_choice(canary), _read_choice(stable)
        if own is None:
            # Whatever the canary said: nobody knows what is right.
            counts.skipped += 1
        elif answered is None:
            counts.failed += 1
        else:
            question = _read_question(body, sample.path)
            bad = self._examine(question, own), self._examine(question, answered)
            counts.add(("".join(own.texts), "".join(answered.texts)), bad)

    async def _wait_for_room(self, sample: _Sample) -> bool:
        while not self._has_room():
            if self._clock() - sample.at >= PATIENCE_SECONDS or not self._is_on(sample.shadow):
                return False
            await asyncio.sleep(LOOK_SECONDS)  # why: polling, because no engine announces room
        return True

    async def _ask_stable(self, number: str, path: str, raw: bytes) -> Reply | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._ask(number, path, raw)
        except TimeoutError:
            return None

    def _is_on(self, shadow: _Shadow) -> bool:
        key = shadow.config.stable, shadow.config.revision
        return self._shadows.get(key) is shadow

    def _examine(self, question: Question, choice: Choice) -> dict[str, bool]:
        """Return whether an answer is bad, by share; without what the limit of its tokens may have done."""
        found = examine(question, (choice,), self._patterns)
        cut = {"truncated", "invalidJson"} if choice.finish_reason == "length" else {"truncated"}
        return {share: is_bad for share, is_bad in found.items() if share not in cut}


async def _ask_canary(
    session: aiohttp.ClientSession, config: ShadowConfig, path: str, raw: bytes
) -> Reply | None:
    """Return a canary's answer, or None if it is busy, cannot be reached, or is not ready in time."""
    # None of the client's headers: its key is for the gateway.
    headers = {
        "content-type": "application/json",
        "x-llm-revision": config.revision,
        SHADOW_HEADER: "1",
    }
    try:
        async with session.post(
            config.url + path, data=raw, headers=headers, allow_redirects=False
        ) as response:
            if response.status in _BUSY:
                return None
            return response.status, await _read_answer(response)
    except (TimeoutError, aiohttp.ClientConnectorError):
        return None
    except aiohttp.ClientError:
        return 0, b""


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer; nothing of one that is too large."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_ANSWER_BYTES:
            return b""
    return b"".join(pieces)


def _count_vectors(counts: ShadowCounts, own: Vectors | None, answered: Vectors | None) -> None:
    if own is None:
        counts.skipped += 1
    elif answered is None:
        counts.failed += 1
    else:
        agreement = measure_vector_agreement(own, answered)
        counts.add_agreement(agreement, is_same=own == answered)


def _read_reply_vectors(reply: Reply | None) -> Vectors | None:
    return read_vectors(reply[1]) if reply is not None and reply[0] == HTTPStatus.OK else None


def _read_question(body: Mapping[str, Any], path: str) -> Question:
    return read_chat_question(body) if is_chat(path) else read_completion_question(body)


def _read_choice(reply: Reply | None) -> Choice | None:
    """Return what a model said, or None if there is no answer that can be read."""
    if reply is None or reply[0] != HTTPStatus.OK:
        return None
    reader = AnswerReader(streams=False)
    reader.add(reply[1])
    choices = reader.read()
    return choices[0] if choices else None
