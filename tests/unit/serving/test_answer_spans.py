import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving.test_asgi import Idle, answering, call

from llmdeployment_serving.answer_spans import (
    Answer,
    AnswerSpans,
    Trace,
    build_span,
    is_exported,
)
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, TracesConfig, UserConfig, parse
from llmdeployment_serving.engine import ASGIApp, Receive, Scope, Send
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.span import Span
from llmdeployment_serving.trace_context import TraceContext, parse_traceparent
from llmdeployment_serving.usage import Usage

if TYPE_CHECKING:
    from llmdeployment_serving.span_export import SpanExport

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
PATH = "/v1/chat/completions"


@dataclass
class Kept:
    """Takes spans where a collector would."""

    exported = dropped = 0
    spans: list[Span] = field(default_factory=list)

    def put(self, span: Span) -> None:
        self.spans.append(span)


class Echo:
    """An engine's application that keeps the headers that it gets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = dict(scope["headers"])
        await self._app(scope, receive, send)


ANSWER = json.dumps(
    {
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
).encode()
PLAIN = answering(ANSWER, kind=b"application/json")


def replica(app: ASGIApp, traces: dict[str, Any] | None) -> tuple[ReplicaApp, Kept]:
    kept = Kept()
    config = parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}})
    made = ReplicaApp(config, Idle(app), app)
    made.spans = AnswerSpans("simulated", Owner("team", "chat"), lambda: cast("SpanExport", kept))
    monitoring = {} if traces is None else {"monitoring": {"traces": traces}}
    made.take(parse(UserConfig, {"revisions": {"3": {}}, **monitoring}))
    return made, kept


async def test_a_sampled_answer_has_a_span_and_the_engine_is_told_its_id() -> None:
    engine = Echo(PLAIN)
    app, kept = replica(engine, {"samplePercent": 0})
    before = time.time_ns()

    await call(
        app,
        PATH,
        json.dumps(CHAT).encode(),
        traceparent=SAMPLED,
        tracestate="vendor=1",
        x_llm_arm="terse",
        x_llm_bucket="77",
        x_llm_held="1500",
        x_request_id="r1",
    )

    (span,) = kept.spans
    assert (span.name, span.trace_id, span.parent_id) == ("chat chat", TRACE, PARENT)
    assert (span.kind, span.error) == ("server", "")
    assert before <= span.start <= span.end <= time.time_ns()
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "simulated",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.model": "chat",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "http.response.status_code": 200,
        "llmdeployment.arm": "terse",
        "llmdeployment.bucket": "77",
        "llmdeployment.hold_time": 1.5,
        "llmdeployment.request_id": "r1",
        "llmdeployment.revision": "3",
    }
    passed_on = parse_traceparent(engine.headers[b"traceparent"])
    assert passed_on == TraceContext(TRACE, span.span_id, sampled=True)
    assert engine.headers[b"tracestate"] == b"vendor=1"


async def test_a_streamed_answer_says_when_its_first_chunk_came() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}\n\n'
    app, kept = replica(answering(chunk), {})
    body = json.dumps({**CHAT, "stream": True}).encode()

    with pytest.raises(json.JSONDecodeError):
        # `call` reads one document, and a stream is none.
        await call(app, PATH, body, traceparent=SAMPLED)

    (span,) = kept.spans
    first = span.attributes["gen_ai.response.time_to_first_chunk"]
    assert isinstance(first, float)
    assert 0 < first <= (span.end - span.start) / 1e9
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert span.attributes["gen_ai.usage.output_tokens"] == 1


async def test_an_answer_that_is_not_sampled_has_none_and_the_engine_is_told_so() -> None:
    engine = Echo(PLAIN)
    app, kept = replica(engine, {"samplePercent": 100})

    await call(app, PATH, json.dumps(CHAT).encode(), traceparent=UNSAMPLED)

    assert kept.spans == []
    told = parse_traceparent(engine.headers[b"traceparent"])
    assert told is not None
    assert (told.trace_id, told.sampled) == (TRACE, False)


async def test_an_error_has_a_span_whatever_was_drawn() -> None:
    async def failing(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    app, kept = replica(failing, {"samplePercent": 0})

    await call(app, PATH, json.dumps(CHAT).encode())

    (span,) = kept.spans
    assert (span.error, span.attributes["error.type"]) == ("answered with 500", "500")
    assert span.parent_id == ""


async def test_a_refused_request_is_no_error_of_the_replica() -> None:
    app, kept = replica(PLAIN, {"samplePercent": 0})
    await call(app, PATH, b"no JSON")
    assert kept.spans == []

    await call(app, PATH, b"no JSON", traceparent=SAMPLED)
    (span,) = kept.spans
    assert (span.name, span.error) == ("request", "")
    assert span.attributes["error.type"] == "400"


async def test_a_malformed_trace_is_replaced_and_its_state_dropped() -> None:
    engine = Echo(PLAIN)
    app, kept = replica(engine, {"samplePercent": 100})

    await call(
        app, PATH, json.dumps(CHAT).encode(), traceparent=f"00-{TRACE}-{PARENT}", tracestate="a=1"
    )

    (span,) = kept.spans
    assert span.parent_id == ""
    assert span.trace_id != TRACE
    assert b"tracestate" not in engine.headers


async def test_without_traces_a_request_passes_as_it_came() -> None:
    engine = Echo(PLAIN)
    app, kept = replica(engine, None)

    await call(app, PATH, json.dumps(CHAT).encode(), traceparent=SAMPLED)

    assert kept.spans == []
    assert engine.headers[b"traceparent"] == SAMPLED.encode()
    assert b"llmdeployment_spans" not in app.render_metrics()


async def test_a_shadow_of_a_request_is_not_traced() -> None:
    app, kept = replica(PLAIN, {"samplePercent": 100})

    await call(app, PATH, json.dumps(CHAT).encode(), x_llm_shadow="1")

    assert kept.spans == []


async def test_traces_can_be_turned_on_and_off_while_requests_come() -> None:
    app, kept = replica(PLAIN, {"samplePercent": 100})
    await call(app, PATH, json.dumps(CHAT).encode())
    app.take(parse(UserConfig, {"revisions": {"3": {}}}))
    await call(app, PATH, json.dumps(CHAT).encode())
    assert len(kept.spans) == 1

    app.take(
        parse(
            UserConfig, {"revisions": {"3": {}}, "monitoring": {"traces": {"samplePercent": 100}}}
        )
    )
    await call(app, PATH, json.dumps(CHAT).encode())
    assert len(kept.spans) == 2


async def test_the_page_of_metrics_counts_spans_once_they_are_wanted() -> None:
    app, _ = replica(PLAIN, {})
    page = app.render_metrics().decode()

    assert "llmdeployment_spans_exported_total{" in page
    assert "llmdeployment_spans_dropped_total{" in page


def test_a_pod_without_the_collectors_address_makes_no_spans(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    spans = AnswerSpans("vllm", Owner())
    for _ in range(3):
        spans.take(TracesConfig())

    assert spans.begin({"headers": []}, "1") == (None, {"headers": []})
    assert spans.count() is None
    assert caplog.text.count("telemetry.otlpEndpoint") == 1


@pytest.mark.parametrize(
    ("status", "seconds", "sampled", "exported"),
    [
        (200, 0.1, True, True),
        (200, 0.1, False, False),
        (200, 5.0, False, False),
        (200, 5.001, False, True),
        (404, 0.1, False, False),
        (499, 0.1, False, False),
        (500, 0.1, False, True),
        (503, 0.1, False, True),
    ],
)
def test_what_is_exported(status: int, seconds: float, *, sampled: bool, exported: bool) -> None:
    config = TracesConfig(slower_than_seconds=5)

    assert is_exported(config, status, seconds, sampled=sampled) is exported


def trace() -> Trace:
    context = TraceContext(TRACE, PARENT, sampled=True)
    export = cast("SpanExport", Kept())
    return Trace(context, "11" * 8, {}, TracesConfig(), "vllm", export)


def test_an_answer_that_was_cut_off_says_so() -> None:
    span = build_span(trace(), Answer(status=502, seconds=1.5, cut=True), 10**18)

    assert (span.attributes["error.type"], span.error) == ("cut_off", "the answer was cut off")
    assert (span.start, span.end) == (10**18 - 1_500_000_000, 10**18)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["model", "stream", "max_tokens", "max_completion_tokens", "temperature", "top_p"]
        ),
        json_values,
    ),
    st.integers(0, 10**30),
)
def test_whatever_a_client_sends_can_be_an_attribute(body: dict[str, Any], tokens: int) -> None:
    made = trace()
    made.describe_request(PATH, body)
    span = build_span(made, Answer(200, 1.0, usage=Usage(tokens, tokens, tokens)), 0)

    for value in span.attributes.values():
        assert isinstance(value, str | bool | float | tuple) or abs(value) <= 2**53
        assert not isinstance(value, str) or len(value) <= 256


async def test_half_a_surrogate_pair_costs_no_batch_of_spans() -> None:
    reason = {"index": 0, "message": {"content": "hi"}, "finish_reason": "\ud800"}
    answer = json.dumps({"choices": [reason]}).encode()
    app, kept = replica(answering(answer, kind=b"application/json"), {})
    body = json.dumps({**CHAT, "model": "\ud800" * 999}).encode()
    await call(app, PATH, body, traceparent=SAMPLED)
    await call(app, PATH, json.dumps(CHAT).encode(), traceparent=SAMPLED)

    refused, answered = kept.spans
    assert (refused.name, refused.attributes["gen_ai.request.model"]) == (f"chat {'?' * 256}", "?" * 256)  # fmt: skip
    assert answered.attributes["gen_ai.response.finish_reasons"] == ("?",)
