"""A replica without Ray stops at SIGTERM: what waits of its spans is sent, and the exit is one that writes the request log."""

import signal
from collections.abc import Iterator

import pytest
import uvicorn

from llmdeployment_serving import external, plain
from llmdeployment_serving.answer_spans import AnswerSpans
from llmdeployment_serving.config import ServingConfig, parse

API = {"baseURL": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let a server get SIGTERM at once, as uvicorn passes it on, and keep how long spans are waited for."""
    found: list[float] = []

    async def serve(_: uvicorn.Server) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler), "the default one would end the process"
        handler(signal.SIGTERM, None)

    monkeypatch.setattr(uvicorn.Server, "serve", serve)
    monkeypatch.setattr(AnswerSpans, "close", lambda _, seconds: found.append(seconds))
    for module in (external, plain):
        monkeypatch.setattr(module, "read_port", lambda: 0)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield found
    signal.signal(signal.SIGTERM, before)


async def test_a_replica_of_an_external_api_sends_its_last_spans(closed: list[float]) -> None:
    settings = {"servedName": "chat", "engine": {"name": "external", "external": API}}
    with pytest.raises(SystemExit):
        await external.serve_external(parse(ServingConfig, settings), "", "127.0.0.1", 0)
    assert closed == [external.SPAN_SECONDS]


async def test_a_replica_without_ray_sends_its_last_spans(
    closed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "write_own_log", lambda: None)
    settings = {"servedName": "chat", "engine": {"name": "simulated"}}
    with pytest.raises(SystemExit):
        await plain.serve_plain(parse(ServingConfig, settings), {}, "127.0.0.1", 0)
    assert closed == [1.0]
