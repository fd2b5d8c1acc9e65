"""Measures what a shadow costs live requests: their latency with 20 % of them asked again and with none, and what a full replica asks.

The stable replica (`ReplicaApp` with the simulated engine) and its clients run in this process, so that whatever holds up its event loop
shows in the latency; the canary's replica is another process and is reached by HTTP. Blocks with and without the shadow alternate. Both
have the same requests at the same times, so that the ratio of a percentile is one of like with like. The engine slows down by 5 % for a
second sequence beside a first one (100 and 2,000 tokens/s), which is more than most GPUs do.

Run: `python -m bench.shadow > shadow.json`, 2 minutes.
"""

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean, median
from subprocess import DEVNULL, Popen
from typing import Any

import aiohttp

from llmdeployment_serving.api_paths import CHAT_PATH
from llmdeployment_serving.asgi import FEW_REQUESTS, ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine import Message
from llmdeployment_serving.engine_simulated import start_simulated

PERCENT = 20
MAX_TOKENS = 64
RATE = 6.0
"""Live requests a second: about 3 at once."""
LENGTHS = range(8, 65)
"""Tokens of a live answer, at random."""
PER_BLOCK = 24
FULL_CLIENTS = 3 * FEW_REQUESTS
FULL_SECONDS = 6.0
CONFIG = {"servedName": "chat", "engine": {"name": "simulated"}}


@contextmanager
def run_canary() -> Iterator[str]:
    """Run a replica in a process of its own; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve", f"--port={port}"]
    command += [f"--config={json.dumps(CONFIG)}", '--user-config={"revisions": {"2": {}}}']
    process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def wait_for(url: str) -> None:
    """Return when a replica answers."""
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            try:
                async with session.get(f"{url}/health"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)  # why: nothing announces an open port
    raise TimeoutError(url)


async def ask(replica: ReplicaApp, number: int, tokens: int) -> tuple[float, float]:
    """Return the seconds to the first chunk and to the last of a streamed answer."""
    question = f"Question {number}: what do the keepers of lighthouses write down, and why?"
    body = {
        "stream": True,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": question}],
    }
    raw, first = json.dumps(body).encode(), 0.0
    asked = False
    began = time.perf_counter()

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal first
        if message.get("body") and not first:
            first = time.perf_counter() - began

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": CHAT_PATH,
        "raw_path": CHAT_PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"x-llm-revision", b"1"), (b"content-type", b"application/json")],
        "client": ("bench", 1),
        "server": ("bench", 80),
    }
    await replica(scope, receive, send)
    return first, time.perf_counter() - began


def cast(replica: ReplicaApp, url: str, percent: int) -> None:
    """Let a replica shadow so many of its requests."""
    shadow = {"stable": "1", "revision": "2", "url": url, "percent": percent}
    rows = [{**shadow, "maxTokens": MAX_TOKENS, "seconds": 3600}] if percent else []
    replica.take(parse(UserConfig, {"revisions": {"1": {}, "2": {}}, "shadows": rows}))


def count(replica: ReplicaApp) -> dict[str, int]:
    """Return what a replica counts of its shadow."""
    (row,) = replica.stats()["shadows"]
    return {key: row[key] for key in ("compared", "failed", "skipped", "identical")}


async def run_block(replica: ReplicaApp, block: int) -> list[tuple[float, float]]:
    """Return the times of one block's requests, which come at random."""
    rng = random.Random(block)  # noqa: S311  # because it is no secret
    tasks = []
    for number in range(PER_BLOCK):
        tokens = rng.choice(LENGTHS)
        tasks.append(asyncio.create_task(ask(replica, PER_BLOCK * block + number, tokens)))
        await asyncio.sleep(rng.expovariate(RATE))  # why: the time between two requests
    return list(await asyncio.gather(*tasks))


async def compare_latency(replica: ReplicaApp, url: str, blocks: int) -> dict[str, Any]:
    """Return the latency of live requests with a shadow over that without one."""
    seconds: dict[int, list[tuple[float, float]]] = {0: [], PERCENT: []}
    counted = dict.fromkeys(("compared", "failed", "skipped", "identical"), 0)
    for block in range(blocks):
        for percent in (0, PERCENT) if block % 2 else (PERCENT, 0):
            cast(replica, url, percent)
            seconds[percent] += await run_block(replica, block)
            if percent:
                counted = {key: counted[key] + found for key, found in count(replica).items()}
            cast(replica, url, 0)
            await asyncio.sleep(1.0)  # why: what is under way of the shadow ends
    found: dict[str, Any] = {"requests": len(seconds[0]), "shadow": counted}
    for place, name in enumerate(("firstChunk", "lastChunk")):
        plain, shadowed = ([each[place] for each in seconds[p]] for p in (0, PERCENT))
        found[name] = {
            "p50Seconds": round(median(plain), 4),
            "p99Seconds": round(find_quantile(plain, 0.99), 4),
            "p50Ratio": round(median(shadowed) / median(plain), 4),
            "p99Ratio": round(find_quantile(shadowed, 0.99) / find_quantile(plain, 0.99), 4),
            "meanRatioOfPairs": round(mean(s / p for s, p in zip(shadowed, plain, strict=True)), 4),
        }
    return found


def find_quantile(values: list[float], share: float) -> float:
    """Return the smallest value that this share of the values is not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def fill(replica: ReplicaApp, url: str) -> dict[str, Any]:
    """Return what a replica asks again that has more to do than it may have for a shadow."""
    cast(replica, url, 100)
    ends, answered = time.monotonic() + FULL_SECONDS, 0

    async def keep_asking(client: int) -> None:
        nonlocal answered
        while time.monotonic() < ends:
            await ask(replica, client, max(LENGTHS))
            answered += 1

    clients = [asyncio.create_task(keep_asking(client)) for client in range(FULL_CLIENTS)]
    await asyncio.sleep(FULL_SECONDS - 0.5)  # why: until shortly before the load ends
    found = {"clients": FULL_CLIENTS, "answered": answered, "shadow": count(replica)}
    cast(replica, url, 0)
    await asyncio.gather(*clients)
    return found


async def main(blocks: int) -> dict[str, Any]:
    """Return all figures."""
    with run_canary() as url:
        await wait_for(url)
        config = parse(ServingConfig, CONFIG)
        engine = await start_simulated(config)
        replica = ReplicaApp(config, engine, await engine.build_app())
        cast(replica, url, 0)
        await run_block(replica, -1)
        latency = await compare_latency(replica, url, blocks)
        full = await fill(replica, url)
        engine.shutdown()
    return {"percent": PERCENT, "maxTokens": MAX_TOKENS, "latency": latency, "full": full}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=8)
    json.dump(asyncio.run(main(parser.parse_args().blocks)), sys.stdout, indent=2)
    print()
