"""The request log at a collector: a receiver in this process, and one that is down."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from tests.support.until import until
from typing_extensions import override

from llmdeployment_serving import log_otlp, log_queue
from llmdeployment_serving.config import RequestLogConfig
from llmdeployment_serving.log_entry import Outcome
from llmdeployment_serving.log_otlp import ENDPOINT, GIVE_UP_SECONDS, OtlpSink, build_exporter
from llmdeployment_serving.log_queue import LogCounts, LogWriter, SinkError
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.request_log import RequestLog

LINE = {
    "time": "2023-11-14T22:13:20.250Z",
    "event": "answer",
    "llmdeployment.arm": "a",
    "http.response.status_code": 200,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.input.messages": [{"role": "user", "parts": []}],
}
RESOURCE = {"service.name": "chat", "k8s.pod.name": "chat-0"}


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: list[tuple[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:  # because http.server calls it so
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.taken.append((self.path, ExportLogsServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_collector_gets_records_with_their_resource(collector: Collector) -> None:
    url = f"http://127.0.0.1:{collector.server_port}/"
    sink = OtlpSink(build_exporter(url), RESOURCE)
    sink.write([LINE, {**LINE, "http.response.status_code": 503}])
    sink.close()
    ((path, request),) = collector.taken
    assert path == "/v1/logs"
    (resource,) = request.resource_logs
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert RESOURCE.items() <= named.items()
    one, two = resource.scope_logs[0].log_records
    assert (one.event_name, one.time_unix_nano) == (
        "llmdeployment.answer",
        1_700_000_000_250_000_000,
    )
    assert (one.severity_number, two.severity_number) == (9, 13)
    values = {each.key: each.value for each in one.attributes}
    assert values.keys() == LINE.keys() - {"time", "event"}
    assert values["llmdeployment.arm"].string_value == "a"
    assert values["http.response.status_code"].int_value == 200
    (reason,) = values["gen_ai.response.finish_reasons"].array_value.values
    assert reason.string_value == "stop"
    assert json.loads(values["gen_ai.input.messages"].string_value) == LINE["gen_ai.input.messages"]


class Failing(LogRecordExporter):
    """Fails so often, and then takes batches."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries = 0

    @override
    def export(self, batch: Any) -> LogRecordExportResult:
        self.tries += 1
        return (
            LogRecordExportResult.FAILURE
            if self.tries <= self.failures
            else LogRecordExportResult.SUCCESS
        )

    @override
    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    @override
    def shutdown(self) -> None:
        pass


def test_a_collector_that_is_away_is_asked_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_otlp, "PAUSE_SECONDS", 0.0)
    now = iter(range(0, 1000, 10))
    short, long = Failing(3), Failing(10**6)
    OtlpSink(short, RESOURCE, lambda: next(now)).write([LINE])
    assert short.tries == 4
    with pytest.raises(SinkError) as caught:
        OtlpSink(long, RESOURCE, lambda: next(now)).write([LINE])
    assert caught.value.reason == "collector"
    assert long.tries == GIVE_UP_SECONDS / 10


def test_a_sink_that_ends_does_not_ask_again() -> None:
    exporter = Failing(10**6)
    sink = OtlpSink(exporter, RESOURCE, lambda: 0.0)
    sink.close()
    with pytest.raises(SinkError):
        sink.write([LINE])
    assert exporter.tries == 1


def test_a_log_that_ends_interrupts_the_wait_for_one_last_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would take a minute else: the clock stands still, and so does each wait that nobody interrupts."""
    monkeypatch.setattr(log_otlp, "PAUSE_SECONDS", 600.0)
    monkeypatch.setattr(log_queue, "BATCH_SECONDS", 0.0)
    exporter, ends, counts = Failing(10**6), threading.Event(), LogCounts()
    writer = LogWriter(lambda: OtlpSink(exporter, RESOURCE, lambda: 0.0, ends), counts, ends)
    writer.put(lambda: {**LINE}, 1)
    until(lambda: exporter.tries == 1, 30, "the collector is asked")
    writer.close(30)
    assert exporter.tries == 2
    assert counts.dropped == {"collector": 1}


def test_a_log_gives_its_sink_the_event_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_otlp, "PAUSE_SECONDS", 600.0)
    monkeypatch.setattr(log_queue, "BATCH_SECONDS", 0.0)
    exporter = Failing(10**6)
    monkeypatch.setattr(log_otlp, "build_exporter", lambda _: exporter)
    log = RequestLog(RequestLogConfig(sink="OTLP", endpoint="http://collector"), Owner())
    entry = log.begin("/v1/completions", {}, "1")
    assert entry is not None
    log.add(entry, Outcome(200, 1.0))
    until(lambda: exporter.tries == 1, 30, "the collector is asked")
    log.end()
    until(lambda: log.counts.dropped["collector"], 30, "the line is dropped")
    assert exporter.tries == 2


def test_without_a_collector_lines_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert build_exporter("") is None
    with pytest.raises(SinkError, match="no collector is known") as caught:
        OtlpSink(None, RESOURCE).write([LINE])
    assert caught.value.reason == "missing"
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    exporter = build_exporter("")
    assert exporter is not None
    exporter.shutdown()


def test_what_cannot_be_encoded_is_not_tried_for_a_minute() -> None:
    exporter = Failing(0)
    with pytest.raises(TypeError):
        OtlpSink(exporter, RESOURCE).write([LINE, {**LINE, "error.type": "\ud800"}])
    assert exporter.tries == 0
