"""`bench.profile_engine` over real HTTP. How near it comes is told in tests/unit/bench, where no other load spoils the clock."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from tests.support.ports import free_port

from llmdeployment_operator.simulation.profile import read_profile
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.start import start_engine

pytestmark = pytest.mark.component


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A replica with the simulated engine."""
    args = {"decode-tokens-per-second": 200, "batch-tokens-per-second": 4_000}
    config = parse(
        ServingConfig, {"servedName": "chat", "engine": {"name": "simulated", "args": args}}
    )
    engine = await start_engine(config)
    front = ReplicaApp(config, engine, await engine.build_app())
    front.user_config = parse(UserConfig, {"revisions": {"1": {}}})
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(front, "127.0.0.1", port, log_config=None, lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    await serving
    engine.shutdown()


async def profiler(*words: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.profile_engine",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_an_endpoint_is_profiled(url: str, tmp_path: Path) -> None:
    plan = ("--concurrency", "1", "4", "--rounds", "2", "--requests", "20", "--tokens", "20")
    code, out, err = await profiler("--url", url, "--model", "chat", *plan, "--max-num-seqs", "9")
    (tmp_path / "profile.json").write_text(out, encoding="utf-8")

    assert (code, err) == (0, "")
    profile = read_profile(tmp_path / "profile.json")
    assert profile.max_num_seqs == 9
    # The simulated engine is never faster than it says, and this is the rate of what was seen.
    assert 0 < profile.decode_tokens_per_second < 250


@pytest.mark.parametrize("model", ["other"])
async def test_what_the_endpoint_refuses_is_said(url: str, model: str) -> None:
    code, out, err = await profiler("--url", url, "--model", model)

    assert (code, out) == (1, "")
    assert err.startswith(f"profile_engine: {url}: it answered 404: ")


async def test_an_endpoint_that_is_not_there(url: str) -> None:
    gone = url.replace("127.0.0.1", "127.0.0.2")
    code, out, err = await profiler("--url", gone, "--model", "chat")

    assert (code, out) == (1, "")
    assert err.startswith(f"profile_engine: {gone}: Cannot connect to host")
