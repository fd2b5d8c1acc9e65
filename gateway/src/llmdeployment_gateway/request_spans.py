"""Spans of the gateway: one for each request of a sampled trace, and for each that failed or was slow.

They are made from HAProxy's log lines, so a request that needs none costs nothing more than its line.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.span import Attribute, Span
from llmdeployment_gateway.span_export import ENDPOINT, SpanExport
from llmdeployment_gateway.tally import EndedRequest
from llmdeployment_gateway.tracing import TracesSettings

# HAProxy writes -1 for a request that never came to a queue.
_trace = re.compile(
    r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"/(?P<parent>-|[0-9a-f]{16})/(?P<held>-|\d{1,9})/-?(?P<queued>\d{1,9})"
)
_FLAGS = slice(53, 55)
"""Where a line's `traceparent` has its flags."""


@dataclass(frozen=True)
class RequestTrace:
    """The trace of a request.

    Attributes:
        trace_id: of the whole trace, in hexadecimal.
        span_id: of the gateway's own span.
        parent_id: of the client's span, or empty.
        sampled: whether the trace is sampled.
        hold_seconds: how long the request was held while no replica was ready; None if it was not held.
        queue_seconds: how long it waited for a place at a replica.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool
    hold_seconds: float | None = None
    queue_seconds: float = 0.0


class RequestSpans:
    """Exports the spans of requests that have ended.

    Args:
        traces: which requests get a span.
        export: takes the spans.
        read_time: nanoseconds since 1970.
    """

    def __init__(
        self,
        traces: TracesSettings,
        export: SpanExport,
        read_time: Callable[[], int] = time.time_ns,
    ) -> None:
        self._traces = traces
        self._read_time = read_time
        self.export = export

    def take(self, ended: EndedRequest) -> None:
        """Export the span of a request that has just ended, if it gets one."""
        if (span := build_span(ended, self._traces, self._read_time())) is not None:
            self.export.put(span)

    def count(self) -> dict[str, int]:
        """Return how many spans the collector took, and how many were dropped."""
        return {"exported": self.export.exported, "dropped": self.export.dropped}


def start_spans(settings: Settings) -> RequestSpans | None:
    """Return what exports spans, or None where traces are not wanted or the collector's address is not known."""
    if settings.traces is None or not os.environ.get(ENDPOINT):
        return None
    resource = {
        "service.name": "llmdeployment-gateway",
        "service.namespace": settings.namespace,
        "service.instance.id": settings.pod,
        "k8s.namespace.name": settings.namespace,
        "k8s.pod.name": settings.pod,
        "llmdeployment.name": settings.name,
    }
    return RequestSpans(settings.traces, SpanExport(resource))


def build_span(ended: EndedRequest, traces: TracesSettings, now: int) -> Span | None:
    """Return the span of a request that ended at this time, in nanoseconds since 1970, or None if it gets none."""
    failed = ended.status >= HTTPStatus.INTERNAL_SERVER_ERROR or ended.cut == "replica"
    is_slow = ended.seconds > traces.slower_than_seconds
    if not (ended.trace[_FLAGS] == "01" or failed or is_slow):
        return None
    if (trace := read_trace(ended.trace)) is None:
        return None
    found: dict[str, Attribute | None] = {
        "http.response.status_code": ended.status if ended.status > 0 else None,
        "error.type": _name_error(ended),
        "llmdeployment.arm": ended.arm or None,
        "llmdeployment.revision": ended.revision or None,
        "llmdeployment.bucket": str(ended.bucket) if ended.bucket is not None else None,
        "llmdeployment.request_id": ended.request_id or None,
        "llmdeployment.queue_time": trace.queue_seconds,
        "llmdeployment.hold_time": trace.hold_seconds,
    }
    return Span(
        name="gateway",
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        start=now - round(ended.seconds * 1e9),
        end=now,
        parent_id=trace.parent_id,
        kind="server",
        attributes={name: value for name, value in found.items() if value is not None},
        error=(_name_error(ended) or "") if failed else "",
    )


def read_trace(text: str) -> RequestTrace | None:
    """Return what a log line says of a trace, `traceparent/parent/held/queued` with milliseconds, or None if it says nothing."""
    if (found := _trace.fullmatch(text)) is None:
        return None
    held = int(found["held"]) / 1000 if found["held"] != "-" else None
    parent = found["parent"].removeprefix("-")
    return RequestTrace(
        found["trace"],
        found["span"],
        parent,
        found["flags"] == "01",
        held,
        int(found["queued"]) / 1000,
    )


def _name_error(ended: EndedRequest) -> str | None:
    if ended.cut:
        return f"cut_by_{ended.cut}"
    return str(ended.status) if ended.status >= HTTPStatus.BAD_REQUEST else None
