"""`engine: transformers` against `engine: vllm` and against `transformers serve`, with the demo's model on this machine's CPU.

All three serve at once and are loaded in turns, so that the machine's moods hit them alike; each starts while the others are idle.
The first two are this project's replica without Ray. The third is transformers' own server with continuous batching. The last line of
output is the result as JSON: seconds from the process's start to its first answer, time to first token and tokens per second at 1, 8
and 32 requests, and the ratios, each the median over the turns. Run: `.venv/bin/python -m bench.engines` (6 minutes at most).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.streams import Load, ask_one, compare_turns, median_load, run_load
from dev import model, serving_env
from tests.support.plain_replica import ENVIRONMENT
from tests.support.ray_runtime import free_port, until

SOURCES = Path(__file__).resolve().parent.parent / "serving" / "src"
QUESTION = "What is the capital of France?"
STORY = "Write a long story about a lighthouse keeper and the sea, part {number}."
REQUESTS = {1: 48, 8: 48, 32: 32}
"""Tokens of an answer, by how many are asked for at once."""
FLAGS: dict[str, Any] = {"max-model-len": 1024, "max-num-seqs": 32}
ACCELERATE = "accelerate==1.15.0"
"""`transformers serve` asks for it to place a model, and the serving image has no use for it."""
SLOW_SECONDS = 60.0
"""A server whose turn takes longer is not asked again: the others would wait for it."""
_start_seconds = 240.0


@dataclass
class Server:
    """One of the three.

    Attributes:
        start_seconds: from the process's start to its first answer.
        answer: what it says to `QUESTION`.
        turns: its results, by how many requests came at once.
        is_slow: whether a turn took more than `SLOW_SECONDS`.
    """

    url: str
    served: str
    start_seconds: float = 0.0
    answer: str = ""
    turns: dict[int, list[Load]] = field(default_factory=lambda: {count: [] for count in REQUESTS})
    is_slow: bool = False


@contextmanager
def run_server(
    command: list[str], served: str, environment: Mapping[str, str], log: Path
) -> Iterator[Server]:
    """Run a server, and yield it after its first answer."""
    port = free_port(31400)
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, f"--port={port}"],
            env={**ENVIRONMENT, "OMP_NUM_THREADS": str(os.cpu_count()), **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", served)

    def has_answered() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{log.name} ended: {log.read_text()[-2000:]}")
        try:
            ask_one(server.url, build_body(server, QUESTION, 2))
        except (OSError, RuntimeError):
            return False
        return True

    try:
        until(has_answered, seconds=_start_seconds, what=log.name)
        server.start_seconds = round(time.perf_counter() - started, 1)
        print(log.name, "answers after", server.start_seconds, "s", file=sys.stderr, flush=True)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)


def build_body(server: Server, prompt: str, tokens: int) -> dict[str, Any]:
    """Return a request that all three understand."""
    messages = [{"role": "user", "content": prompt}]
    return {
        "model": server.served,
        "messages": messages,
        "max_tokens": tokens,
        "temperature": 0,
    }


def build_replica_command(python: str, files: str, engine: str) -> list[str]:
    """Return the command of this project's replica with an engine."""
    config = {"servedName": "bench", "modelPath": files, "engine": {"name": engine, "args": FLAGS}}
    command = [python, "-m", "llmdeployment_serving.main", "serve", "--config", json.dumps(config)]
    # The self-test is no part of what is compared: transformers' own server has none.
    return [*command, "--user-config", json.dumps({"selfTest": {"enabled": False}})]


def install_accelerate(folder: Path) -> Path:
    """Return a folder with what `transformers serve` lacks in the serving environment."""
    target = folder / "packages"
    command = [serving_env.ensure_uv(), "pip", "install", "--quiet", "--no-deps"]
    command += ["--python", serving_env.INTERPRETER, "--target", str(target), ACCELERATE]
    subprocess.run(command, check=True)
    return target


