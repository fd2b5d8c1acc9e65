"""The three copies of the queue of spans, with a collector in this process."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from tests.support.otlp_receiver import receive_spans

from llmdeployment_operator.plan.base.span import Span
from llmdeployment_operator.span_export import BATCH, MOST_WAITING, SpanExport

ROOT = Path(__file__).resolve().parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
RESOURCE = {"service.name": "tested"}


def span(number: int = 1, **more: Any) -> Span:
    return Span("step", TRACE, f"{number:016x}", 1_000, 2_000, **more)


class Collector:
    """Takes batches, or does not; it can hang."""

    def __init__(self, answer: Callable[[], SpanExportResult]) -> None:
        self.batches: list[int] = []
        self._answer = answer

    def export(self, spans: Any, /) -> SpanExportResult:
        self.batches.append(len(spans))
        return self._answer()


def test_the_copies_are_one_text() -> None:
    """The packages ship apart, and so each has its own."""
    folders = {
        "llmdeployment_operator.plan.base.span": "operator/src/llmdeployment_operator",
        "llmdeployment_gateway.span": "gateway/src/llmdeployment_gateway",
        "llmdeployment_serving.span": "serving/src/llmdeployment_serving",
    }
    exports = {
        (ROOT / folder / "span_export.py").read_text().replace(module, "SPAN")
        for module, folder in folders.items()
    }
    spans = {
        (ROOT / "operator/src/llmdeployment_operator/plan/base/span.py").read_text(),
        (ROOT / "gateway/src/llmdeployment_gateway/span.py").read_text(),
        (ROOT / "serving/src/llmdeployment_serving/span.py").read_text(),
    }

    assert (len(exports), len(spans)) == (1, 1)


def test_a_span_arrives_as_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with receive_spans() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
        export = SpanExport(RESOURCE, batch_seconds=0)
        export.put(
            span(
                parent_id="b7ad6b7169203331",
                kind="server",
                error="it failed",
                attributes={"a": 1, "b": 0.5, "c": "text", "d": ("x", "y"), "e": True},
            )
        )
        (found,) = received.wait_for(lambda spans: len(spans) == 1)
        export.close(5)

    assert (found.name, found.trace_id, found.span_id) == ("step", TRACE, "0" * 15 + "1")
    assert (found.parent_id, found.kind, found.error) == ("b7ad6b7169203331", 2, "it failed")
    assert (found.start, found.end) == (1_000, 2_000)
    assert found.attributes == {"a": 1, "b": 0.5, "c": "text", "d": ["x", "y"], "e": True}
    assert found.resource == RESOURCE
    assert received.headers["authorization"] == "Bearer secret"
    assert (export.exported, export.dropped) == (1, 0)


def test_a_collector_that_hangs_costs_spans_and_no_time() -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def hang() -> SpanExportResult:
        begun.set()
        goes_on.wait(20)
        return SpanExportResult.SUCCESS

    collector = Collector(hang)
    export = SpanExport(RESOURCE, lambda: collector, batch_seconds=0)
    export.put(span())
    assert begun.wait(20)
    for number in range(MOST_WAITING + 5):
        export.put(span(number + 2))

    assert (export.exported, export.dropped) == (0, 5)
    goes_on.set()
    export.close(20)
    assert (export.exported, export.dropped) == (MOST_WAITING + 1, 5)
    assert max(collector.batches) == BATCH


@pytest.mark.parametrize("raises", [False, True])
def test_what_the_collector_does_not_take_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture, *, raises: bool
) -> None:
    answers = [SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS]

    def answer() -> SpanExportResult:
        found = answers.pop(0)
        if raises and found is SpanExportResult.FAILURE:
            raise ValueError("no such attribute")
        return found

    sent = threading.Semaphore(0)

    class Telling(Collector):
        def export(self, spans: Any, /) -> SpanExportResult:
            try:
                return super().export(spans)
            finally:
                sent.release()

    export = SpanExport(RESOURCE, lambda: Telling(answer), batch_seconds=0)
    with caplog.at_level("INFO"):
        for number in range(3):
            export.put(span(number + 1))
            assert sent.acquire(timeout=20)
        export.close(20)

    assert (export.exported, export.dropped) == (1, 2)
    assert caplog.text.count("does not take spans") == 1
    assert caplog.text.count("takes spans again") == 1


def test_an_exporter_that_cannot_be_made_costs_spans_only() -> None:
    def fail() -> Any:
        raise ValueError("no such scheme")

    export = SpanExport(RESOURCE, fail, batch_seconds=0)
    export.put(span())
    export.close(20)

    assert (export.exported, export.dropped) == (0, 1)


def test_nothing_is_imported_before_the_first_span() -> None:
    modules = (
        "llmdeployment_serving.asgi",
        "llmdeployment_gateway.agent",
        "llmdeployment_operator.handlers.run",
    )
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
