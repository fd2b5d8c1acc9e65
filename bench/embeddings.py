"""What the replica costs a model that embeds, against vLLM's own server with the same flags: texts per second, on this machine.

Both servers run at once and are asked in turns, A B A B, so that the machine's moods hit both alike. The replica is the real one: Ray
head, Ray worker, Ray Serve's direct ingress, the front, vLLM in process. Each request has `--texts` texts of about 30 words, none of
which was asked before: prefixes are cached. The model is the demo's, whose last layer is pooled (`spec.model.task: Embed`).

The last line of output is the result as JSON; a ratio of 1.0 is "costs nothing", and at least 0.95 is wanted at each concurrency. The
vectors of both servers are compared too: `cosine_distance` is the largest of a request. Run: `.venv/bin/python -m bench.embeddings`
(about 10 minutes on 2 cores).
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from bench import serving
from dev import model, serving_env

from llmdeployment_serving.vector_agreement import measure_cosine

PATH = "/v1/embeddings"
WORDS = [
    "lighthouse",
    "keeper",
    "weather",
    "ferry",
    "harbour",
    "timber",
    "island",
    "storm",
    "lamp",
    "anchor",
    "rope",
    "gull",
]
WORDS_PER_TEXT = 30


@dataclass(frozen=True)
class Turn:
    """One turn's result."""

    texts_per_second: float
    seconds: float
    """Median over the turn's requests."""


def make_bodies(texts: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield requests that have nothing in common.

    >>> one, other = itertools.islice(make_bodies(2), 2)
    >>> len(one["input"]), set(one["input"]) & set(other["input"])
    (2, set())
    """
    source = random.Random(seed)  # noqa: S311  # because it is no secret
    for number in itertools.count():
        inputs = [
            " ".join((f"{number} {place}", *source.choices(WORDS, k=WORDS_PER_TEXT)))
            for place in range(texts)
        ]
        yield {"model": serving.SERVED_NAME, "input": inputs}


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> float:
    """Return the seconds of one answer, which is read to its end."""
    started = time.perf_counter()
    async with session.post(url + PATH, json=body) as answer:
        answer.raise_for_status()
        await answer.read()
    return time.perf_counter() - started


async def load(url: str, bodies: list[dict[str, Any]], concurrency: int) -> Turn:
    """Keep `concurrency` requests under way until all are answered."""
    slots = asyncio.Semaphore(concurrency)
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def ask_limited(body: dict[str, Any]) -> float:
            async with slots:
                return await ask(session, url, body)

        started = time.perf_counter()
        found = await asyncio.gather(*map(ask_limited, bodies))
        seconds = time.perf_counter() - started
    texts = sum(len(body["input"]) for body in bodies)
    return Turn(texts / seconds, statistics.median(found))


def compare(
    replica: str, plain: str, bodies: Iterator[dict[str, Any]], *, concurrency: int, rounds: int
) -> dict[str, float]:
    """Return the medians of both and their ratio, after one warm-up turn each."""
    turns: dict[str, list[Turn]] = {replica: [], plain: []}
    count = max(16, 2 * concurrency)
    for number in range(rounds + 1):
        asked = list(itertools.islice(bodies, count))
        # why: alternating who goes first cancels a machine that slows down or speeds up.
        for url in (replica, plain) if number % 2 else (plain, replica):
            turn = asyncio.run(load(url, asked, concurrency))
            if number:
                turns[url].append(turn)
    return summarize(turns[replica], turns[plain])


def summarize(ours: list[Turn], theirs: list[Turn]) -> dict[str, float]:
    """Return the medians of both, and of the turns' ratios.

    >>> summarize([Turn(95.0, 0.2), Turn(99.0, 0.2)], [Turn(100.0, 0.1), Turn(100.0, 0.1)])["ratio"]
    0.97
    """
    pairs = zip(ours, theirs, strict=True)
    ratios = [one.texts_per_second / other.texts_per_second for one, other in pairs]
    found = {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
    for name, turns in (("replica", ours), ("plain", theirs)):
        found[f"{name}_texts_per_second"] = statistics.median(t.texts_per_second for t in turns)
        found[f"{name}_seconds"] = statistics.median(t.seconds for t in turns)
    return {name: round(value, 4) for name, value in found.items()}


async def measure_distance(replica: str, plain: str, body: dict[str, Any]) -> float:
    """Return the largest cosine distance between the two servers' vectors of a text."""
    answers = []
    async with aiohttp.ClientSession() as session:
        for url in (replica, plain):
            async with session.post(url + PATH, json=body) as answer:
                answers.append(await answer.json())
    ones, others = ([row["embedding"] for row in answer["data"]] for answer in answers)
    return max(1 - measure_cosine(*pair) for pair in zip(ones, others, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, about 5 minutes")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--texts", type=int, default=4, help="texts of a request")
    options = parser.parse_args()
    rounds = 3 if options.quick else 7
    python, files = str(serving_env.ensure() / "bin/python"), str(model.ensure())
    result: dict[str, Any] = {"cores": os.cpu_count(), "model": model.NAME, "rounds": rounds}
    result |= {"texts": options.texts, "load_average_before": round(os.getloadavg()[0], 1)}
    bodies = make_bodies(options.texts)
    with (
        tempfile.TemporaryDirectory(prefix="llmd-bench-") as text,
        serving.replica_server(python, files, Path(text), task="Embed") as replica,
        serving.plain_server(python, files, Path(text), runner="pooling", convert="embed") as plain,
    ):
        distance = asyncio.run(measure_distance(replica, plain, next(bodies)))
        result |= {"cosine_distance": round(distance, 6), "concurrency": {}}
        for concurrency in options.concurrency:
            found = compare(replica, plain, bodies, concurrency=concurrency, rounds=rounds)
            result["concurrency"][str(concurrency)] = found
            print(concurrency, found, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
