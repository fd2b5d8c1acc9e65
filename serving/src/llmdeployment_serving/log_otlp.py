"""The request log at an OpenTelemetry collector: OTLP over HTTP, by the exporter of OpenTelemetry's SDK.

A collector that does not answer is asked again for a minute, and once more if the log ends meanwhile. Lines wait in the queue until then,
and what has no room there is counted. Certificates and headers come from the standard variables `OTEL_EXPORTER_OTLP_*`.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmdeployment_serving.log_queue import SinkError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Variable with the collector's base URL, if the configuration has none."""
PATH = "/v1/logs"
TRY_SECONDS = 5.0
"""Seconds that the exporter tries, with its own repetitions."""
GIVE_UP_SECONDS = 60.0
"""Seconds after which a batch is dropped."""
PAUSE_SECONDS = 1.0
_SCOPE = InstrumentationScope("llmdeployment.request_log")
_FIRST_ERROR = 400


class OtlpSink:
    """Sends lines to a collector.

    Args:
        exporter: sends a batch.
        resource: who sends: attributes of the pod.
        clock: seconds that only grow.
        ends: is set when the log ends. A batch is tried once then, and nothing waits.
    """

    def __init__(
        self,
        exporter: LogRecordExporter | None,
        resource: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        ends: threading.Event | None = None,
    ) -> None:
        self._exporter = exporter
        self._resource = Resource(dict(resource))
        self._clock = clock
        self._ends = ends or threading.Event()

    def write(self, records: list[dict[str, Any]]) -> None:
        """Send lines.

        Raises:
            SinkError: the collector did not take them, or there is none.
        """
        if self._exporter is None:
            raise SinkError("missing", f"no collector is known: {ENDPOINT} is not set")
        batch = [_convert(record, self._resource) for record in records]
        until = self._clock() + GIVE_UP_SECONDS
        while True:
            is_last = self._ends.is_set() or self._clock() >= until
            if self._exporter.export(batch) is LogRecordExportResult.SUCCESS:
                return
            if is_last:
                raise SinkError("collector", "the collector does not take them")
            self._ends.wait(PAUSE_SECONDS)

    def tend(self) -> None:
        """Do nothing: nothing is kept here."""

    def close(self) -> None:
        """End."""
        self._ends.set()
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # because the SDK does not type it


def build_exporter(endpoint: str) -> LogRecordExporter | None:
    """Return what sends to this base URL, or to that of the environment; None if there is neither."""
    base = endpoint or os.environ.get(ENDPOINT, "")
    if not base:
        return None
    return OTLPLogExporter(endpoint=base.rstrip("/") + PATH, timeout=TRY_SECONDS)


def _convert(record: Mapping[str, Any], resource: Resource) -> ReadableLogRecord:
    """Return a line as OpenTelemetry has it: messages are JSON, since attributes of attributes are not known everywhere."""
    rest = {name: value for name, value in record.items() if name not in {"time", "event"}}
    # It raises for what cannot be encoded. The exporter would only report that it failed, for a minute and for the whole batch.
    orjson.dumps(rest)
    attributes = {
        name: orjson.dumps(value).decode() if name.endswith(".messages") else value
        for name, value in rest.items()
    }
    at = round(datetime.fromisoformat(record["time"]).timestamp() * 1000) * 1_000_000
    failed = record.get("http.response.status_code", 0) >= _FIRST_ERROR
    made = LogRecord(
        timestamp=at,
        observed_timestamp=time.time_ns(),
        severity_number=SeverityNumber.WARN if failed else SeverityNumber.INFO,
        attributes=attributes,
        event_name=f"llmdeployment.{record['event']}",
    )
    return ReadableLogRecord(made, resource, _SCOPE)
