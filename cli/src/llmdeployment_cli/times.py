"""Times in a form for people."""

from datetime import datetime

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


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
