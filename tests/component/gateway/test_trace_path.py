"""One trace from the client through HAProxy and a replica, as a collector gets it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from tests.component.gateway.proxy import SECONDS, Proxy
from tests.component.gateway.replica import PORT
from tests.support.otlp_receiver import Received, receive_spans

from llmdeployment_gateway.request_spans import start_spans
from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.tracing import TracesSettings

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACES = TracesSettings(sample_percent=0, slower_than_seconds=SECONDS)
HOST = "127.19.0.1"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    with receive_spans() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        yield received


@contextlib.contextmanager
def run_replica(**user_config: Any) -> Iterator[None]:
    """Run a replica with the simulated engine where the gateway expects one."""
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve", "--host", HOST]
    config = {"servedName": "chat", "engine": {"name": "simulated"}}
    command += ["--port", str(PORT), "--config", json.dumps(config)]
    with subprocess.Popen(
        [*command, "--user-config", json.dumps(user_config)], env=dict(os.environ)
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)


@pytest.fixture
async def proxy(collector: Received) -> AsyncIterator[Proxy]:
    assert collector.url
    traces = {"samplePercent": 0, "slowerThanSeconds": SECONDS}
    with run_replica(revisions={"1": {}}, monitoring={"traces": traces}):
        found = Proxy(HOST, TRACES)
        yield found
        found.close()


async def ask(proxy: Proxy, **headers: str) -> None:
    """Send a request as soon as there is an answer to be had."""
    url = f"http://127.0.0.1:{proxy.port}/v1/chat/completions"
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(url, json=body, headers=headers) as answer:
                    assert answer.status == 200
                    await answer.read()
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)  # why: HAProxy starts


async def test_a_sampled_request_is_one_trace(proxy: Proxy, collector: Received) -> None:
    spans = start_spans(Settings("team", "chat", "none", traces=TRACES))
    assert spans is not None
    # It is held until the replica is ready.
    for flags in ("00", "01"):
        await ask(proxy, traceparent=f"00-{TRACE}-{PARENT}-{flags}", **{"x-user": "alice"})
        spans.take(await proxy.read_line())
    await asyncio.to_thread(collector.wait_for, lambda found: len(found) >= 2)
    spans.export.close(SECONDS)

    found = {span.name: span for span in collector.spans}
    gateway, answer = found["gateway"], found["chat chat"]
    assert len(collector.spans) == 2
    assert {gateway.trace_id, answer.trace_id} == {TRACE}
    assert (gateway.parent_id, answer.parent_id) == (PARENT, gateway.span_id)
    assert gateway.attributes["llmdeployment.bucket"] == answer.attributes["llmdeployment.bucket"]
    assert answer.attributes["gen_ai.usage.output_tokens"] > 0
    assert answer.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert answer.resource["service.name"] == "llmdeployment-replica"
    assert gateway.resource["llmdeployment.name"] == "chat"
