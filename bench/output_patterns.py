"""Measures what it costs a replica to look at its answers, and whether that cost is linear in their length.

Everything between the engine and the socket runs in this process (`ReplicaApp`, with an engine that only sends): the upper bound of the
cost, since a real engine spends most of the time elsewhere. The same is measured with the look replaced by one that does nothing; rounds
of both alternate. This rate of events is far above any engine's, so the ratio of a real one is its own rate times
`microsecondsPerEvent`.

Run: `python -m bench.output_patterns > output_patterns.json`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

from llmdeployment_serving.answer_watch import AnswerWatch
from llmdeployment_serving.api_paths import CHAT_PATH
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine import ASGIApp, Message, Receive, Scope, Send
from llmdeployment_serving.engine_simulated import start_simulated

TOKENS = 2_000
"""Events of each streamed answer."""
PATTERNS = [
    {"name": f"p{number}", "pattern": f"(?i)brand{number}\\b.{{0,40}}price"} for number in range(16)
]
BODY = json.dumps(
    {"stream": True, "messages": [{"role": "user", "content": "Tell me a story."}]}
).encode()
SIZES = (64, 128, 256, 512, 1024)
"""KiB of the answers whose cost is compared."""
EVENT_CHARACTERS = 4
ENGINE_TOKENS_PER_SECOND = 2_000
"""Tokens/s of a busy replica, for the share of its time: a model of 8 billion parameters on one H100, as a round number."""


class _Unwatched:
    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self, _: object) -> None:
        pass

    def add(self, _: bytes) -> None:
        pass

    def finish(self) -> dict[str, bool]:
        return {}


def write_events(text: str, size: int = EVENT_CHARACTERS) -> list[bytes]:
    """Return the events in which vLLM sends a text, in pieces of `size` characters."""
    head = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "chat",
    }
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    choices = (
        {
            "index": 0,
            "delta": {"content": piece},
            "logprobs": None,
            "finish_reason": None,
            "token_ids": None,
        }
        for piece in pieces
    )
    return [
        b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
        for choice in choices
    ]


def stream(events: list[bytes]) -> ASGIApp:
    """Return an engine's application that sends these events, and lets others run between two of them."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(0)  # why: an engine's events come one by one from its queue
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    return app


async def measure_once(
    events: list[bytes], patterns: list[dict[str, str]], watch: type
) -> tuple[float, int]:
    """Return the CPU seconds that a streamed answer takes through a replica, and the bytes that differ at the client."""
    config = parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}})
    engine = await start_simulated(config)
    replica = ReplicaApp(config, engine, stream(events))
    replica.take(
        parse(UserConfig, {"revisions": {"1": {}}, "monitoring": {"outputPatterns": patterns}})
    )
    sent: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    scope = {
        "type": "http",
        "path": CHAT_PATH,
        "method": "POST",
        "headers": [],
        "query_string": b"",
    }
    with mock.patch("llmdeployment_serving.asgi.AnswerWatch", watch):
        started = time.process_time()
        await replica(scope, receive, send)
        seconds = time.process_time() - started
    engine.shutdown()
    whole = b"".join(events) + b"data: [DONE]\n\n"
    return seconds, int(b"".join(sent) != whole)


async def compare_rates(rounds: int, patterns: list[dict[str, str]]) -> dict[str, float]:
    """Return tokens/s with and without the look, and what an event costs."""
    events = write_events("word " * (TOKENS * EVENT_CHARACTERS // 5))
    found: dict[type, list[float]] = {AnswerWatch: [], _Unwatched: []}
    changed = 0
    for _ in range(rounds):
        for watch, seconds in found.items():
            taken, differs = await measure_once(events, patterns, watch)
            seconds.append(taken)
            changed += differs
    watched, plain = (median(found[watch]) for watch in (AnswerWatch, _Unwatched))
    cost = (watched - plain) / len(events)
    return {
        "patterns": len(patterns),
        "tokensPerSecond": round(len(events) / watched),
        "tokensPerSecondUnwatched": round(len(events) / plain),
        "ratioOfPassingOn": round(plain / watched, 3),
        "microsecondsPerEvent": round(1e6 * cost, 2),
        "shareOfABusyReplica": round(cost * ENGINE_TOKENS_PER_SECOND, 5),
        "changedAnswers": changed,
    }


async def measure_sizes(rounds: int, make: Callable[[int], str]) -> dict[str, Any]:
    """Return what looking at an answer costs by its length, and the cost of the longest for each KiB over that of the shortest."""
    rows = []
    for size in SIZES:
        events = write_events(make(size * 1024), 64)
        seconds: dict[type, list[float]] = {AnswerWatch: [], _Unwatched: []}
        for _ in range(rounds):
            for watch, taken in seconds.items():
                taken.append((await measure_once(events, PATTERNS, watch))[0])
        watched, plain = (min(seconds[watch]) for watch in (AnswerWatch, _Unwatched))
        rows.append({"kib": size, "milliseconds": round(1e3 * (watched - plain), 3)})
    per_kib = [row["milliseconds"] / row["kib"] for row in rows]
    return {"rows": rows, "costPerKibLongestOverShortest": round(per_kib[-1] / per_kib[0], 2)}


async def main(rounds: int) -> dict[str, Any]:
    """Return all figures."""
    return {
        "streams": [await compare_rates(rounds, patterns) for patterns in ([], PATTERNS)],
        "words": await measure_sizes(
            rounds, lambda size: ("lorem ipsum " * (size // 12 + 1))[:size]
        ),
        # Every prefix of a pattern begins again: where a backtracking engine would take the square of the length.
        "hostile": await measure_sizes(rounds, lambda size: ("brand1 " * (size // 7 + 1))[:size]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    json.dump(asyncio.run(main(parser.parse_args().rounds)), sys.stdout, indent=2)
    print()
