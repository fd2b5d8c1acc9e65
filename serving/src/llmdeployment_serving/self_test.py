"""The self-test: a replica shows that it computes right before it answers anybody, and again every few hours.

Wrong kernels and broken accelerators give no error, only other words. So the engine that will serve scores a built-in text, and the
mean log-likelihood of its tokens is held to a reference,

    score = (1 / (n - 1)) * sum over i = 2..n of ln p(token i | tokens 1..i-1)        in nats per token

A replica whose score is more than `TOLERANCE` away from the reference is not ready. The reference is the score of the same weights in
float32 by transformers on the CPU; where that cannot be had (a large or quantized model) it is the score of the first replica.
"""

import asyncio
import logging
import math
import random
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llmdeployment_serving.config import SelfTestConfig
from llmdeployment_serving.errors import SelfTestError

if TYPE_CHECKING:
    from llmdeployment_serving.engine import Engine

logger = logging.getLogger(__name__)

TOLERANCE = 0.05
"""Nats per token. bfloat16 and float16 are off by some thousandths of a nat (docs/concepts/serving.md has what was measured); a wrong
kernel or scale is off by tenths or more."""

TRANSFORMERS, FIRST_REPLICA = "Transformers", "FirstReplica"
"""Where a reference comes from."""

TEXT = """\
A lighthouse keeper writes down the weather three times a day. On Monday the wind came from the west, and the sea was calm until noon.
By the evening the waves reached the lower steps, so he closed the iron door and lit the lamp an hour early. The light turns once in
twelve seconds, which makes five turns in a minute and three hundred in an hour. Two ships passed before midnight. The first carried
timber from Norway, and the second was a ferry on its way home with ninety passengers and a crew of eleven.

On Tuesday the keeper repaired the pump. He needed a new seal, four screws and a little patience. While the paint dried he read a book
about birds: the Arctic tern flies from one pole to the other and back every year, farther than any other animal on earth. He counted
seven of them on the rocks, wrote the number 7 in his book, and went to bed at ten o'clock.

def count_turns(hours, seconds_per_turn=12):
    if hours < 0:
        raise ValueError("hours must not be negative")
    return hours * 3600 // seconds_per_turn

The children of the village once asked him whether he was lonely. "Not at all," he said, "because every ship that passes is a visitor
who does not stay for dinner." They laughed, thanked him for the tea, and walked back along the beach before the tide came in.
"""
"""What is scored: some 300 tokens of prose, numbers and code, in nobody's training data as a whole."""


def find_fault(score: float, reference: float | None) -> str | None:
    """Return what is wrong with a score, or None.

    >>> find_fault(-2.87, -2.9), find_fault(-2.87, None)
    (None, None)
    >>> find_fault(-2.8, -2.9)
    'it scores -2.800 nats a token, and the reference is -2.900: they differ by 0.100, more than 0.05'
    >>> find_fault(float("nan"), None)
    'it scores nan nats a token, which is no number that a working engine gives'
    """
    if not math.isfinite(score):
        return f"it scores {score} nats a token, which is no number that a working engine gives"
    if reference is None or abs(score - reference) <= TOLERANCE:
        return None
    return (
        f"it scores {score:.3f} nats a token, and the reference is {reference:.3f}: "
        f"they differ by {abs(score - reference):.3f}, more than {TOLERANCE:g}"
    )


class SelfTest:
    """The self-test of one replica, and its last result.

    `fault` says what was found after the start, if anything: the replica then has to end.
    """

    def __init__(self, engine: "Engine") -> None:
        self.fault: str | None = None
        self._engine = engine
        self._settings = SelfTestConfig()
        self._changed = asyncio.Event()
        self._score: float | None = None
        self._reference: float | None = None
        self._source = FIRST_REPLICA
        self._seconds = 0.0

    async def run(self, settings: SelfTestConfig) -> None:
        """Score the text and compare.

        Raises:
            SelfTestError: the replica computes wrongly.
        """
        if not settings.enabled:
            logger.warning("the self-test is off: spec.engine.selfTest.enabled is false")
            return
        started = time.monotonic()
        try:
            score = await self._engine.score(TEXT)
        except SelfTestError as error:
            raise _name_pod(str(error)) from error
        if score is None:
            logger.warning("the self-test is skipped: this engine scores no text")
            return
        self._score = score.mean
        wanted = settings.reference is None and settings.reference_from == TRANSFORMERS
        if wanted and self._reference is None:
            found = await self._engine.compute_reference(score.tokens)
            if found is not None:
                self._reference, self._source = found, TRANSFORMERS
        self._seconds = time.monotonic() - started
        self.compare(settings)
        logger.info(
            "self-test: %.3f nats a token over %d tokens, reference %s, %.1f s",
            self._score,
            len(score.tokens),
            "(this replica)" if self._reference is None else f"{self._reference:.3f}",
            self._seconds,
        )

    def compare(self, settings: SelfTestConfig) -> None:
        """Hold the last score to the reference that the operator gives, or else to this replica's own.

        Raises:
            SelfTestError: they differ by more than the tolerance.
        """
        if not settings.enabled or self._score is None:
            return
        if settings.reference is not None:
            self._reference, self._source = settings.reference, settings.reference_from
        if (fault := find_fault(self._score, self._reference)) is not None:
            raise _name_pod(fault)

    def take(self, settings: SelfTestConfig) -> None:
        """Take new settings while the replica serves: a new reference counts at once, another period or switch leads to a test."""
        before, self._settings = self._settings, settings
        if (before.enabled, before.period_seconds) != (settings.enabled, settings.period_seconds):
            self._changed.set()
        try:
            self.compare(settings)
        except SelfTestError as error:
            self.fault = str(error)

    async def replace_engine(self, engine: "Engine") -> None:
        """Test another engine.

        Raises:
            SelfTestError: it computes wrongly.
        """
        self._engine = engine
        await self.run(self._settings)

    async def repeat(self) -> None:
        """Test every period until there is a fault. Replicas do so at different times."""
        while self.fault is None:
            seconds = self._settings.period_seconds * random.uniform(0.9, 1.1)  # noqa: S311  # because it is no secret
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
            self._changed.clear()
            engine = self._engine
            try:
                await self.run(self._settings)
            except SelfTestError as error:
                # An engine that stops under the test is not one that computes wrongly.
                if engine.find_failure() is None:
                    self.fault = str(error)

    def describe(self) -> dict[str, Any] | None:
        """Return this replica's `selfTest` of `/stats`, or None if it has no score that can be written."""
        if self._score is None or not math.isfinite(self._score):
            return None
        row: dict[str, Any] = {
            "score": round(self._score, 4),
            "seconds": round(self._seconds, 3),
        }
        if self._reference is not None:
            row |= {"reference": round(self._reference, 4), "referenceFrom": self._source}
        return row


def _name_pod(fault: str) -> SelfTestError:
    # The operator finds the pod, and its node, by these words.
    return SelfTestError(f"the self-test failed on pod {socket.gethostname()}: {fault}")
