"""Lines on their way to a sink: a bounded queue, and a thread that writes what is in it. Nobody who answers waits for either."""

import atexit
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

logger = logging.getLogger(__name__)

MOST_LINES = 4096
"""Lines that wait for the sink, at most."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes of these lines, at most."""
BATCH_LINES = 256
"""Lines of one write."""
BATCH_BYTES = 2 * 1024 * 1024
"""Bytes of these lines, at most, unless one alone has more: collectors refuse large requests."""
BATCH_SECONDS = 0.25
"""Seconds that lines are collected for one write. It is what a process that is killed loses."""
TEND_SECONDS = 600.0
"""Seconds between two looks of the sink at what it keeps, while no line comes."""
CLOSE_SECONDS = 2.0
"""Seconds that an ending process waits for its last lines."""
RECENT_SECONDS = 300.0
"""A drop is told of for this long."""

Reason = Literal["queue", "full", "missing", "failed", "collector"]
"""Why a line was dropped: the sink is slower than the requests; the claim has no room; it is not mounted; it, or standard output, refuses
a write; the collector does not take it."""
Line = Callable[[], dict[str, Any]]
"""Makes a record. The thread calls it, so that redaction takes no time of who answers."""


class SinkError(Exception):
    """A sink did not take lines.

    Args:
        reason: for the counter.
        message: for the log.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sink(Protocol):
    """Where lines go. Only the writer's thread calls it."""

    def write(self, records: list[dict[str, Any]]) -> None:
        """Write all of these, or raise and have written none.

        Raises:
            SinkError: it does not take lines now.
            TypeError, ValueError: one of these cannot be encoded.
        """

    def tend(self) -> None:
        """Look after what was written."""

    def close(self) -> None:
        """End."""


class LogCounts:
    """How many lines were written, and dropped by reason, since the process began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.written = 0
        self.dropped: Counter[Reason] = Counter()
        self._clock = clock
        self._last: tuple[float, Reason] | None = None
        self._lock = threading.Lock()

    def write(self, lines: int) -> None:
        """Count lines that were written."""
        self.written += lines

    def drop(self, reason: Reason, lines: int) -> None:
        """Count lines that were dropped."""
        with self._lock:
            self.dropped[reason] += lines
            self._last = self._clock(), reason

    def describe(self) -> dict[str, Any]:
        """Return the part of `/stats`; `failing` says why lines were dropped lately, and is absent if none was."""
        found: dict[str, Any] = {"written": self.written, "dropped": dict(self.dropped)}
        if self._last is not None and self._clock() - self._last[0] < RECENT_SECONDS:
            found["failing"] = self._last[1]
        return found


class LogWriter:
    """The queue and its thread.

    Args:
        build_sink: returns where lines go. The thread calls it: a sink may import much.
        counts: where they are counted.
        is_closed: is set when it ends. A sink that waits for something may look at it.
    """

    def __init__(
        self,
        build_sink: Callable[[], Sink],
        counts: LogCounts,
        is_closed: threading.Event | None = None,
    ) -> None:
        self._build_sink = build_sink
        self._counts = counts
        self._lines: deque[tuple[Line, int]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._has_lines, self._is_closed = threading.Event(), is_closed or threading.Event()
        self._told: Reason | None = None
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def put(self, line: Line, size: int) -> None:
        """Take a line, or count it as dropped. Returns at once."""
        with self._lock:
            has_room = len(self._lines) < MOST_LINES and self._bytes + size <= MOST_BYTES
            is_taken = has_room and not self._is_closed.is_set()
            if is_taken:
                self._lines.append((line, size))
                self._bytes += size
        if not is_taken:
            self._counts.drop("queue", 1)
        elif not self._has_lines.is_set():
            self._has_lines.set()

    def end(self) -> None:
        """Write what waits and end, without anybody who waits for it."""
        atexit.unregister(self.close)
        with self._lock:
            # A line that was taken is written.
            self._is_closed.set()
        self._has_lines.set()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, for as long as `seconds` at most, and end."""
        self.end()
        self._thread.join(seconds)

    def _run(self) -> None:
        sink = self._build_sink()
        try:
            while not self._is_closed.is_set():
                if not self._has_lines.wait(TEND_SECONDS):
                    sink.tend()
                    continue
                self._is_closed.wait(BATCH_SECONDS)
                self._has_lines.clear()
                self._write_waiting(sink)
            # What came after the last look, or while the sink was built.
            self._write_waiting(sink)
        finally:
            sink.close()

    def _write_waiting(self, sink: Sink) -> None:
        while lines := self._take():
            self._write(sink, lines)

    def _take(self) -> list[Line]:
        """Return the lines of the next write; none if none waits."""
        taken: list[Line] = []
        total = 0
        with self._lock:
            while self._lines and len(taken) < BATCH_LINES:
                line, size = self._lines[0]
                if taken and total + size > BATCH_BYTES:
                    break
                self._lines.popleft()
                taken.append(line)
                total += size
            self._bytes -= total
        return taken

    def _write(self, sink: Sink, lines: list[Line]) -> None:
        records = []
        for line in lines:
            try:
                records.append(line())
            except Exception:  # because the log must not end with one line
                self._counts.drop("failed", 1)
                logger.exception("a line of the request log could not be made")
        if records:
            self._send(sink, records)

    def _send(self, sink: Sink, records: list[dict[str, Any]]) -> None:
        try:
            sink.write(records)
        except SinkError as error:
            self._fail(error.reason, len(records), str(error))
        except (TypeError, ValueError) as error:
            if len(records) > 1:
                # Some record cannot be encoded, which costs that one alone.
                for record in records:
                    self._send(sink, [record])
                return
            self._fail("failed", 1, f"a line could not be encoded: {type(error).__name__}")
        except Exception:  # because a line must not end the thread that writes the others
            self._counts.drop("failed", len(records))
            logger.exception("lines of the request log could not be written")
        else:
            self._counts.write(len(records))
            self._told = None

    def _fail(self, reason: Reason, lines: int, message: str) -> None:
        self._counts.drop(reason, lines)
        # Once for each trouble: a full claim must not fill the log as well.
        if self._told != reason:
            logger.warning("the request log drops lines: %s", message)
        self._told = reason
