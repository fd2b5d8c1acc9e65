"""Which trace a request is a part of: HAProxy's rules for the headers `traceparent` and `tracestate`.

W3C's trace context (https://www.w3.org/TR/trace-context/): `version-trace id-parent id-flags` in lower-case hexadecimal, with 2, 32, 16 and
2 digits; the lowest bit of the flags says that the trace is sampled. Where traces are wanted, each request gets a span of its own, whose
id the replica gets as its parent, and a trace if its sender named none. Only then are ids made.
"""

import json
from dataclasses import dataclass

TRACES = "LLMD_TRACES"
"""Variable with which requests get a span (JSON); unset: none."""

LOGGED = "~%[var(txn.trace)]/%[var(txn.trace_parent)]/%[var(txn.held)]/%Tw "
"""What a log line has before the request's id, where traces are wanted."""

_HEX = "[0-9a-f]"
_IDS = f"{_HEX}{{32}}-{_HEX}{{16}}-{_HEX}{{2}}"
# A later version than 00 may go on behind the flags, and ff is none.
_VALID = f"^(00-{_IDS}|(0[1-9a-f]|[1-9a-e]{_HEX}|f[0-9a-e])-{_IDS}(-.*)?)$"
_NO_TRACE, _NO_SPAN = f"-{'0' * 32}-", f"-{'0' * 16}-"
_KNOWN = "{ var(txn.traced) -m found }"
_FIRST, _SPAN = (
    "".join(f"%[unique-id,bytes({place})]" for place in places)
    for places in (("0,8", "9,4", "14,4"), ("19,4", "24,12"))
)
"""The two halves of the request's UUID, whose digits stand in groups of 8, 4, 4, 4 and 12."""

_IS_VALID = (
    f"{{ req.fhdr_cnt(traceparent) eq 1 }} {{ req.fhdr(traceparent) -m reg '{_VALID}' }} "
    f"!{{ req.fhdr(traceparent) -m sub -- {_NO_TRACE} {_NO_SPAN} }}"
)
_DROPPING = f"""    # A malformed trace is not passed on.
    http-request set-var(txn.traced) str(yes) if {_IS_VALID}
    http-request del-header traceparent unless {_KNOWN}
    http-request del-header tracestate unless {_KNOWN}
"""


@dataclass(frozen=True)
class TracesSettings:
    """Which requests get a span: those of sampled traces, those that fail, and slow ones.

    Attributes:
        sample_percent: percent of the traces that begin here that are sampled; a sender decides for its own.
        slower_than_seconds: seconds from a request's first byte to the last one of its answer, above which it is slow.
    """

    sample_percent: int = 1
    slower_than_seconds: float = 30.0


def parse_traces(text: str) -> TracesSettings:
    """Return the settings in a variable.

    >>> parse_traces('{"samplePercent": 5, "slowerThanSeconds": 2.5}')
    TracesSettings(sample_percent=5, slower_than_seconds=2.5)

    Raises:
        ValueError: they are not such settings.
    """
    document = json.loads(text)
    percent, seconds = document["samplePercent"], document["slowerThanSeconds"]
    if not isinstance(percent, int) or not 0 <= percent <= 100:  # noqa: PLR2004  # because it is a percentage
        raise ValueError(f"samplePercent is {percent!r}; it must be a whole number from 0 to 100")
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"slowerThanSeconds is {seconds!r}; it must be a number above 0")
    return TracesSettings(percent, float(seconds))


def build_rules(traces: TracesSettings | None) -> str:
    """Return the rules that read the client's trace and, where traces are wanted, name the gateway's own span.

    Ids are parts of the request's unique id, a UUID that is made in any case: a second one and a regular expression would take longer than
    all of this. The half that is the span's has digits of the UUID's variant, so it is never 0.
    """
    if traces is None:
        return _DROPPING
    draw = f"{{ rand(100) lt {traces.sample_percent} }}"
    named = f"00-%[req.fhdr(traceparent),bytes(3,32)]-{_SPAN}"
    made = f"00-{_FIRST}{_SPAN}-{_SPAN}"
    sampled = "{ req.fhdr(traceparent),bytes(54,1) -m str 1 3 5 7 9 b d f }"
    return f"""{_DROPPING}    http-request set-var(txn.trace_parent) req.fhdr(traceparent),bytes(36,16) if {_KNOWN}
    http-request set-var-fmt(txn.trace) '{named}-00' if {_KNOWN} !{sampled}
    http-request set-var-fmt(txn.trace) '{named}-01' if {_KNOWN} {sampled}
    http-request set-var-fmt(txn.trace) '{made}-00' unless {_KNOWN}
    http-request set-var-fmt(txn.trace) '{made}-01' if !{_KNOWN} {draw}
    http-request set-header traceparent %[var(txn.trace)]
"""
