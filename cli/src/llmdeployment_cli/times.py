"""Times in a form for people."""

import re
from datetime import UTC, datetime

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def format_span(seconds: float) -> str:
    """Return a duration in seconds as its two largest units, as kubectl writes ages.

    >>> format_span(45), format_span(754), format_span(7200), format_span(200_000), format_span(-3)
    ('45s', '12m34s', '2h', '2d7h', '0s')
    """
    left = max(0, int(seconds))
    for place, (unit, size) in enumerate(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            small, below = (*_UNITS, ("s", 1))[place + 1]
            return f"{whole}{unit}{rest // below}{small}" if rest // below else f"{whole}{unit}"
    return f"{left}s"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as kubectl takes it: numbers with units, or a number of seconds.

    Raises:
        ValueError: it is no duration.

    >>> parse_duration("90"), parse_duration("1h30m"), parse_duration("1.5s"), parse_duration("200ms")
    (90.0, 5400.0, 1.5, 0.2)
    """
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration. Write it as 30s, 10m or 1h30m.")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_time(text: str | None) -> datetime | None:
    """Return the time in a status, or None if it is missing or unreadable."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def format_age(text: str | None, now: datetime) -> str:
    """Return how long ago a time in a status was; `-` if it is missing.

    >>> from datetime import UTC
    >>> format_age("2026-11-24T12:00:00Z", datetime(2026, 11, 24, 12, 5, tzinfo=UTC))
    '5m'
    """
    found = parse_time(text)
    return format_span((now - found).total_seconds()) if found is not None else "-"


def read_clock() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
