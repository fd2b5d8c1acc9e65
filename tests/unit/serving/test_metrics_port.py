"""The port for scrapers: it has `/metrics`, and nothing that generates."""

import asyncio
import socket

import aiohttp
import pytest
from tests.support.ports import free_port

from llmdeployment_serving import metrics_port
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.metrics_port import read_port, serve_metrics


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("POST", "/v1/chat/completions", 404),
        ("POST", "/v1/completions", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/stats", 404),
        ("GET", "/", 404),
    ],
)
async def test_a_scraper_can_read_and_no_more(method: str, path: str, status: int) -> None:
    port, url = (made := free_port()), f"http://127.0.0.1:{made}"
    async with (
        serve_metrics(lambda: b"up 1\n", "127.0.0.1", port),
        aiohttp.ClientSession(url) as client,
    ):
        answer = await ask(client, method, path)
    assert answer[0] == status
    assert (answer[1] == "up 1\n") is (status == 200)


async def ask(client: aiohttp.ClientSession, method: str, path: str) -> tuple[int, str]:
    """Ask once the port is open."""
    async with asyncio.timeout(10):
        while True:
            try:
                async with client.request(
                    method, path, json={} if method == "POST" else None
                ) as it:
                    return it.status, await it.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0)  # why: the server opens its port in this loop


async def test_a_port_that_is_taken_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_port, "RETRY_SECONDS", 0.001)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with (
            serve_metrics(lambda: b"up 1\n", "127.0.0.1", port),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        ):
            async with asyncio.timeout(10):
                while not caplog.messages:  # noqa: ASYNC110  # because a log sets no event
                    await asyncio.sleep(0)  # why: the server tries in this loop
            assert "is tried again" in caplog.messages[0]
            other.close()
            assert await ask(client, "GET", "/metrics") == (200, "up 1\n")
    assert len(caplog.messages) == 1


async def test_without_a_port_nothing_is_opened() -> None:
    def fail() -> bytes:
        raise AssertionError("nobody can ask")

    before = asyncio.all_tasks()
    async with serve_metrics(fail, "127.0.0.1", None):
        assert asyncio.all_tasks() == before


def test_the_port_is_in_the_environment() -> None:
    assert read_port({}) is None
    assert read_port({"LLMD_METRICS_PORT": "30002"}) == 30002


@pytest.mark.parametrize("text", ["0", "65536", "-1", "x", "\u0663"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a port, 1 to 65535"):
        read_port({"LLMD_METRICS_PORT": text})
