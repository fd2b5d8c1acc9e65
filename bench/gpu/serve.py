"""The serving package with `engine: transformers` on a GPU, against plain continuous batching of transformers, and vLLM if it is there.

For a machine with an NVIDIA GPU, PyTorch and transformers, and without a network: models and tokenizer are made on the spot, Llama-shaped
with 1 B and 8 B parameters and random weights. All servers of a model hold their part of the GPU at once and are loaded in turns, so
that the card's clocks hit them alike. Progress is on stderr. The last line of output is the result as JSON: the card's name, time to
first token and tokens per second at 1, 8 and 64 requests, and the ratios, each the median over the turns.

Run: `python bench/gpu/serve.py` (8 minutes at most). `--cpu` takes a tiny model and this machine's CPU. The packages of the serving
package that such a machine may lack come from a folder: `python bench/gpu/serve.py --collect .build/gpu-packages` fills it where there is a
network, and `--packages .build/gpu-packages` uses it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "bench" / "gpu")]

from bench.streams import Load, compare_turns, median_load, run_load  # noqa: E402  # because a script brings its own path
from random_llama import SHAPES, Shape, count_parameters, write_model  # noqa: E402  # because a script brings its own path

FRONT = (
    *("aiohttp", "fastapi", "google-re2", "orjson", "prometheus-client"),
    *("pydantic", "python-json-logger", "typing-extensions", "uvicorn"),
)
"""What the serving package imports without Ray, besides PyTorch and transformers."""
MODULES = ("aiohttp", "fastapi", "re2", "orjson", "prometheus_client", "pydantic", "uvicorn")
PROMPT_WORDS = 128
_bytes_per_parameter = 2
_room = 3.5
"""How many times the weights a GPU must hold: twice or three times themselves, and KV caches."""
_start_seconds = 240.0


@dataclass
class Server:
    """One of those that are compared, and its results by how many requests came at once."""

    url: str
    start_seconds: float = 0.0
    turns: dict[int, list[Load]] = field(default_factory=dict)


def main() -> int:
    """Measure and print."""
    options = build_parser().parse_args()
    if options.collect:
        return collect(options.collect)
    if options.packages:
        sys.path.append(str(options.packages.resolve()))
    if missing := [name for name in (*MODULES, "torch", "transformers") if find_spec(name) is None]:
        print(f"cannot run without {', '.join(missing)}: see --collect", file=sys.stderr)
        return 1
    import torch  # noqa: PLC0415  # because its absence is told in one sentence
    import transformers  # noqa: PLC0415  # because its absence is told in one sentence

    if not options.cpu and not torch.cuda.is_available():
        print("PyTorch sees no GPU here: use --cpu for a small run without one", file=sys.stderr)
        return 1
    result = {
        "card": "none (CPU)" if options.cpu else torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "vllm": "compared" if has_vllm(cpu=options.cpu) else "not here, so it is not compared",
        "models": {},
    }
    print("card:", result["card"], file=sys.stderr, flush=True)
    deadline = time.monotonic() + options.seconds
    for shape in SHAPES["cpu" if options.cpu else "gpu"]:
        result["models"][shape.name] = measure_model(shape, options, deadline)
        print(shape.name, json.dumps(result["models"][shape.name]), file=sys.stderr, flush=True)
    print(json.dumps(result))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--seconds", type=float, default=420, help="no new turn after so many")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server, at most")
    parser.add_argument("--packages", type=Path, help="folder with packages that are missing here")
    parser.add_argument("--collect", type=Path, help="fill such a folder, and end")
    return parser


def collect(folder: Path) -> int:
    """Install the front's packages into a folder, in the versions of the serving image."""
    pins = REPOSITORY / "requirements" / "serving-simulated.txt"
    lines = [line.split(" ")[0] for line in pins.read_text().splitlines() if "==" in line]
    pinned = [line for line in lines if not line.startswith("#")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(pinned))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        command += ["--target", str(folder), "--constraint", constraints.name, *FRONT]
        return subprocess.run(command, check=False).returncode


def has_vllm(*, cpu: bool) -> bool:
    """Say whether vLLM is compared: a CPU's takes minutes to start, and `bench.engines` has it."""
    return not cpu and find_spec("vllm") is not None


def measure_model(shape: Shape, options: argparse.Namespace, deadline: float) -> dict[str, Any]:
    """Return the result of one model, or a sentence why there is none."""
    parameters = count_parameters(shape)
    if time.monotonic() > deadline:
        return {"skipped": f"there was no time left of {options.seconds:g} s"}
    if not options.cpu and (why := explain_room(parameters)):
        return {"skipped": why}
    with tempfile.TemporaryDirectory(prefix="llmd-gpu-") as text, ExitStack() as stack:
        folder = Path(text)
        started = time.monotonic()
        write_model(shape, folder / "model", "cpu" if options.cpu else "cuda")
        print(f"{shape.name}: written in {time.monotonic() - started:.0f} s", file=sys.stderr)
        servers = {
            name: stack.enter_context(run_server(name, command, folder, options))
            for name, command in build_commands(shape, folder / "model", cpu=options.cpu).items()
        }
        rounds = load_in_turns(servers, shape, options.rounds, deadline)
    ours = servers["replica"]
    return {
        "parameters": parameters,
        "rounds": rounds,
        "start_seconds": {name: server.start_seconds for name, server in servers.items()},
        "concurrency": {
            str(count): {name: median_load(server.turns[count]) for name, server in servers.items()}
            for count in ours.turns
        },
        "ratios": {
            f"replica/{name}": {
                str(count): compare_turns(ours.turns[count], server.turns[count])
                for count in ours.turns
            }
            for name, server in servers.items()
            if server is not ours
        },
    }


