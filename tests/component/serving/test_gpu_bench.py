"""`bench/gpu/serve.py --cpu`: the program for a machine with a GPU, with a tiny model and without one."""

import json
import subprocess

import pytest
from dev import serving_env

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]


def test_it_compares_the_replica_with_plain_batching() -> None:
    python = serving_env.locate() / "bin/python"
    if not python.exists():
        pytest.skip(reason="no vLLM in the cache: `python3 -m dev.model` makes it")
    command = [str(python), "bench/gpu/serve.py", "--cpu", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["card"] == "none (CPU)"
    assert "card: none (CPU)" in done.stderr
    tiny = result["models"]["tiny"]
    assert set(tiny["start_seconds"]) == {"replica", "plain"}
    assert set(tiny["ratios"]["replica/plain"]) == {"1", "4"}
    for servers in tiny["concurrency"].values():
        for load in servers.values():
            assert load["tokens_per_second"] > 0
            assert load["ttft_ms"] > 0
