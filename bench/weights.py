"""How often bytes cross the network, and how long a start takes, with the cache of models and without it.

A hub on this machine counts what it sends. `huggingface_hub`, the container's command and the kernel's locks are the real ones. The last
line of output is the result as JSON; each ratio is taken within this run:

    three_replicas.sent        bytes that three processes that start at once cost, over the size of the model (goal: 1)
    three_replicas.peer_sent   the same without a cache
    kill.twice                 bytes sent twice when the first of two processes is killed in the middle, over the size (goal: <= 0.05)
    start.ratio                seconds until a replica answers whose model is in the cache, over those with file:// (goal: <= 1.2)

The start takes vLLM and SmolLM2 (`python3 -m dev.model`); without them it is null.
Run: `.venv/bin/python -m bench.weights` (about 4 minutes on 2 cores), or `--mebibytes 16 --starts 0` (10 s).
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from dev import model, serving_env
from tests.support.hub import COMMIT, Hub
from tests.support.plain_replica import build_vllm_config, run_plain

MEBIBYTE = 2**20
SOURCE = f"hf://acme/tiny@{COMMIT}"
_killed_at = 0.4
_patience_seconds = 600.0


def make_model(mebibytes: int) -> dict[str, bytes]:
    """Return a model of two large files and two small ones. What is in them does not matter, as long as it is not twice the same."""
    half = mebibytes * MEBIBYTE // 2
    return {
        "config.json": b"{}",
        "tokenizer.json": b"[]",
        "model-1.safetensors": os.urandom(half),
        "model-2.safetensors": os.urandom(half),
    }


def start_fetch(hub: Hub, folder: Path, cache: Path | None) -> subprocess.Popen[bytes]:
    """Start what the init container of a pod runs."""
    given = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home")}
    given |= {"LLMD_POD_UID": folder.name}
    if cache is not None:
        given["LLMD_MODEL_CACHE"] = str(cache)
    command = [sys.executable, "-m", "llmdeployment_serving.main", "fetch-model"]
    return subprocess.Popen(
        [*command, "--source", SOURCE, "--to", str(folder / "model")], env=given
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a fetch that must succeed."""
    if process.wait(_patience_seconds):
        raise SystemExit(f"fetch-model ended with {process.returncode}")


@contextmanager
def make_folder() -> Iterator[Path]:
    """Yield a folder for one measurement."""
    folder = Path(tempfile.mkdtemp(prefix="bench-weights-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def measure_three(files: dict[str, bytes], *, with_cache: bool) -> dict[str, Any]:
    """Return what three replicas that start at once cost."""
    size = sum(map(len, files.values()))
    with make_folder() as root, Hub(files) as hub:
        cache = root / "cache" if with_cache else None
        began = time.monotonic()
        pods = []
        for number in range(3):
            folder = root / f"pod-{number}"
            folder.mkdir()
            pods.append(start_fetch(hub, folder, cache))
        for pod in pods:
            finish(pod)
        return {
            "sent": round(hub.sent.bytes / size, 4),
            "seconds": round(time.monotonic() - began, 2),
        }


def measure_kill(files: dict[str, bytes]) -> dict[str, Any]:
    """Return what is sent twice when a fetch is killed at some moment in the middle, with data in flight."""
    size = sum(map(len, files.values()))
    keys = [f"sha256-{hashlib.sha256(data).hexdigest()}" for data in files.values()]
    with make_folder() as root, Hub(files) as hub:
        cache, folder = root / "cache", root / "pod"
        folder.mkdir()
        first = start_fetch(hub, folder, cache)
        deadline = time.monotonic() + _patience_seconds
        while _count(cache, keys) < _killed_at * size:
            if time.monotonic() > deadline or first.poll() is not None:
                raise SystemExit(
                    "the fetch was over before it could be killed: take a larger model"
                )
            time.sleep(0.001)  # why: another process writes
        first.kill()
        first.wait()
        held = _count(cache, keys)
        finish(start_fetch(hub, folder, cache))
        return {
            "held": round(held / size, 4),
            "twice": round((hub.sent.bytes - size) / size, 4),
        }


def _count(cache: Path, keys: list[str]) -> int:
    paths = [cache / folder / key for folder in ("partial", "blobs") for key in keys]
    return sum(path.stat().st_size for path in paths if path.exists())


def measure_start(starts: int) -> dict[str, Any] | None:
    """Return the seconds until a replica of SmolLM2 answers: from the cache, and from the same files in a folder, in turns."""
    files, environment = model.find_ready(), serving_env.refresh()
    if not starts or files is None or environment is None:
        return None
    python = str(environment / "bin/python")
    content = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    cached, plain, fetches = [], [], []
    with make_folder() as root, Hub(content) as hub:
        for number in range(starts + 1):
            folder = root / f"pod-{number}"
            folder.mkdir()
            began = time.monotonic()
            finish(start_fetch(hub, folder, root / "cache"))
            fetched = time.monotonic() - began
            if number == 0:
                continue  # This one downloads.
            fetches.append(fetched)
            cached.append(fetched + _time_start(python, folder / "model"))
            plain.append(_time_start(python, files))
    return {
        "cached_seconds": [round(each, 2) for each in cached],
        "file_seconds": [round(each, 2) for each in plain],
        "fetch_seconds": [round(each, 2) for each in fetches],
        "ratio": round(median(cached) / median(plain), 3),
    }


def _time_start(python: str, files: Path) -> float:
    began = time.monotonic()
    with run_plain(python, build_vllm_config(files)):
        return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of the model")
    parser.add_argument("--starts", type=int, default=3, help="starts of vLLM of each kind")
    options = parser.parse_args()
    files = make_model(options.mebibytes)
    with_cache = measure_three(files, with_cache=True)
    without = measure_three(files, with_cache=False)
    result = {
        "mebibytes": options.mebibytes,
        "three_replicas": {
            **with_cache,
            "peer_sent": without["sent"],
            "peer_seconds": without["seconds"],
        },
        "kill": measure_kill(files),
        "start": measure_start(options.starts),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