def explain_room(parameters: int) -> str | None:
    """Return why a model is not measured on this GPU, or None."""
    import torch  # noqa: PLC0415  # because its absence is told in one sentence

    free, _ = torch.cuda.mem_get_info()
    needed = int(parameters * _bytes_per_parameter * _room)
    if free >= needed:
        return None
    return f"the servers need {needed >> 30} GiB, and the GPU has {free >> 30} GiB free"


def build_commands(shape: Shape, files: Path, *, cpu: bool) -> dict[str, list[str]]:
    """Return the commands of the servers, each without its port."""
    flags = {"max-model-len": shape.context, "max-num-seqs": max(shape.loads)}
    # Of the memory that is free when each starts.
    shared: dict[str, Any] = {} if cpu else {"gpu-memory-utilization": 0.3}
    if cpu:
        shared = {"kv-cache-memory-bytes": 2**26, "dtype": "float32"}
    commands = {
        "replica": build_replica("transformers", files, {**flags, **shared}),
        "plain": [sys.executable, str(REPOSITORY / "bench/gpu/plain_batching.py"), str(files)],
    }
    if has_vllm(cpu=cpu):
        commands["vllm"] = build_replica("vllm", files, {**flags, **shared})
    return commands


def build_replica(engine: str, files: Path, flags: Mapping[str, Any]) -> list[str]:
    """Return the command of a replica without Ray."""
    config = {
        "servedName": "bench",
        "modelPath": str(files),
        "engine": {"name": engine, "args": dict(flags)},
    }
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve"]
    # Random weights know no text, so there is nothing to test.
    settings = json.dumps({"selfTest": {"enabled": False}})
    return [*command, "--config", json.dumps(config), "--user-config", settings]


@contextmanager
def run_server(
    name: str, command: Sequence[str], folder: Path, options: argparse.Namespace
) -> Iterator[Server]:
    """Run a server, and yield it when it is ready."""
    port = find_port()
    log = folder / f"{name}.log"
    paths = [str(REPOSITORY / "serving" / "src"), str(REPOSITORY)]
    paths += [str(options.packages.resolve())] if options.packages else []
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
        "HF_HUB_OFFLINE": "1",
        **({"CUDA_VISIBLE_DEVICES": ""} if options.cpu else {}),
    }
    server = Server(f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        while not is_ready(server.url):
            if process.poll() is not None or time.monotonic() - started > _start_seconds:
                raise RuntimeError(f"{name} does not answer: {log.read_text()[-3000:]}")
            time.sleep(0.2)
        server.start_seconds = round(time.monotonic() - started, 1)
        print(f"{name}: ready after {server.start_seconds} s", file=sys.stderr, flush=True)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_port() -> int:
    """Return a port that is free now."""
    import socket  # noqa: PLC0415  # because it is needed once

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ready(url: str) -> bool:
    """Say whether a server's `/health` is 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310  # because it is http
            return bool(answer.status == 200)  # noqa: PLR2004  # because 200 is HTTP's OK
    except (OSError, urllib.error.URLError):
        return False


def load_in_turns(servers: Mapping[str, Server], shape: Shape, rounds: int, deadline: float) -> int:
    """Load all servers, each alone, round after round while there is time; return the rounds.

    One turn before the first makes kernels and caches ready.
    """
    for server in servers.values():
        run_load(server.url, build_bodies(shape, 2, "warm"))
    number = 0
    for number in range(1, rounds + 1):
        order = list(servers) if number % 2 else list(reversed(servers))
        for count in shape.loads:
            for name in order:
                turn = run_load(servers[name].url, build_bodies(shape, count, str(number)))
                servers[name].turns.setdefault(count, []).append(turn)
                print(f"{shape.name} {count} {name}: {turn}", file=sys.stderr, flush=True)
        if time.monotonic() > deadline:
            break
    return number


def build_bodies(shape: Shape, count: int, mark: str) -> list[dict[str, Any]]:
    """Return chats of `PROMPT_WORDS` tokens that differ from the first one on."""
    words = min(PROMPT_WORDS, shape.context // 4)
    starts = (abs(hash_text(f"{mark} {part}")) for part in range(count))
    prompts = (
        " ".join(f"w{(start + place) % (shape.vocabulary - 8) + 4}" for place in range(words))
        for start in starts
    )
    return [
        {
            "model": "bench",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": shape.tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }
        for prompt in prompts
    ]


def hash_text(text: str) -> int:
    """Return a number for a text that is the same in every process.

    >>> hash_text("ab")
    24930
    """
    return int.from_bytes(text.encode()[-6:], "big")


if __name__ == "__main__":
    sys.exit(main())
