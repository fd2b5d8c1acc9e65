"""Lines on their way to a sink: bounded, counted, and nobody waits."""

import threading
import typing
from pathlib import Path
from typing import Any

import pytest
from tests.support.until import until
from typing_extensions import override

from llmdeployment_serving import log_queue
from llmdeployment_serving.log_queue import (
    BATCH_BYTES,
    BATCH_LINES,
    MOST_BYTES,
    MOST_LINES,
    RECENT_SECONDS,
    LogCounts,
    LogWriter,
    Reason,
    Sink,
    SinkError,
)
from llmdeployment_serving.log_stdout import STDOUT, StdoutSink
from llmdeployment_serving.metrics import DROP_REASONS


class Kept(Sink):
    """Keeps what it is given, once it may."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.is_open, self.is_called, self.is_closed = (threading.Event() for _ in range(3))
        self.tended = 0
        if is_open:
            self.is_open.set()

    @override
    def write(self, records: list[dict[str, Any]]) -> None:
        self.is_called.set()
        assert self.is_open.wait(30)
        self.batches.append(records)

    @override
    def tend(self) -> None:
        self.tended += 1

    @override
    def close(self) -> None:
        self.is_closed.set()

    def numbers(self) -> list[int]:
        return [record["n"] for batch in self.batches for record in batch]


class Refusing(Kept):
    """Raises these, and then takes lines."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    @override
    def write(self, records: list[dict[str, Any]]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().write(records)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "BATCH_SECONDS", 0.0)


def put(writer: LogWriter, number: int, size: int = 1) -> None:
    writer.put(lambda: {"n": number}, size)


def test_lines_are_written_in_their_order_and_in_batches() -> None:
    sink, counts = Kept(is_open=False), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    put(writer, 0)
    assert sink.is_called.wait(30)
    for number in range(1, 2 * BATCH_LINES):
        put(writer, number)
    sink.is_open.set()
    writer.close(30)
    assert sink.numbers() == list(range(2 * BATCH_LINES))
    assert max(map(len, sink.batches)) == BATCH_LINES
    assert counts.describe() == {"written": 2 * BATCH_LINES, "dropped": {}}
    assert sink.is_closed.is_set()


def test_a_sink_that_hangs_costs_lines_and_no_time() -> None:
    """Nobody who puts a line waits: this test would never end if one did."""
    sink, counts = Kept(is_open=False), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    put(writer, 0)
    assert sink.is_called.wait(30)
    for number in range(MOST_LINES + 5):
        put(writer, number + 1)
    assert counts.describe() == {"written": 0, "dropped": {"queue": 5}, "failing": "queue"}
    sink.is_open.set()
    writer.close(30)
    assert sink.numbers() == list(range(MOST_LINES + 1))
    assert counts.written == MOST_LINES + 1


def test_the_bytes_that_wait_are_bounded() -> None:
    sink, counts = Kept(is_open=False), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    put(writer, 0)
    assert sink.is_called.wait(30)
    for number in range(9):
        put(writer, number + 1, MOST_BYTES // 8)
    assert counts.dropped == {"queue": 1}
    sink.is_open.set()
    until(lambda: counts.written == 9, 30, "what waited is written")
    put(writer, 9, MOST_BYTES)
    writer.close(30)
    assert sink.numbers() == list(range(10))


def test_a_batch_is_bounded_in_bytes() -> None:
    sink, counts = Kept(is_open=False), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    put(writer, 0)
    assert sink.is_called.wait(30)
    third = BATCH_BYTES // 3
    for number, size in enumerate((third, third, third, third, 2 * BATCH_BYTES, 1)):
        put(writer, number + 1, size)
    sink.is_open.set()
    writer.close(30)
    assert [len(batch) for batch in sink.batches] == [1, 3, 1, 1, 1]
    assert sink.numbers() == list(range(7))


def test_what_waits_when_the_log_ends_is_written() -> None:
    """Also while the sink is built, which takes a while if much is imported."""
    sink, counts, is_built = Kept(), LogCounts(), threading.Event()

    def build() -> Sink:
        assert is_built.wait(30)
        return sink

    writer = LogWriter(build, counts)
    put(writer, 1)
    writer.end()
    is_built.set()
    writer.close(30)
    assert sink.numbers() == [1]


def test_a_line_that_comes_after_the_end_is_counted() -> None:
    sink, counts = Kept(), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    writer.close(30)
    put(writer, 1)
    assert counts.dropped == {"queue": 1}


@pytest.mark.parametrize("reason", DROP_REASONS)
def test_each_trouble_is_counted_and_told_once(
    reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Refusing(*(SinkError(reason, "no room") for _ in range(3)))
    counts = LogCounts()
    writer = LogWriter(lambda: sink, counts)
    for number in range(3):
        put(writer, number)
        until(lambda n=number: counts.dropped[reason] == n + 1, 30, "it is dropped")
    put(writer, 3)
    writer.close(30)
    assert counts.describe() == {"written": 1, "dropped": {reason: 3}, "failing": reason}
    assert [record.getMessage() for record in caplog.records] == [
        "the request log drops lines: no room"
    ]


def test_a_fault_of_the_log_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    sink, counts = Kept(), LogCounts()
    writer = LogWriter(lambda: sink, counts)
    writer.put(lambda: {"n": 1 // 0}, 1)
    until(lambda: counts.dropped["failed"], 30, "it is counted")
    put(writer, 1)
    writer.close(30)
    assert (sink.numbers(), counts.dropped) == ([1], {"failed": 1})
    assert "could not be made" in caplog.text


def test_a_line_that_cannot_be_written_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stdout"
    path.touch()
    monkeypatch.setenv(STDOUT, str(path))
    started, counts = threading.Event(), LogCounts()

    def build() -> Sink:
        assert started.wait(30)
        return StdoutSink()

    writer = LogWriter(build, counts)
    values: list[object] = [0, "\ud800", object(), 3]
    for value in values:
        writer.put(lambda n=value: {"n": n}, 1)
    writer.put(lambda: {"n": 1 // 0}, 1)
    put(writer, 5)
    started.set()
    writer.close(30)
    assert path.read_text() == '{"n":0}\n{"n":3}\n{"n":5}\n'
    assert (counts.written, counts.dropped) == (3, {"failed": 3})


def test_a_drop_is_told_of_for_a_while() -> None:
    now = [100.0]
    counts = LogCounts(lambda: now[0])
    counts.drop("full", 2)
    now[0] += RECENT_SECONDS - 1
    assert counts.describe() == {"written": 0, "dropped": {"full": 2}, "failing": "full"}
    now[0] += 1
    assert counts.describe() == {"written": 0, "dropped": {"full": 2}}


def test_a_sink_without_lines_is_tended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "TEND_SECONDS", 0.0)
    sink = Kept()
    writer = LogWriter(lambda: sink, LogCounts())
    until(lambda: sink.tended > 1, 30, "the sink is tended")
    writer.close(30)


def test_metrics_know_every_reason() -> None:
    assert typing.get_args(Reason) == DROP_REASONS
