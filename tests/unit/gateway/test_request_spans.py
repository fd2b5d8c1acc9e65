import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway.request_spans import (
    RequestSpans,
    RequestTrace,
    build_span,
    read_trace,
    start_spans,
)
from llmdeployment_gateway.settings import Settings, SettingsError, read_settings
from llmdeployment_gateway.span import Span
from llmdeployment_gateway.tally import EndedRequest, parse_line
from llmdeployment_gateway.tracing import TracesSettings, build_rules
from llmdeployment_serving.trace_context import parse_traceparent

if TYPE_CHECKING:
    from llmdeployment_gateway.span_export import SpanExport

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", "b7ad6b7169203331"
NOW = 10**18
TRACES = TracesSettings(sample_percent=1, slower_than_seconds=5.0)


def ended(*, sampled: bool = False, **more: Any) -> EndedRequest:
    trace = f"00-{TRACE}-{SPAN}-{sampled:02d}/{PARENT}/-/250"
    given = {"status": 200, "seconds": 2.0, "cut": "", "arm": "main", "revision": "3"}
    return EndedRequest(**{**given, "trace": trace, **more})


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ended(sampled=True), ""),
        (ended(sampled=True, status=404), ""),
        (ended(status=500), "500"),
        (ended(cut="replica"), "cut_by_replica"),
        (ended(seconds=5.001), ""),
    ],
)
def test_these_requests_get_a_span(request_: EndedRequest, error: str) -> None:
    span = build_span(request_, TRACES, NOW)

    assert span is not None
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, PARENT)
    assert (span.end, span.error) == (NOW, error)


@pytest.mark.parametrize(
    "request_",
    [
        ended(),
        ended(seconds=5.0),
        ended(status=404),
        ended(status=-1, cut="client"),
        ended(sampled=True, trace=""),
    ],
)
def test_these_get_none(request_: EndedRequest) -> None:
    assert build_span(request_, TRACES, NOW) is None


def test_a_span_says_who_answered_and_what_was_waited_for() -> None:
    trace = f"00-{TRACE}-{SPAN}-00/-/1500/250"
    span = build_span(ended(trace=trace, bucket=77, request_id="r1", status=503), TRACES, NOW)

    assert span is not None
    assert (span.name, span.kind, span.start, span.parent_id) == (
        "gateway",
        "server",
        NOW - 2_000_000_000,
        "",
    )
    assert span.attributes == {
        "http.response.status_code": 503,
        "error.type": "503",
        "llmdeployment.arm": "main",
        "llmdeployment.revision": "3",
        "llmdeployment.bucket": "77",
        "llmdeployment.request_id": "r1",
        "llmdeployment.queue_time": 0.25,
        "llmdeployment.hold_time": 1.5,
    }


@pytest.mark.parametrize(
    ("line", "trace", "request_id"),
    [
        (f"~00-{TRACE}-{SPAN}-01/{PARENT}/-/3 id 1", (PARENT, True, None, 0.003), "id 1"),
        (f"~00-{TRACE}-{SPAN}-00/-/1500/-1 id", ("", False, 1.5, 0.001), "id"),
        (f"~00-{TRACE}-{SPAN}-00/-/0/0 -", ("", False, 0.0, 0.0), ""),
    ],
)
def test_a_log_line_has_the_trace(line: str, trace: tuple[Any, ...], request_id: str) -> None:
    found = parse_line(f"200 9 -- main 1 7 - {line}".encode())

    assert found is not None
    assert read_trace(found.trace) == RequestTrace(TRACE, SPAN, *trace)
    assert found.request_id == request_id


def test_a_request_that_is_no_http_has_neither_trace_nor_id() -> None:
    found = parse_line(b"400 -1 PR - - - - ~-/-/-/-1 -")

    assert found is not None
    assert (found.trace, found.request_id) == ("", "")


@pytest.mark.parametrize("text", ["~", f"~{TRACE}", f"~00-{TRACE}", "~00-a b", "a ~b"])
def test_a_clients_id_that_only_looks_like_a_trace_stays_an_id(text: str) -> None:
    found = parse_line(f"200 9 -- main 1 7 - {text}".encode())

    assert found is not None
    assert (found.trace, found.request_id) == ("", text)


@pytest.mark.parametrize("text", ["", "-", f"00-{TRACE}-{SPAN}-01/-/x/1", f"00-{TRACE}-{SPAN}-01"])
def test_what_is_no_trace_gets_no_span(text: str) -> None:
    assert read_trace(text) is None
    assert build_span(ended(trace=text, status=500), TRACES, NOW) is None


@given(st.text(max_size=200))
def test_any_id_is_read(text: str) -> None:
    parse_line(f"200 9 -- main 1 7 - ~{text}".encode())


@dataclass
class Kept:
    spans: list[Span] = field(default_factory=list)
    exported = 4
    dropped = 2

    def put(self, span: Span) -> None:
        self.spans.append(span)


def test_spans_go_to_the_export() -> None:
    kept = Kept()
    spans = RequestSpans(TRACES, cast("SpanExport", kept), lambda: NOW)
    for sampled in (True, False):
        spans.take(ended(sampled=sampled))

    assert [each.end for each in kept.spans] == [NOW]
    assert spans.count() == {"exported": 4, "dropped": 2}


def test_no_span_is_made_without_a_collector_or_without_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced, plain = Settings("team", "chat", "none", traces=TRACES), Settings("t", "c", "none")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert start_spans(traced) is None

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert start_spans(plain) is None
    assert start_spans(traced) is not None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[]",
        '{"samplePercent": 101, "slowerThanSeconds": 5}',
        '{"samplePercent": -1, "slowerThanSeconds": 5}',
        '{"samplePercent": 0.5, "slowerThanSeconds": 5}',
        '{"samplePercent": 1, "slowerThanSeconds": 0}',
        '{"samplePercent": 1, "slowerThanSeconds": "5s"}',
    ],
)
def test_settings_that_cannot_be_are_refused(text: str) -> None:
    env = {"LLMD_NAMESPACE": "team", "LLMD_NAME": "chat", "LLMD_TRACES": text}
    with pytest.raises(SettingsError, match="LLMD_TRACES"):
        read_settings(env)


def test_settings_are_read() -> None:
    env = {"LLMD_NAMESPACE": "team", "LLMD_NAME": "chat"}
    assert read_settings(env).traces is None

    env["LLMD_TRACES"] = '{"samplePercent": 1, "slowerThanSeconds": 5}'
    assert read_settings(env).traces == TRACES


@given(
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-x)?", fullmatch=True)
)
def test_haproxy_and_the_replica_refuse_the_same_traces(header: str) -> None:
    """HAProxy's expression alone; what it says of zeros is a rule of its own."""
    found = re.search(r"-m reg '([^']+)'", build_rules(None))
    assert found is not None
    zeros = f"-{'0' * 32}-" in header or f"-{'0' * 16}-" in header

    assert (bool(re.match(found[1], header)) and not zeros) is (
        parse_traceparent(header.encode()) is not None
    )
