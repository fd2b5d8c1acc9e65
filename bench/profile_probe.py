"""Loads an OpenAI endpoint in the ways that tell an engine's rates apart, and writes down when each token came.

What is sent, and in which order; how it travels and what time it is are given, so that a test can run all of this on a virtual clock.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.simulation.trace import Request

Post = Callable[[dict[str, Any]], AsyncIterator[bytes]]
"""Sends a request's body and yields the answer's lines as they come."""


class ProbeError(Exception):
    """The endpoint does not answer as an OpenAI API does; the sentence says how."""


@dataclass(frozen=True)
class Answer:
    """One answer: when it was asked for, when its tokens came, and how many tokens there were. Seconds of the endpoint's clock."""

    asked: float
    times: tuple[float, ...]
    """Of each event that carries text; an event may carry several tokens."""
    prompt_tokens: int
    output_tokens: int

    @property
    def ttft(self) -> float:
        """From the question to the first token."""
        return self.times[0] - self.asked

    @property
    def e2e(self) -> float:
        """From the question to the last token."""
        return self.times[-1] - self.asked

    @property
    def gap(self) -> float:
        """Mean gap between two tokens; 0 for a single one."""
        return (self.times[-1] - self.times[0]) / max(1, self.output_tokens - 1)


@dataclass(frozen=True)
class Endpoint:
    """An API, a clock, and the model's name."""

    post: Post
    clock: Callable[[], float]
    model: str

    async def ask(self, words: int, tokens: int, source: random.Random) -> Answer:
        """Ask for exactly `tokens` tokens with a prompt of so many random words, which no prefix cache knows.

        Raises:
            ProbeError: the answer has no text, or no usage.
        """
        text = " ".join(f"{source.choice('bcdfg')}{source.randrange(10)}" for _ in range(words))
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        asked = self.clock()
        times: list[float] = []
        usage: dict[str, int] = {}
        async for line in self.post(body):
            event = _event(line)
            if event is None:
                continue
            usage = event.get("usage") or usage
            if any((choice.get("delta") or {}).get("content") for choice in event["choices"]):
                times.append(self.clock())
        if not times or "prompt_tokens" not in usage:
            raise ProbeError(
                f"{self.model} gave {len(times)} events with text and the usage {usage}: the endpoint must stream chat completions with "
                "stream_options.include_usage"
            )
        return Answer(asked, tuple(times), usage["prompt_tokens"], usage["completion_tokens"])


async def alone(
    endpoint: Endpoint, lengths: Sequence[int], tokens: int, rounds: int
) -> list[list[Answer]]:
    """Ask one question at a time, of each length in turn, `rounds` times; return them by length.

    A first question, which wakes the engine, is not counted.
    """
    source = random.Random(1)  # noqa: S311  # because questions are no secret
    await endpoint.ask(lengths[0], tokens, source)
    found: list[list[Answer]] = [[] for _ in lengths]
    for _ in range(rounds):
        for row, words in zip(found, lengths, strict=True):
            row.append(await endpoint.ask(words, tokens, source))
    return found


async def together(endpoint: Endpoint, number: int, words: int, tokens: int) -> list[Answer]:
    """Ask `number` short questions at once."""
    source = random.Random(number)  # noqa: S311  # because questions are no secret
    return list(await asyncio.gather(*(endpoint.ask(words, tokens, source) for _ in range(number))))


async def replay(endpoint: Endpoint, trace: Sequence[Request]) -> list[Answer]:
    """Ask what `trace` says when it says it; a request's prompt tokens are taken for words."""
    source = random.Random(2)  # noqa: S311  # because questions are no secret
    begin = endpoint.clock()

    async def one(request: Request) -> Answer:
        await asyncio.sleep(max(0.0, begin + request.at - endpoint.clock()))
        return await endpoint.ask(request.prompt_tokens, request.output_tokens, source)

    return list(await asyncio.gather(*map(one, trace)))


def _event(line: bytes) -> dict[str, Any] | None:
    """Return what a line of server-sent events says."""
    if not line.startswith(b"data:") or line.strip() == b"data: [DONE]":
        return None
    try:
        event = json.loads(line[5:])
    except ValueError:
        raise ProbeError(f"the endpoint streams {line[:80]!r}, which is no JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("choices"), list):
        raise ProbeError(f"the endpoint streams {line[:80]!r}, which has no choices")
    return event
