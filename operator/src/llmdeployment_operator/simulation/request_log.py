"""The request log as a trace: when answered requests came, and their tokens. docs/how-to/request-log.md says what a line holds.

A line is written when an answer ends, so requests that came earlier may stand later in a file. They are put in order within an hour, which
no request lasts. Lines of several pods must be sorted: `sort` does it, because a line begins with its time.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from llmdeployment_operator.simulation.errors import InputError

LONGEST_SECONDS = 3600.0
"""Seconds between the arrival of a request and its line, at most."""
_MOST = 2**31
PROMPT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


def is_request_log(line: str) -> bool:
    """Say whether a file that begins with this line is a request log.

    >>> is_request_log('{"time":"2026-11-30T10:00:00.000Z","event":"answer"}'), is_request_log('{"timestamp": 0}')
    (True, False)
    """
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and {"time", "event"} <= document.keys()


def read_log(lines: Iterable[str], name: str) -> Iterator[tuple[float, int, int]]:
    """Yield when requests came, in seconds since the first, and their tokens, by arrival.

    Votes, refusals, broken streams and answers that do not say their tokens are passed over.

    >>> def line(at, tokens): return json.dumps({"time": f"2026-11-30T10:00:{at:02d}Z", "event": "answer", PROMPT: tokens, OUTPUT: 1})
    >>> list(read_log([line(5, 50), line(2, 20), '{"event": "feedback"}'], "example"))
    [(0.0, 20, 1), (3.0, 50, 1)]

    Raises:
        InputError: a line that is none, no time, or one that goes back by more than an hour; `name` and the line's number are in the
            sentence.
    """
    start, last = None, 0.0
    for at, prompt, output in _sort(_read_rows(lines, name)):
        if start is None:
            start = last = at
        if at < last:
            raise InputError(
                f"{name}: time goes back by {last - at:.0f} s; sort the lines, which begin with their time"
            )
        last = at
        yield at - start, prompt, output
    if start is None:
        raise InputError(f"{name} holds no answer with its tokens")


def _sort(rows: Iterable[tuple[float, int, int]]) -> Iterator[tuple[float, int, int]]:
    """Yield rows by time, as far as a window of `LONGEST_SECONDS` can tell."""
    heap: list[tuple[float, int, int]] = []
    for row in rows:
        heapq.heappush(heap, row)
        while heap[0][0] < row[0] - LONGEST_SECONDS:
            yield heapq.heappop(heap)
    while heap:
        yield heapq.heappop(heap)


def _read_rows(lines: Iterable[str], name: str) -> Iterator[tuple[float, int, int]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise InputError(f"{name} line {number} is no JSON object")
        prompt, output = (_read_count(document.get(field)) for field in (PROMPT, OUTPUT))
        if document.get("event") == "answer" and prompt is not None and output is not None:
            yield _read_time(document.get("time"), f"{name} line {number}"), prompt, output


def _read_count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST
    return value if is_count and isinstance(value, int) else None


def _read_time(value: object, where: str) -> float:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InputError(f"{where}: time is {value!r}, which is no time with its zone")
    return found.timestamp()
