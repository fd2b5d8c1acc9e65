"""Large bodies through the real HAProxy: what fits arrives as it was sent, and what does not is refused with an answer that clients see."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica, haproxy_binary
from tests.component.gateway.pod import CHAT, SALT, SERVICE, row
from tests.component.gateway.replica import PORT
from tests.support.ports import free_port

from llmdeployment_gateway import changes, rundir
from llmdeployment_gateway.assignment import parse_keys
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.settings import Settings

pytestmark = pytest.mark.component

SECONDS = 90
MIB = 2**20
PATH = "/v1/chat/completions"
HOST = "127.19.0.2"


@contextlib.contextmanager
def run_haproxy(
    host: str,
    keys: Mapping[str, str] | None = None,
    auth: Literal["none", "apikey"] = "none",
    hold_seconds: int = 10,
    **more: Any,
) -> Iterator[str]:
    """Run HAProxy in front of one address, and yield its URL."""
    # Short: a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    port = free_port()
    settings = Settings("team", "chat", auth, run_dir=folder, bind=f"127.0.0.1:{port}", **more)
    document = {
        "deployment": "chat",
        "servedName": "chat",
        "salt": SALT,
        "routes": [row()],
        "hold": {"maxRequests": 8, "seconds": hold_seconds},
    }
    state = changes.build_state(
        Routes.model_validate(document),
        {SERVICE: frozenset({Address(host, PORT)})},
        keys or {},
        {SERVICE: "slot0"},
    )
    rundir.prepare(settings, {})
    rundir.write_state(settings, state)
    with subprocess.Popen([haproxy_binary(), "-db", "-f", str(folder / rundir.CONFIG)]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()

    shutil.rmtree(folder)


async def wait_for(url: str, **headers: str) -> None:
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{url}/v1/models", headers=headers) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)  # why: HAProxy or the replica starts


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 256 * 1024):
        yield body[start : start + 256 * 1024]


async def post(url: str, body: bytes, *, chunked: bool, **headers: str) -> tuple[int, Any]:
    data = in_pieces(body) if chunked else io.BytesIO(body)
    sent = {"content-type": "application/json", **headers}
    async with (
        asyncio.timeout(SECONDS),
        aiohttp.ClientSession() as session,
        session.post(url + PATH, data=data, headers=sent) as answer,
    ):
        return answer.status, await answer.json()


def build_body(size: int) -> bytes:
    """Return a request of so many bytes, in which every KiB is another one."""
    head, tail = b'{"messages": [{"role": "user", "content": "', b'"}], "max_tokens": 1}'
    text = b"".join(b"%01024d" % number for number in range(size // 1024 + 1))
    return head + text[: size - len(head) - len(tail)] + tail


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
async def test_a_body_of_31_mib_arrives_as_it_was_sent(
    replicas: NewReplica, *, chunked: bool
) -> None:
    replica = await replicas()
    body = build_body(31 * MIB)
    with run_haproxy(replica.host) as url:
        await wait_for(url)
        status, answer = await post(
            url, body, chunked=chunked, **{"x-llm-max-body-bytes": "999999999"}
        )

    assert (status, answer["sha256"]) == (200, hashlib.sha256(body).hexdigest())
    assert answer["told"]["x-llm-max-body-bytes"] == str(32 * MIB)


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    """Runs a replica with the simulated engine where the gateway expects one, and yields its address."""
    config = {"servedName": "chat", "engine": {"name": "simulated"}}
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve", "--host", HOST]
    command += ["--port", str(PORT), "--config", json.dumps(config)]
    with subprocess.Popen(
        [*command, "--user-config", '{"revisions": {"1": {}}}'], env=dict(os.environ)
    ) as process:
        try:
            yield HOST
        finally:
            process.terminate()
            process.wait(SECONDS)


@pytest.mark.parametrize("limit", [32, 8])
async def test_a_body_above_the_limit_is_refused_whole_and_chunked(
    simulated: str, limit: int
) -> None:
    with run_haproxy(simulated, max_body_bytes=limit * MIB) as url:
        await wait_for(url)
        for chunked in (False, True):
            status, answer = await post(url, build_body((limit + 1) * MIB), chunked=chunked)
            assert status == 413
            assert set(answer["error"]) == {"message", "type", "param", "code"}
            sentence = f"body is larger than {limit} MiB. Send a smaller one."
            assert answer["error"]["message"].endswith(sentence)
            assert answer["error"]["type"] == "invalid_request_error"
        status, _ = await post(url, json.dumps(CHAT).encode(), chunked=False)
        assert status == 200


async def test_a_large_body_streams_behind_the_part_that_is_searched(
    replicas: NewReplica,
) -> None:
    """With a `Body/` key the field must be in the first 256 KiB; then the rest streams, up to the same limit."""
    replica = await replicas()
    early = b'{"user": "alice", ' + build_body(31 * MIB)[1:]
    late = build_body(31 * MIB)[:-1] + b', "user": "alice"}'
    with run_haproxy(replica.host, assignment_keys=parse_keys("Body/user")) as url:
        await wait_for(url)
        status, answer = await post(url, early, chunked=False)
        assert (status, answer["sha256"]) == (200, hashlib.sha256(early).hexdigest())
        status, answer = await post(url, late, chunked=False)
        assert (status, answer["error"]["code"]) == (413, "body_too_large")
        assert "its field user" in answer["error"]["message"]


async def test_a_replica_that_has_too_many_bytes_of_bodies_says_so(simulated: str) -> None:
    """Nine bodies of 32 MiB, none of which ends: the ninth is refused once it sends more than the bound has room for."""
    body = build_body(32 * MIB)
    with run_haproxy(simulated) as url:
        await wait_for(url)
        port = int(url.rpartition(":")[2])
        stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        head = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
        for _, writer in stalled:
            writer.write(head % (PATH.encode(), len(body)) + body[:-1])
            await asyncio.wait_for(writer.drain(), SECONDS)
        async with asyncio.timeout(SECONDS):
            while True:
                status, answer = await post(url, body, chunked=False)
                if status == 503:
                    break
        assert "256 MiB of bodies already, which is the limit" in answer["error"]["message"]
        # Small ones are answered all the same.
        status, _ = await post(url, json.dumps(CHAT).encode(), chunked=False)
        assert status == 200
        for _, writer in stalled:
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
            )
            writer.close()