def load_in_turns(servers: Mapping[str, Server], rounds: int, until_time: float) -> int:
    """Load all servers, each alone, round after round while there is time; return the rounds."""
    number = 0
    for number in range(1, rounds + 1):
        order = list(servers) if number % 2 else list(reversed(servers))
        for count, tokens in REQUESTS.items():
            for name in order:
                server = servers[name]
                if server.is_slow:
                    continue
                # Prompts differ early, so that no request finds another one's prefix.
                prompts = [f"{number}.{part}: {STORY.format(number=part)}" for part in range(count)]
                began = time.monotonic()
                turn = run_load(server.url, [build_body(server, p, tokens) for p in prompts])
                server.turns[count].append(turn)
                server.is_slow = time.monotonic() - began > SLOW_SECONDS
                speed = f"{turn.tokens_per_second:.1f} tokens/s, TTFT {turn.ttft_seconds:.2f} s"
                print(f"round {number}, {count} at once: {name} {speed}", file=sys.stderr)
        if time.monotonic() > until_time:
            break
    return number


def read_answer(server: Server) -> str:
    """Return what a server says to `QUESTION`."""
    body = json.dumps(build_body(server, QUESTION, 24)).encode()
    kind = {"content-type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", body, kind)  # noqa: S310  # because it is http
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # because it is http
        return str(json.load(answer)["choices"][0]["message"]["content"])


def summarize(servers: Mapping[str, Server], rounds: int) -> dict[str, Any]:
    """Return the result as JSON."""
    ours = servers["transformers"]
    return {
        "cores": os.cpu_count(),
        "model": model.NAME,
        "rounds": rounds,
        "load_average": round(os.getloadavg()[0], 1),
        "engines": {
            name: {
                "start_seconds": server.start_seconds,
                "answer": server.answer,
                "given_up": server.is_slow,
                "concurrency": {
                    str(count): median_load(turns) for count, turns in server.turns.items() if turns
                },
            }
            for name, server in servers.items()
        },
        "ratios": {
            f"transformers/{name}": {
                str(count): compare_turns(ours.turns[count][: len(theirs)], theirs)
                for count, theirs in server.turns.items()
                if theirs and len(ours.turns[count]) >= len(theirs)
            }
            for name, server in servers.items()
            if server is not ours
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="turns of each server, at most")
    parser.add_argument("--seconds", type=float, default=240, help="no new round after so many")
    parser.add_argument(
        "--engines",
        nargs="+",
        default=["transformers", "transformers-serve", "vllm"],
        help="which of the three; the first one cannot be left out",
    )
    options = parser.parse_args()
    begun = time.monotonic()
    files, environment = str(model.ensure()), serving_env.ensure()
    python = str(environment / "bin/python")
    ours = {"PYTHONPATH": str(SOURCES)}
    with tempfile.TemporaryDirectory(prefix="llmd-engines-") as text, ExitStack() as stack:
        folder = Path(text)
        packages = install_accelerate(folder)
        plain = [python, str(environment / "bin/transformers"), "serve", files]
        plain += ["--continuous-batching", "--device=cpu", "--attn-implementation=sdpa"]
        # As many tokens as the replica: it would measure the machine's whole memory.
        plain += ["--cb-max-batch-tokens=512", "--cb-num-blocks=180", "--host=127.0.0.1"]
        wanted = {
            "transformers": (build_replica_command(python, files, "transformers"), "bench", ours),
            "transformers-serve": (plain, files, {"PYTHONPATH": str(packages)}),
            "vllm": (build_replica_command(python, files, "vllm"), "bench", ours),
        }
        servers = {
            name: stack.enter_context(run_server(command, served, env, folder / f"{name}.log"))
            for name, (command, served, env) in wanted.items()
            if name in options.engines
        }
        for server in servers.values():
            server.answer = read_answer(server)
        rounds = load_in_turns(servers, options.rounds, begun + options.seconds)
        print(json.dumps(summarize(servers, rounds)))


if __name__ == "__main__":
    main()
