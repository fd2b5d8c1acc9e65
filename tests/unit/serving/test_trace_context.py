import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.trace_context import (
    TraceContext,
    format_traceparent,
    join_trace,
    parse_traceparent,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = TraceContext(TRACE, PARENT, sampled=True)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        # Other flags say nothing of sampling.
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"00-{TRACE}-{PARENT}-fe", False),
        # A later version may go on.
        (f"01-{TRACE}-{PARENT}-01-more", True),
        (f"fe-{TRACE}-{PARENT}-00", False),
    ],
)
def test_a_trace_is_read(header: str, *, sampled: bool) -> None:
    assert parse_traceparent(header.encode()) == TraceContext(TRACE, PARENT, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01 ",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"ff-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
    ],
)
def test_a_malformed_trace_is_none(header: str) -> None:
    assert parse_traceparent(header.encode()) is None


@given(st.binary(max_size=70))
def test_any_bytes_are_read_or_refused(header: bytes) -> None:
    found = parse_traceparent(header)

    assert found is None or (len(found.trace_id), len(found.parent_id)) == (32, 16)


@given(trace=st.integers(1, 2**128 - 1), span=st.integers(1, 2**64 - 1), sampled=st.booleans())
def test_what_is_written_is_read(trace: int, span: int, *, sampled: bool) -> None:
    ids = f"{trace:032x}", f"{span:016x}"

    assert parse_traceparent(format_traceparent(*ids, sampled=sampled)) == TraceContext(
        *ids, sampled
    )


@pytest.mark.parametrize(
    ("header", "percent", "drawn", "sampled"),
    [
        (None, 1.0, 0.0099, True),
        (None, 1.0, 0.01, False),
        (None, 0.0, 0.0, False),
        (None, 100.0, 0.999999, True),
        # The sender decides for its own traces, whatever is drawn.
        (f"00-{TRACE}-{PARENT}-00", 100.0, 0.0, False),
        (f"00-{TRACE}-{PARENT}-01", 0.0, 0.99, True),
        # A malformed one is as none.
        ("nonsense", 50.0, 0.49, True),
    ],
)
def test_who_decides_what_is_sampled(
    header: str | None, percent: float, drawn: float, *, sampled: bool
) -> None:
    value = header.encode() if header is not None else None
    found = join_trace(value, percent, lambda: drawn, lambda size: "ab" * size)

    assert found.sampled is sampled
    named = parse_traceparent(value or b"") is not None
    ids = (TRACE, PARENT) if named else ("ab" * 16, "")
    assert (found.trace_id, found.parent_id) == ids
