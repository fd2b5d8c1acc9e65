"""A collector in this process: takes spans by OTLP/HTTP, as OpenTelemetry's own does, and keeps them."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

SECONDS = 20.0


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; ids in hexadecimal, times in nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start: int
    end: int
    error: str
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Received:
    """What came so far.

    Attributes:
        status: how requests are answered.
        headers: those of the last request.
    """

    url: str = ""
    status: int = 200
    spans: list[ReceivedSpan] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    def wait_for(self, is_wanted: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
        """Return the spans as soon as they are as wanted."""
        deadline = time.monotonic() + SECONDS
        while not is_wanted(self.spans):
            assert time.monotonic() < deadline, f"not within {SECONDS:g} s; so far: {self.spans}"
            time.sleep(0.01)  # why: between two looks
        return self.spans


@contextmanager
def receive_spans() -> Iterator[Received]:
    """Yield a collector that takes what comes for as long as the block runs."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.headers = {name.lower(): value for name, value in self.headers.items()}
            received.requests += 1
            if received.status == 200:
                assert self.path == "/v1/traces"
                plain = (
                    gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body
                )
                received.spans += _read(ExportTraceServiceRequest.FromString(plain))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(received.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(request: ExportTraceServiceRequest) -> list[ReceivedSpan]:
    return [
        ReceivedSpan(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            error=span.status.message,
            attributes={each.key: _read_value(each.value) for each in span.attributes},
            resource={each.key: _read_value(each.value) for each in group.resource.attributes},
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _read_value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_read_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
