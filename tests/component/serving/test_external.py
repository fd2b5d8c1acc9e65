"""`llmdeployment-serving external` as a process, between an HTTP client and a stand-in of an API on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import pytest
from tests.support.ports import free_port
from tests.support.upstream import Upstream, upstream

from llmdeployment_serving.drain import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

pytestmark = pytest.mark.component

KEY = "sk-stand-in-0123456789"
EXTERNAL = (
    '{"servedName": "chat", "engine": {"name": "external", '
    '"external": {"model": "m", "baseURL": "%s"}}}'
)
PROMPT = {"system": "Be brief.", "defaults": {"temperature": 0.5}}


@dataclass
class Replica:
    """The process, its client, and what it wrote."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: aiohttp.ClientSession
    metrics_port: int

    def ask(self, path: str = "/v1/chat/completions", **body: Any) -> Any:
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], **body}
        headers = {"x-llm-revision": "3", "authorization": "Bearer of-the-gateway", "x-user": "ann"}
        return self.client.post(path, json=body, headers=headers)

    async def healthy(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            async with self.client.get("/-/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def stats(self) -> dict[str, Any]:
        async with self.client.get("/stats") as answer:
            return dict(await answer.json())

    async def read_metrics(self) -> str | None:
        try:
            async with self.client.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
                return await answer.text()
        except aiohttp.ClientConnectionError:
            return None

    async def counted(self) -> dict[str, Any]:
        """Return revision 3's part of `/stats` once no request is under way."""

        async def idle() -> dict[str, Any] | None:
            stats = await self.stats()
            return None if stats["inFlight"] or stats["running"] else stats

        return dict((await eventually(idle, "an idle replica"))["revisions"]["3"])


async def eventually(ask: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Return the first true answer, as `tests.support.until` does, in the loop that the stand-in lives in."""
    deadline = time.monotonic() + 30
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        await asyncio.sleep(0.02)  # why: the interval of a wait with a deadline
    return answer


@contextmanager
def process(
    config: dict[str, Any], key: str, port: int, log: Path, metrics_port: int | None = None
) -> Iterator[Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "LLMD_SERVING_CONFIG": json.dumps(config),
        "LLMD_EXTERNAL_API_KEY": key,
        "LLMD_NAMESPACE": "team",
        "LLMD_NAME": "shop",
        "LLMD_METRICS_PORT": str(metrics_port or free_port()),
        "LLMD_MONITORING": str(log.parent / "monitoring.json"),
    }
    command = [sys.executable, "-m", "llmdeployment_serving.main", "external"]
    with log.open("wb") as out:
        started = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait(10)


@asynccontextmanager
async def replica(url: str, folder: Path, **external: Any) -> AsyncIterator[Replica]:
    api = {"baseURL": url, "model": "big-model", "timeoutSeconds": 60, "prompt": PROMPT, **external}
    config = {"servedName": "chat", "engine": {"name": "external", "external": api}}
    port, metrics_port, log = free_port(), free_port(), folder / "log"
    base = f"http://127.0.0.1:{port}"
    with process(config, KEY, port, log, metrics_port) as started:
        async with aiohttp.ClientSession(base) as client:
            made = Replica(started, port, log, client, metrics_port)
            await eventually(made.healthy, "a replica that is alive")
            yield made
    assert KEY not in log.read_text()


@pytest.fixture
async def api() -> AsyncIterator[Upstream]:
    async with upstream() as made:
        yield made


@pytest.fixture
async def proxy(api: Upstream, tmp_path: Path) -> AsyncIterator[Replica]:
    async with replica(api.url, tmp_path) as made:
        yield made


async def test_a_request_goes_there_with_the_prompt_and_without_the_clients_headers(
    api: Upstream, proxy: Replica
) -> None:
    async with proxy.ask(max_tokens=5) as answer:
        assert answer.status == 200
        assert answer.headers["x-llm-revision"] == "3"
        assert "set-cookie" not in answer.headers
        document = await answer.json()
    assert document["choices"][0]["message"]["content"] == "I am a stand-in without a model"
    assert (await proxy.counted())["outputTokens"]["sum"] == 7
    ((headers, body),) = api.asked
    assert body == {
        "model": "big-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 5,
        "temperature": 0.5,
    }
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "of-the-gateway" not in str(headers)
    assert not {"x-user", "x-llm-revision", "Cookie"} & headers.keys()


async def test_patterns_come_while_it_runs(proxy: Replica) -> None:
    async with proxy.ask() as answer:
        assert answer.status == 200
    assert "pattern/stand-in" not in (await proxy.counted())["shares"]
    patterns = [
        {"name": "stand-in", "pattern": "(?i)STAND-IN"},
        {"name": "no", "pattern": "nobody"},
    ]
    path = proxy.log.parent / "monitoring.json"
    path.write_text(json.dumps({"outputPatterns": patterns}))

    async def counts_patterns() -> bool:
        return "pattern/stand-in" in (await proxy.counted())["shares"]

    await eventually(counts_patterns, "a replica that has read its patterns")
    async with proxy.ask() as answer:
        assert answer.status == 200
    shares = (await proxy.counted())["shares"]
    found = {name: (shares[name]["bad"], shares[name]["total"]) for name in shares}
    assert found["pattern/stand-in"] == (1, 1)
    assert found["pattern/no"] == (0, 1)
    assert found["refusal"][1] == 2


async def test_completions_go_there_too(api: Upstream, proxy: Replica) -> None:
    async with proxy.ask("/v1/completions", prompt="Once") as answer:
        assert answer.status == 200
    assert api.asked[0][1]["prompt"] == "Once"


async def test_a_stream_comes_as_it_is_made(api: Upstream, tmp_path: Path) -> None:
    async with replica(api.url, tmp_path) as proxy, proxy.ask(stream=True) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = answer.content
        assert b'"assistant"' in await events.readuntil(b"\n\n")
        assert b"I am" in await events.readuntil(b"\n\n")
        # The API has not made the rest yet: what was read so far was not held back.
        assert not api.go_on.is_set()
        assert (await proxy.stats())["inFlight"] == 1
        api.go_on.set()
        assert (await events.read()).endswith(b"data: [DONE]\n\n")
        revision = await proxy.counted()
        assert revision["requests"] == {"200": 1}
        assert revision["ttft"]["count"] == 1
        assert revision["itl"]["count"] == 1


@pytest.mark.parametrize(
    ("case", "status", "sentence"),
    [
        ("limited", 429, "slow down"),
        ("broken", 503, "overloaded"),
        ("parrot", 400, "you sent Bearer [redacted]"),
        ("no-access", 502, "refused the key (status 401): check the Secret"),
        ("moved", 502, "redirect (status 307): check spec.engine.external.baseURL"),
    ],
)
async def test_what_the_api_refuses(
    api: Upstream, proxy: Replica, case: str, status: int, sentence: str
) -> None:
    async with proxy.ask(user=case) as answer:
        text = await answer.text()
        assert (answer.status, KEY in text) == (status, False)
        assert sentence in text
        if case == "limited":
            assert answer.headers["retry-after"] == "7"
            assert answer.headers["x-ratelimit-limit-requests"] == "5"
    assert (await proxy.counted())["requests"] == {str(status): 1}
    assert KEY not in str(await proxy.stats())
    assert len(api.asked) == 1


async def test_an_api_that_says_nothing(api: Upstream, tmp_path: Path) -> None:
    async with replica(api.url, tmp_path, timeoutSeconds=1) as proxy:
        async with proxy.ask(user="slow") as answer:
            text = await answer.text()
        assert answer.status == 504
        assert "sent nothing for 1 s (spec.engine.external.timeoutSeconds)" in text
        assert (await proxy.counted())["requests"] == {"504": 1}
    await asyncio.wait_for(api.left.wait(), timeout=30)


async def test_nobody_listens_there(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    async with replica(url, tmp_path) as proxy:
        async with proxy.ask() as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["type"]) == (502, "upstream_error")
        assert error["message"].endswith("cannot be reached: Connection refused")
        # One API for all pods: if they went out of service with it, nobody could tell the client why.
        assert await proxy.healthy()
        async with proxy.client.get("/health") as health:
            assert health.status == 200


async def test_an_answer_that_breaks_off_is_seen_by_the_client_and_counted(
    api: Upstream, tmp_path: Path
) -> None:
    async with replica(api.url, tmp_path) as proxy:
        async with proxy.ask(stream=True, user="cut") as answer:
            await answer.content.readuntil(b"I am")
            api.go_on.set()
            rest = await answer.content.readuntil(b"\n\n")
            rest += await answer.content.readuntil(b"\n\n")
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()
        assert b'"error"' in rest
        assert b"ended the connection" in rest
        assert (await proxy.counted())["requests"] == {"502": 1}
        assert "Traceback" not in proxy.log.read_text()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_request_there(
    api: Upstream, tmp_path: Path, *, stream: bool
) -> None:
    async with replica(api.url, tmp_path) as proxy:
        task = asyncio.ensure_future(read(proxy.ask(stream=stream, user="" if stream else "slow")))
        await asyncio.wait_for(api.came.wait(), timeout=10)
        task.cancel()
        await asyncio.wait({task})
        await asyncio.wait_for(api.left.wait(), timeout=10)
        assert (await proxy.counted())["requests"] == {"499": 1}


async def read(request: Any) -> bytes:
    async with request as answer:
        return bytes(await answer.read())


async def test_another_models_name_is_refused_here(api: Upstream, proxy: Replica) -> None:
    async with proxy.ask(model="big-model") as answer:
        assert answer.status == 404
        assert "the model 'big-model' does not exist" in await answer.text()
    assert api.asked == []


async def test_what_a_replica_says_of_itself(proxy: Replica) -> None:
    async with proxy.client.get("/v1/models") as models:
        (card,) = (await models.json())["data"]
    assert (card["id"], card["engine"]) == ("chat", "external")
    async with proxy.ask() as answer:
        assert answer.status == 200
    await proxy.counted()
    text = await eventually(proxy.read_metrics, "the metrics")
    assert 'engine="external",model="chat",name="shop",namespace="team",revision="3"} 1.0' in text
    async with proxy.client.get("/metrics") as at_the_replicas_port:
        assert at_the_replicas_port.status == 404
    assert KEY not in text


async def test_a_pod_that_goes_takes_no_stream_with_it(api: Upstream, tmp_path: Path) -> None:
    async with replica(api.url, tmp_path) as proxy:
        async with proxy.ask(stream=True) as answer:
            await answer.content.readuntil(b"I am")
            assert not await asyncio.to_thread(
                drain, proxy.port, settle_seconds=0.0, timeout_seconds=0.0
            )
            api.go_on.set()
            assert (await answer.content.read()).endswith(b"data: [DONE]\n\n")
        assert await asyncio.to_thread(drain, proxy.port, settle_seconds=0.0)


async def test_sigterm_ends_the_process_after_the_last_stream(
    api: Upstream, tmp_path: Path
) -> None:
    async with replica(api.url, tmp_path) as proxy, proxy.ask(stream=True) as answer:
        await answer.content.readuntil(b"I am")
        proxy.process.send_signal(signal.SIGTERM)
        await eventually(lambda: refuses(proxy.port), "a port that takes no new connection")
        api.go_on.set()
        assert (await answer.content.read()).endswith(b"data: [DONE]\n\n")
        assert await asyncio.to_thread(proxy.process.wait, 10) in (0, -signal.SIGTERM)


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize(
    ("config", "key", "sentence"),
    [
        ("", "k", "the config is not valid JSON"),
        (
            '{"servedName": "chat", "engine": {"name": "simulated"}}',
            "k",
            "runs the external engine only",
        ),
        (
            '{"servedName": "chat", "engine": {"name": "external"}}',
            "k",
            "external must be set for the external engine",
        ),
        (
            EXTERNAL % "https://u:secret@host/v1",
            "k",
            "engine.external.baseURL",
        ),
        (
            EXTERNAL % "https://host/v1",
            "two\nsecret lines",
            "apiKeySecretRef does not hold a key",
        ),
    ],
)
def test_what_it_does_not_start_with(tmp_path: Path, config: str, key: str, sentence: str) -> None:
    termination = tmp_path / "termination"
    environment = {
        "PATH": os.environ["PATH"],
        "LLMD_SERVING_CONFIG": config,
        "LLMD_EXTERNAL_API_KEY": key,
        "LLMD_TERMINATION_LOG": str(termination),
    }
    command = [sys.executable, "-m", "llmdeployment_serving.main", "external"]
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 1
    assert sentence in termination.read_text()
    assert "secret" not in found.stderr + termination.read_text()
