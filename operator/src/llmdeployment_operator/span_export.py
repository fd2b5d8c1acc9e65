"""Sends spans to a collector by OTLP/HTTP, from a thread of its own.

Whoever makes a span only puts it into a bounded queue. A collector that is slow or down costs spans, which are counted, and nothing else.
OpenTelemetry is imported by the thread, once there is a first span. The SDK reads the collector's address and headers from the environment
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from llmdeployment_operator.plan.base.span import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Variable with the base URL of the collector; without it no span is made."""
MOST_WAITING = 2048
"""Spans that wait for the collector. Further ones are dropped."""
BATCH = 512
"""Spans that are sent at once."""
BATCH_SECONDS = 1.0
"""Seconds that a batch waits for more spans."""
SEND_SECONDS = 10
"""Seconds that the collector may take for a batch, with every retry."""

logger = logging.getLogger(__name__)


class Exporter(Protocol):
    """What sends a batch; the SDK's `OTLPSpanExporter` is one."""

    def export(self, spans: Sequence["ReadableSpan"], /) -> object:
        """Return `SpanExportResult.SUCCESS`, or something else if the collector did not take the batch."""


class SpanExport:
    """A bounded queue of spans, and the thread that sends them.

    Attributes:
        exported: spans that the collector took.
        dropped: spans that found the queue full, or that the collector did not take.
    """

    def __init__(
        self,
        resource: Mapping[str, str],
        make_exporter: Callable[[], Exporter] | None = None,
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        """Start nothing yet.

        Args:
            resource: attributes of whoever makes the spans, `service.name` among them.
            make_exporter: makes what sends; it is called by the thread. None: the SDK's exporter, as the environment says.
            batch_seconds: how long a batch waits for more spans.
        """
        self.exported = 0
        self.dropped = 0
        self._resource = dict(resource)
        self._make_exporter = make_exporter or _make_otlp_exporter
        self._batch_seconds = batch_seconds
        self._waiting: deque[Span] = deque()
        self._is_due, self._is_full = threading.Event(), threading.Event()
        self._stops = False
        self._is_down = False
        self._thread: threading.Thread | None = None

    def put(self, span: Span) -> None:
        """Take a span, or drop it if too many wait. It returns at once; one thread at a time may call it."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(span)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
            self._thread.start()
        if len(self._waiting) >= BATCH:
            self._is_full.set()
        self._is_due.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""
        self._stops = True
        self._is_full.set()
        self._is_due.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            exporter = self._make_exporter()
        except Exception:  # because a wrong address must not end whoever makes spans
            logger.exception("spans cannot be sent, so they are dropped")
            exporter = _Refusing()
        while True:
            self._is_due.wait()
            self._is_full.wait(self._batch_seconds)
            self._is_due.clear()
            self._is_full.clear()
            while self._waiting:
                self._send(exporter)
            if self._stops:
                return

    def _send(self, exporter: Exporter) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415  # because it is heavy, and needed only where there are spans

        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            is_taken = exporter.export(_convert(batch, self._resource)) is SpanExportResult.SUCCESS
        except Exception:  # because a span must not end the thread that sends the next ones
            logger.exception("spans could not be sent")
            is_taken = False
        if is_taken:
            self.exported += len(batch)
        else:
            self.dropped += len(batch)
        if is_taken is self._is_down:
            # One line when it begins and one when it ends.
            self._is_down = not is_taken
            if is_taken:
                logger.info("the collector takes spans again")
            else:
                logger.warning("the collector does not take spans, so they are dropped")


class _Refusing:
    """Takes no batch."""

    def export(self, spans: Sequence["ReadableSpan"], /) -> object:
        return spans


def _make_otlp_exporter() -> Exporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # because it is heavy, and needed only where there are spans

    # It writes a line for each batch and each retry.
    logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(timeout=SEND_SECONDS)


def _convert(spans: Sequence[Span], resource: Mapping[str, str]) -> list["ReadableSpan"]:
    """Return spans as the SDK has them."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # because it is heavy, and needed only where there are spans
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415  # because of the same
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415  # because of the same
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415  # because of the same

    origin, scope = Resource(dict(resource)), InstrumentationScope("llmdeployment")
    kinds = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER}

    def name_span(trace_id: str, span_id: str) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

    return [
        ReadableSpan(
            name=each.name,
            context=name_span(each.trace_id, each.span_id),
            parent=name_span(each.trace_id, each.parent_id) if each.parent_id else None,
            resource=origin,
            attributes=dict(each.attributes),
            kind=kinds[each.kind],
            status=Status(StatusCode.ERROR, each.error) if each.error else Status(),
            start_time=each.start,
            end_time=each.end,
            instrumentation_scope=scope,
        )
        for each in spans
    ]
