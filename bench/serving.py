"""What the replica costs against plain `vllm serve`: tokens per second and time to first token, on this machine.

Both servers run at once and are loaded in turns, A B A B, so that the machine's moods hit both alike. The replica is the real one:
Ray head, Ray worker, Ray Serve's direct ingress, the front, vLLM in process. The last line of output is the result as JSON; a ratio
of 1.0 is "costs nothing". Run: `.venv/bin/python -m bench.serving` (about 15 minutes on 2
cores).
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from dev import model, serving_env
from tests.support.ray_runtime import RayRuntime, free_port, until

SERVED_NAME = "bench"
FLAGS: dict[str, Any] = {"max-model-len": 2048, "enforce-eager": True}
ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(os.cpu_count()),
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
PROMPT = "Write a long story about a lighthouse keeper and the sea."
_start_seconds = 420.0


@dataclass(frozen=True)
class Load:
    """One turn's result."""

    tokens_per_second: float
    ttft_seconds: float
    """Median over the turn's requests."""


async def one_request(session: aiohttp.ClientSession, url: str, tokens: int) -> float:
    """Stream one answer of exactly `tokens` tokens, and return its time to first token in seconds."""
    body = {
        "model": SERVED_NAME,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "temperature": 0,
    }
    started = time.perf_counter()
    first = 0.0
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if not first and line.startswith(b"data:"):
                first = time.perf_counter() - started
    return first


async def load(url: str, *, concurrency: int, requests: int, tokens: int) -> Load:
    """Keep `concurrency` requests under way until `requests` are answered."""
    slots = asyncio.Semaphore(concurrency)
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def send_limited() -> float:
            async with slots:
                return await one_request(session, url, tokens)

        started = time.perf_counter()
        firsts = await asyncio.gather(*(send_limited() for _ in range(requests)))
        seconds = time.perf_counter() - started
    return Load(requests * tokens / seconds, statistics.median(firsts))


def compare(
    replica: str, plain: str, *, concurrency: int, rounds: int, tokens: int
) -> dict[str, float]:
    """Return the medians of both and their ratio, after one warm-up turn each."""
    turns: dict[str, list[Load]] = {replica: [], plain: []}
    for number in range(rounds + 1):
        # why: alternating who goes first cancels a machine that slows down or speeds up.
        for url in (replica, plain) if number % 2 else (plain, replica):
            turn = asyncio.run(
                load(url, concurrency=concurrency, requests=max(4, concurrency), tokens=tokens)
            )
            if number:
                turns[url].append(turn)
    ratios = [
        ours.tokens_per_second / theirs.tokens_per_second
        for ours, theirs in zip(turns[replica], turns[plain], strict=True)
    ]
    ours, theirs = (
        statistics.median(turn.tokens_per_second for turn in turns[url]) for url in (replica, plain)
    )
    our_ttft, their_ttft = (
        statistics.median(turn.ttft_seconds for turn in turns[url]) for url in (replica, plain)
    )
    return {
        "replica_tokens_per_second": round(ours, 1),
        "plain_tokens_per_second": round(theirs, 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "replica_ttft_ms": round(our_ttft * 1000, 1),
        "plain_ttft_ms": round(their_ttft * 1000, 1),
        "ttft_difference_ms": round((our_ttft - their_ttft) * 1000, 1),
    }


@contextmanager
def plain_server(python: str, files: str, folder: Path, **more: str) -> Iterator[str]:
    """Run `vllm serve` with the replica's flags and `more`; yields its URL."""
    port = free_port(31500)
    given = (FLAGS | more).items()
    flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given]
    # why: `vllm serve` itself does not start from the package vllm-cpu (it asks for the version of `vllm`); this is what it runs.
    command = [python, "-m", "vllm.entrypoints.launchers.api_server.entry", "--model", files]
    command += ["--served-model-name", SERVED_NAME, "--port", str(port), "--host", "127.0.0.1"]
    with (folder / "plain.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *flags, "--disable-uvicorn-access-log"],
            env={**os.environ, **ENVIRONMENT},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until(
                lambda: _ready(port) or process.poll() is not None,
                seconds=_start_seconds,
                what="vllm serve",
            )
            if process.poll() is not None:
                raise RuntimeError((folder / "plain.log").read_text()[-3000:])
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


@contextmanager
def replica_server(python: str, files: str, folder: Path, **more: str) -> Iterator[str]:
    """Run a runtime's head, worker and one replica with `more` in its settings; yields the replica's URL."""
    runtime = RayRuntime(folder, python=python, environment=ENVIRONMENT)
    document = json.loads(Path("tests/data/serving/put.json").read_text())
    application = document["applications"][0]
    application["args"] |= {
        "servedName": SERVED_NAME,
        "modelPath": files,
        "engine": {"name": "vllm", "args": FLAGS},
        **more,
    }
    application["deployments"][0]["user_config"] = {"revisions": {}}
    try:
        runtime.start()
        runtime.put(document)
        until(runtime.replicas, seconds=_start_seconds, what="the replica")
        yield runtime.replica_url("")
    finally:
        runtime.stop()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004  # because 200 is HTTP's OK
    except OSError:
        return False


def main() -> None:
    """Measure and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, about 5 minutes")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, help="turns of each server, 6 by default")
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 6)
    python, files = str(serving_env.ensure() / "bin/python"), str(model.ensure())
    before = os.getloadavg()[0]
    result: dict[str, Any] = {"cores": os.cpu_count(), "model": model.NAME}
    result |= {"rounds": rounds, "tokens": options.tokens, "concurrency": {}}
    with (
        tempfile.TemporaryDirectory(prefix="llmd-bench-") as text,
        replica_server(python, files, Path(text)) as replica,
        plain_server(python, files, Path(text)) as plain,
    ):
        for concurrency in options.concurrency:
            found = compare(
                replica,
                plain,
                concurrency=concurrency,
                rounds=rounds,
                tokens=options.tokens,
            )
            result["concurrency"][str(concurrency)] = found
            print(concurrency, found, flush=True)
    # why: on 2 cores both servers alone make about 4; a run with much more measured somebody else's work.
    result["load_average"] = [round(load) for load in (before, os.getloadavg()[0])]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
