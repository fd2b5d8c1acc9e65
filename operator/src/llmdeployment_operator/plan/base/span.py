"""A finished span of a trace, as data: what it is called, when it began and ended, and what it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Attribute = str | bool | int | float | Sequence[str]


@dataclass(frozen=True)
class Span:
    """A span that has ended.

    Attributes:
        name: what it is called; of few different values.
        trace_id: 32 lower-case hexadecimal digits.
        span_id: 16 of them.
        start: when it began, in nanoseconds since 1970.
        end: when it ended, likewise.
        parent_id: the span that it is a part of, or empty.
        kind: `server` for a request that came from elsewhere, else `internal`.
        attributes: what is known of it.
        error: why it failed, or empty.
    """

    name: str
    trace_id: str
    span_id: str
    start: int
    end: int
    parent_id: str = ""
    kind: Literal["internal", "server"] = "internal"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""
