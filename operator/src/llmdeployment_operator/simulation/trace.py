"""Requests over time: traces that others recorded, read as a stream, and generators.

Formats, told apart by their first line:

- Azure LLM inference traces (2023, 2024): CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`
- Mooncake: JSON lines with `timestamp` (milliseconds), `input_length`, `output_length`
- the request log of replicas: JSON lines with `time`, `event` and tokens (`simulation.request_log`)
- plain CSV: `seconds,prompt_tokens,output_tokens`, in any order of columns

Times count from the first request. Files may end in .gz.
"""

import csv
import gzip
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.request_log import is_request_log, read_log


class Request(NamedTuple):
    """One request: when it arrives, in seconds since the start of the trace, and its tokens."""

    at: float
    prompt_tokens: int
    output_tokens: int


AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
PLAIN = ("seconds", "prompt_tokens", "output_tokens")
MOONCAKE = ("timestamp", "input_length", "output_length")

_Row = tuple[str, str, str]


@dataclass(frozen=True)
class _Format:
    """How the three fields of a row become numbers."""

    fields: tuple[str, str, str]
    seconds: Callable[[str], float]
    absolute: bool
    """Whether its times are dates, which may begin anywhere."""


def _date(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _milliseconds(text: str) -> float:
    return float(text) / 1000.0


_AZURE = _Format(AZURE, _date, absolute=True)
_PLAIN = _Format(PLAIN, float, absolute=False)
_MOONCAKE = _Format(MOONCAKE, _milliseconds, absolute=False)


def read_trace(path: Path, progress: Callable[[int], None] | None = None) -> Iterator[Request]:
    """Yield the requests of a file, one at a time; `progress` hears how many bytes of it were read.

    Raises:
        InputError: The file, the line and the field, and what is wrong.
    """
    try:
        with path.open("rb") as raw, _unpack(path, raw) as plain:
            lines = TextIOWrapper(plain, encoding="utf-8", newline="")
            yield from parse_trace(_read_number(lines, raw, progress), str(path))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _unpack(path: Path, raw: BinaryIO) -> BinaryIO:
    if path.suffix != ".gz":
        return raw
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw))


_EVERY = 4096
"""Lines between two words to `progress`."""


def _read_number(
    lines: Iterable[str], raw: BinaryIO, progress: Callable[[int], None] | None
) -> Iterator[str]:
    for number, line in enumerate(lines):
        if progress and number % _EVERY == 0:
            progress(raw.tell())
        yield line
    if progress:
        progress(raw.tell())


def parse_trace(lines: Iterable[str], name: str) -> Iterator[Request]:
    """Yield the requests in `lines`.

    >>> list(parse_trace(["seconds,prompt_tokens,output_tokens", "1.5,100,20"], "example"))
    [Request(at=0.0, prompt_tokens=100, output_tokens=20)]

    Raises:
        InputError: An unknown format, a field that is missing or no number, a negative time, or one that goes back; `name` and the
            line's number are in the sentence.
    """
    rest = iter(lines)
    head = next(rest, "")
    if is_request_log(head):
        return (Request(*row) for row in read_log(chain([head], rest), name))
    if head.lstrip().startswith("{"):
        return _requests(_json_rows(chain([head], rest), name), _MOONCAKE, name, 1)
    columns = [column.strip() for column in head.lstrip("\ufeff").strip().split(",")]
    for form in (_AZURE, _PLAIN):
        if set(form.fields) <= set(columns):
            return _requests(_csv_rows(rest, columns, form), form, name, 2)
    raise InputError(
        f"{name} is no trace that is known: its first line is neither {','.join(AZURE)} (Azure) nor {','.join(PLAIN)} nor a JSON object "
        f"with {', '.join(MOONCAKE)} (Mooncake) or with time, event and tokens (request log)"
    )


def _csv_rows(lines: Iterable[str], columns: list[str], form: _Format) -> Iterator[_Row | None]:
    first, second, third = (columns.index(field) for field in form.fields)
    for row in csv.reader(lines):
        if not row:
            yield None
            continue
        padded = row if len(row) >= len(columns) else [*row, *[""] * len(columns)]
        yield padded[first], padded[second], padded[third]


def _json_rows(lines: Iterable[str], name: str) -> Iterator[_Row | None]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield None
            continue
        try:
            document = json.loads(line)
            values = [document.get(field) for field in MOONCAKE]
        except (ValueError, AttributeError):
            raise InputError(f"{name} line {number} is no JSON object") from None
        one, two, three = ("" if value is None else str(value) for value in values)
        yield one, two, three


def _requests(
    rows: Iterable[_Row | None], form: _Format, name: str, first_line: int
) -> Iterator[Request]:
    start, before = None, 0.0
    for number, row in enumerate(rows, first_line):
        if row is None:
            continue
        where = f"{name} line {number}"
        for field, value in zip(form.fields, row, strict=True):
            if not value.strip():
                raise InputError(f"{where}: {field} is missing")
        stamp = _number(form.seconds, row[0], form.fields[0], where)
        prompt, output = (
            _tokens(value, field, where)
            for value, field in zip(row[1:], form.fields[1:], strict=True)
        )
        if not form.absolute and stamp < 0:
            raise InputError(f"{where}: {form.fields[0]} is {row[0]}, before the trace begins")
        if start is None:
            start = stamp
        at = stamp - start
        if at < before:
            raise InputError(
                f"{where}: {form.fields[0]} goes back by {before - at:.3f} s; sort the trace by time"
            )
        before = at
        yield Request(at, prompt, output)
    if start is None:
        raise InputError(f"{name} holds no requests")


def _number(convert: Callable[[str], float], text: str, field: str, where: str) -> float:
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {field} is {text!r}, which is no time")
    return value


def _tokens(text: str, field: str, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"{where}: {field} is {text!r}, not a whole number") from None
    if not 1 <= value <= 2**31:
        raise InputError(f"{where}: {field} is {text}; a request has at least 1, at most 2**31")
    return value


def faster(trace: Iterable[Request], speed: float) -> Iterator[Request]:
    """Yield a trace `speed` times as fast: the same requests in 1/`speed` of the time.

    >>> list(faster([Request(8.0, 100, 10)], 4))
    [Request(at=2.0, prompt_tokens=100, output_tokens=10)]

    Raises:
        InputError: speed is not above 0.
    """
    if not 0 < speed < math.inf:
        raise InputError(f"a speed of {speed} is not above 0")
    return (Request(at / speed, prompt, output) for at, prompt, output in trace)
