"""Which trace HAProxy passes on, and what its log line says of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import until
from tests.component.gateway.proxy import SECONDS, Proxy

from llmdeployment_gateway.request_spans import read_trace
from llmdeployment_gateway.tracing import TracesSettings
from llmdeployment_serving.trace_context import parse_traceparent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = {
    "sampled": f"00-{TRACE}-{PARENT}-01",
    "not sampled": f"00-{TRACE}-{PARENT}-00",
    "later version": f"cc-{TRACE}-{PARENT}-01-more",
}
MALFORMED = {
    "short": f"00-{TRACE}-{PARENT}",
    "long": f"00-{TRACE}-{PARENT}-01-more",
    "upper case": f"00-{TRACE.upper()}-{PARENT}-01",
    "no trace": f"00-{'0' * 32}-{PARENT}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "no version": f"ff-{TRACE}-{PARENT}-01",
    "nonsense": "' ; drop",
}


@pytest.fixture
async def plain(replicas: NewReplica) -> AsyncIterator[Proxy]:
    found = Proxy((await replicas()).host)
    yield found
    found.close()


@pytest.fixture(params=[0, 100])
async def traced(replicas: NewReplica, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    replica = await replicas()
    found = Proxy(replica.host, TracesSettings(sample_percent=request.param))
    yield found, replica, request.param == 100
    found.close()


async def test_without_traces_a_trace_passes_and_a_malformed_one_is_dropped(plain: Proxy) -> None:
    for header in VALID.values():
        told = await plain.ask(traceparent=header, tracestate="vendor=1")
        assert (told["traceparent"], told["tracestate"]) == (header, "vendor=1")
        assert (await plain.read_line()).trace == ""
    for what, header in MALFORMED.items():
        told = await plain.ask(traceparent=header, tracestate="vendor=1")
        assert told.keys().isdisjoint({"traceparent", "tracestate"}), what
    told = await plain.ask(tracestate="vendor=1")
    assert told.keys().isdisjoint({"traceparent", "tracestate"})


async def test_with_traces_the_replica_is_told_the_gateways_span(
    traced: tuple[Proxy, Any, bool],
) -> None:
    haproxy, _, _ = traced
    for what, header in VALID.items():
        told = await haproxy.ask(
            **{"traceparent": header, "tracestate": "vendor=1", "x-request-id": "my id"}
        )
        ended = await haproxy.read_line()
        trace = read_trace(ended.trace)
        passed_on = parse_traceparent(told["traceparent"].encode())
        assert trace is not None, what
        assert passed_on is not None, what
        assert (passed_on.trace_id, trace.trace_id) == (TRACE, TRACE)
        assert (passed_on.parent_id, trace.parent_id) == (trace.span_id, PARENT)
        assert passed_on.sampled is trace.sampled is (what != "not sampled")
        assert (trace.hold_seconds, ended.request_id) == (None, "my id")
        assert told["tracestate"] == "vendor=1"


async def test_with_traces_each_request_without_one_begins_one(
    traced: tuple[Proxy, Any, bool],
) -> None:
    haproxy, _, all_sampled = traced
    seen = set()
    for header in (None, *MALFORMED.values()):
        told = await haproxy.ask(**({"traceparent": header} if header else {}), tracestate="a=1")
        ended = await haproxy.read_line()
        trace = read_trace(ended.trace)
        passed_on = parse_traceparent(told["traceparent"].encode())
        assert passed_on is not None
        assert trace is not None
        assert (passed_on.parent_id, trace.parent_id) == (trace.span_id, "")
        assert passed_on.sampled is trace.sampled is all_sampled
        assert "tracestate" not in told
        seen |= {passed_on.trace_id, passed_on.parent_id}
    assert len(seen) == 2 * (1 + len(MALFORMED))


async def test_a_request_that_was_held_says_for_how_long(traced: tuple[Proxy, Any, bool]) -> None:
    haproxy, replica, _ = traced
    await haproxy.ask()
    await haproxy.read_line()
    await replica.stop()
    asked = asyncio.create_task(haproxy.ask(**{"x-llm-held": "9999999"}))
    await until(haproxy.count_held, SECONDS, "a request is held")
    await replica.start()

    told = await asked
    ended = await haproxy.read_line()
    trace = read_trace(ended.trace)
    assert trace is not None
    assert trace.hold_seconds is not None
    # It is held between the two readings, whose clocks count milliseconds.
    assert 0 < trace.hold_seconds <= ended.seconds + 0.002
    assert told["x-llm-held"] == str(round(trace.hold_seconds * 1000))
