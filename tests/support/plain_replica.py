"""A replica without Ray in a process of its own: `llmdeployment-serving serve`, for tests and measurements."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3
from tests.support.ray_runtime import free_port, until

ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    # Like the image for CPUs, this has no C++ compiler.
    "CXX": "no-compiler",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}
FLAGS: Mapping[str, Any] = {"max-model-len": 1024, "max-num-seqs": 4, "enforce-eager": True}
_start_seconds = 420.0


class StartError(Exception):
    """The process ended before it answered; the text is what it wrote."""


def build_vllm_config(files: Path, flags: Mapping[str, Any] = FLAGS) -> dict[str, Any]:
    """Returns a ServingConfig for a model's files."""
    return {
        "servedName": "chat",
        "modelPath": str(files),
        "engine": {"name": "vllm", "args": dict(flags)},
    }


@contextmanager
def run_plain(
    python: str,
    config: Mapping[str, Any],
    user_config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yields the URL of a replica that answers, and ends it.

    Raises:
        StartError: it ended by itself.
    """
    port = free_port(31100)
    command = [python, "-m", "llmdeployment_serving.main", "serve", "--port", str(port)]
    command += ["--config", json.dumps(config), "--user-config", json.dumps(user_config or {})]
    given = {**ENVIRONMENT, **(environment or {})}
    process = subprocess.Popen(
        command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        answers = lambda: process.poll() is not None or read_stats(url)  # noqa: E731  # because it is used once
        until(answers, seconds=_start_seconds, what="a replica's answer")
        if process.poll() is not None:
            assert process.stderr is not None
            raise StartError(process.stderr.read()[-2000:])
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)


def read_stats(url: str) -> dict[str, Any]:
    """Returns `/stats`, or nothing while nobody answers."""
    with suppress(urllib3.exceptions.HTTPError):
        return dict(urllib3.request("GET", f"{url}/stats", timeout=5, retries=False).json())
    return {}
