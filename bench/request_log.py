"""Measures what the request log costs a replica's front: CPU for each request, and how much later the first token comes.

Everything between the engine and the socket runs in this process (`ReplicaApp` over the simulated engine's application, which answers at
once). Three replicas take turns in one process: without a log, with Metadata, and with Content, both to files in a folder, which is the
most work a sink makes here. CPU is that of the whole process, the log's thread included, until the last line is written. A real request
also costs HTTP, which is not in this process, so the shares of a real replica are smaller.

Run: `python -m bench.request_log > request_log.json`. Goals: `metadata.cpuRatio` at most 1.03, `content.cpuRatio` at most 1.05, and
`firstTokenLaterMilliseconds` at most 0.2 for both.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from llmdeployment_serving import log_queue, request_log
from llmdeployment_serving.asgi import CHAT_PATH, ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine import Message
from llmdeployment_serving.engine_simulated import start_simulated

LOGS: dict[str, dict[str, Any] | None] = {
    "off": None,
    "metadata": {"level": "Metadata", "sink": "PVC"},
    "content": {"level": "Content", "sink": "PVC"},
}
GOALS = {"metadata": 1.03, "content": 1.05}
GOAL_MILLISECONDS = 0.2
SETTLE_SECONDS = 0.5
ENGINE = {
    "decode-tokens-per-second": 1_000_000,
    "batch-tokens-per-second": 1_000_000,
    "prefill-tokens-per-second": 1_000_000_000,
}
HEADERS = (
    (b"x-request-id", b"0a1b2c3d-0000-4000-8000-000000000000"),
    (b"x-llm-revision", b"1"),
    (b"x-llm-arm", b"main"),
    (b"x-llm-bucket", b"17"),
    (b"x-llm-key-name", b"team-a"),
)
PROMPT = "Write to joe@example.com about the order of 2026-11-30, please, and be short. " * 20


@dataclass
class Round:
    """What one round took.

    Attributes:
        cpu_seconds: of the process, for each request.
        first_chunks: seconds to the first chunk, of each request.
    """

    cpu_seconds: float
    first_chunks: list[float] = field(default_factory=list)


def build_body(tokens: int) -> bytes:
    """Return a streamed request whose answer has so many tokens."""
    messages = [{"role": "user", "content": PROMPT}]
    body = {"stream": True, "messages": messages, "max_tokens": tokens, "ignore_eos": True}
    return json.dumps(body).encode()


async def build_replica(log: dict[str, Any] | None) -> ReplicaApp:
    """Return a replica over the simulated engine."""
    engine_config = {"name": "simulated", "args": ENGINE}
    config = parse(ServingConfig, {"servedName": "chat", "engine": engine_config})
    engine = await start_simulated(config)
    replica = ReplicaApp(config, engine, await engine.build_app())
    monitoring = {} if log is None else {"requestLog": log}
    replica.take(parse(UserConfig, {"revisions": {"1": {}}, "monitoring": monitoring}))
    return replica


async def ask(replica: ReplicaApp, body: bytes) -> float:
    """Ask once, and return the seconds to the first piece of the answer's body."""
    given = [{"type": "http.request", "body": body, "more_body": False}]
    began, first = time.perf_counter(), 0.0

    async def receive() -> Message:
        if not given:
            await asyncio.Event().wait()  # the client stays
        return given.pop()

    async def send(message: Message) -> None:
        nonlocal first
        if message.get("body") and not first:
            first = time.perf_counter() - began

    scope = {
        "type": "http",
        "path": CHAT_PATH,
        "raw_path": CHAT_PATH.encode(),
        "root_path": "",
        "scheme": "http",
        "method": "POST",
        "query_string": b"",
        "headers": list(HEADERS),
    }
    await replica(scope, receive, send)
    return first


async def measure(replica: ReplicaApp, body: bytes, requests: int) -> Round:
    """Return what so many requests take, one after the other, and their lines."""
    began = time.process_time()
    first = [await ask(replica, body) for _ in range(requests)]
    # The same for all: the log's thread writes its last lines meanwhile, and nobody else does anything.
    await asyncio.sleep(SETTLE_SECONDS)
    return Round((time.process_time() - began) / requests, first)


def compare(rounds: dict[str, list[Round]], name: str) -> dict[str, Any]:
    """Return how a log compares with none, as medians of the rounds, each with the one beside it."""
    pairs = list(zip(rounds[name], rounds["off"], strict=True))
    ratio = median(log.cpu_seconds / off.cpu_seconds for log, off in pairs)
    later = median(median(log.first_chunks) - median(off.first_chunks) for log, off in pairs)
    return {
        "cpuRatio": round(ratio, 4),
        "cpuGoal": GOALS[name],
        "cpuMicrosecondsPerRequest": round(median(r.cpu_seconds for r in rounds[name]) * 1e6, 1),
        "firstTokenLaterMilliseconds": round(later * 1000, 4),
        "firstTokenGoalMilliseconds": GOAL_MILLISECONDS,
        "isMet": ratio <= GOALS[name] and later * 1000 <= GOAL_MILLISECONDS,
    }


async def run(rounds: int, requests: int, tokens: int) -> dict[str, Any]:
    """Return the whole result."""
    body = build_body(tokens)
    replicas = {name: await build_replica(log) for name, log in LOGS.items()}
    for replica in replicas.values():
        await measure(replica, body, requests)  # warm
    found: dict[str, list[Round]] = {name: [] for name in LOGS}
    for number in range(rounds):
        names = list(LOGS) if number % 2 else list(reversed(LOGS))
        for name in names:
            found[name].append(await measure(replicas[name], body, requests))
    counted = {name: replica.stats().get("requestLog") for name, replica in replicas.items()}
    off = median(each.cpu_seconds for each in found["off"])
    return {
        "rounds": rounds,
        "requests": requests,
        "tokens": tokens,
        "offCpuMicrosecondsPerRequest": round(off * 1e6, 1),
        "lines": counted,
        **{name: compare(found, name) for name in GOALS},
    }


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(request_log, "MOUNT", Path(folder)),
        mock.patch.object(log_queue, "BATCH_SECONDS", 0.05),
    ):
        result = asyncio.run(run(options.rounds, options.requests, options.tokens))
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
