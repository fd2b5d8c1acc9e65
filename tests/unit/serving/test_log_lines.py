"""The request log alone, without a replica: which requests are lines, what waits, and standard output."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.unit.serving.test_asgi import CHAT
from tests.unit.serving.test_request_log import Kept

from llmdeployment_serving import request_log
from llmdeployment_serving.answer_text import Choice, ToolCall
from llmdeployment_serving.config import RequestLogConfig
from llmdeployment_serving.log_entry import LogEntry, Outcome
from llmdeployment_serving.log_queue import MOST_LINES, SinkError
from llmdeployment_serving.log_stdout import STDOUT, StdoutSink
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.request_log import RequestLog, choose_sink

if TYPE_CHECKING:
    from pathlib import Path


def begin(log: RequestLog, **headers: str) -> LogEntry | None:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return log.begin(CHAT, given, "1")


@pytest.mark.parametrize(("drawn", "is_logged"), [(0.0, True), (0.249, True), (0.25, False)])
def test_a_sample_is_drawn(drawn: float, is_logged: bool) -> None:  # noqa: FBT001  # because pytest passes it so
    config = RequestLogConfig(sample_percent=25)
    log = RequestLog(config, Owner(), lambda *_: Kept(), draw=lambda: drawn)
    assert (begin(log) is not None) == is_logged
    log.close()


def test_a_request_that_no_client_sent_is_no_line() -> None:
    log = RequestLog(RequestLogConfig(), Owner(), lambda *_: Kept())
    assert begin(log, x_llm_shadow="1") is None
    entry = begin(log, x_request_id="x" * 9999)
    assert entry is not None
    assert len(entry.headers["llmdeployment.request_id"]) == 256
    log.close()


def test_who_writes_is_in_each_line() -> None:
    sink = Kept()
    log = RequestLog(RequestLogConfig(), Owner("team", "chat"), lambda *_: sink)
    entry = begin(log)
    assert entry is not None
    log.add(entry, Outcome(200, 1.0))
    log.close()
    (line,) = sink.lines
    assert (line["k8s.namespace.name"], line["llmdeployment.name"]) == ("team", "chat")


@pytest.mark.parametrize(("level", "has_text"), [("Metadata", False), ("Content", True)])
def test_only_content_keeps_what_the_model_said_while_it_waits(
    level: Literal["Metadata", "Content"],
    has_text: bool,  # noqa: FBT001  # because pytest passes it so
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Outcome] = []

    def build(_: LogEntry, outcome: Outcome, *__: object) -> dict[str, Any]:
        kept.append(outcome)
        return {}

    monkeypatch.setattr(request_log, "build_record", build)
    log = RequestLog(RequestLogConfig(level=level), Owner(), lambda *_: Kept())
    entry = begin(log)
    assert entry is not None
    choice = Choice(("hello",), "stop", (ToolCall("mail", "{}"),))
    log.add(entry, Outcome(200, 1.0, choices=(choice,)))
    log.close()
    (outcome,) = kept
    assert outcome.choices == ((choice,) if has_text else (Choice((), "stop"),))


def test_lines_that_wait_are_bounded_while_a_sink_hangs() -> None:
    sink = Kept()
    sink.may_write.clear()
    log = RequestLog(RequestLogConfig(), Owner(), lambda *_: sink)
    entry = begin(log)
    assert entry is not None
    for _ in range(2 * MOST_LINES + 1000):
        log.add(entry, Outcome(200, 1.0))
    assert log.counts.dropped["queue"] > 0
    sink.may_write.set()
    log.close()


def test_standard_output_is_the_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.touch()
    monkeypatch.setenv(STDOUT, str(path))
    sink = choose_sink(RequestLogConfig(), Owner())
    assert isinstance(sink, StdoutSink)
    sink.write([{"a": 1}, {"b": "\u00fc"}])
    sink.close()
    assert path.read_text(encoding="utf-8") == '{"a":1}\n{"b":"\u00fc"}\n'


def test_standard_output_that_nobody_reads_costs_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    monkeypatch.setenv(STDOUT, f"/proc/self/fd/{writes}")
    sink = StdoutSink()
    os.close(writes)
    os.close(reads)
    with pytest.raises(SinkError) as caught:
        sink.write([{"a": 1}])
    assert caught.value.reason == "failed"
    sink.close()


def test_another_log_than_the_configurations_is_refused() -> None:
    for wrong in ({"level": "All"}, {"samplePercent": 0}, {"sink": "Disk"}, {"more": 1}):
        with pytest.raises(ValueError, match="validation error"):
            RequestLogConfig.model_validate(wrong)
