"""W3C's trace context (https://www.w3.org/TR/trace-context/): which trace a request is a part of, and whether it is sampled.

The header `traceparent` is `version-trace id-parent id-flags` in lower-case hexadecimal, with 2, 32, 16 and 2 digits. The lowest bit of
the flags says that the trace is sampled. A header of a later version than 00 may go on behind these four.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"

_SAMPLED = 0x01
_traceparent = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-[ -~]*)?"
)
_no_trace, _no_span = b"0" * 32, b"0" * 16


@dataclass(frozen=True)
class TraceContext:
    """The trace of a request.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent_id: the span that the request was sent by, 16 hexadecimal digits; empty for a trace that begins here.
        sampled: whether its spans are exported in any case.
    """

    trace_id: str
    parent_id: str
    sampled: bool


def parse_traceparent(value: bytes) -> TraceContext | None:
    """Return the trace that a `traceparent` names, or None if it is malformed.

    >>> parse_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    TraceContext(trace_id='0af7651916cd43dd8448eb211c80319c', parent_id='b7ad6b7169203331', sampled=True)
    >>> parse_traceparent(b"00-00000000000000000000000000000000-b7ad6b7169203331-01")
    """
    found = _traceparent.fullmatch(value)
    if found is None or found["version"] == b"ff" or (found["version"] == b"00" and found["more"]):
        return None
    if found["trace"] == _no_trace or found["parent"] == _no_span:
        return None
    sampled = bool(int(found["flags"], 16) & _SAMPLED)
    return TraceContext(found["trace"].decode(), found["parent"].decode(), sampled)


def format_traceparent(trace_id: str, span_id: str, *, sampled: bool) -> bytes:
    """Return the header that a span sends with its own requests.

    >>> format_traceparent("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
    b'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    """
    return f"00-{trace_id}-{span_id}-{_SAMPLED if sampled else 0:02x}".encode()


def join_trace(
    value: bytes | None, percent: float, draw: Callable[[], float], make_id: Callable[[int], str]
) -> TraceContext:
    """Return the trace of a request: the one that it names, or a new one.

    The sender decides whether its trace is sampled. Of new ones, `percent` of 100 are.

    Args:
        value: the header `traceparent`; None without one.
        percent: percent of the new traces that are sampled.
        draw: a random number from 0 to 1, exclusive.
        make_id: so many random bytes, in hexadecimal.
    """
    named = parse_traceparent(value) if value is not None else None
    if named is not None:
        return named
    return TraceContext(make_id(16), "", draw() * 100 < percent)
