"""Durations as people read them: `40 s`, `3 min`."""

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400

_STEPS = ((MINUTE, 10), (10 * MINUTE, MINUTE), (HOUR, 10 * MINUTE), (DAY, HOUR))
"""Below so many seconds, an age is given in steps of so many seconds; above all of them, in days."""


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> [format_duration(seconds) for seconds in (0.4, 40, 180, 330, 7200, 90061)]
    ['0 s', '40 s', '3 min', '5 min 30 s', '2 h', '1 d 1 h']
    """
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    kept = [f"{number} {unit}" for number, unit in parts[:2] if number]
    return " ".join(kept) or "0 s"


def round_age(seconds: float) -> int:
    """Return an age in seconds, rounded down to a step that grows with it, so that a message does not change at every pass.

    >>> [round_age(seconds) for seconds in (-5, 7, 47, 119, 1000, 9999, 200000)]
    [0, 0, 40, 60, 600, 7200, 172800]
    """
    step = next((step for below, step in _STEPS if seconds < below), DAY)
    return max(0, int(seconds // step) * step)


def seconds_to_next_age(seconds: float) -> float:
    """Return in how many seconds `round_age` changes.

    >>> [seconds_to_next_age(seconds) for seconds in (-5, 7, 47, 119, 1000)]
    [15, 3, 3, 1, 200]
    """
    step = next((step for below, step in _STEPS if seconds < below), DAY)
    return (max(0, seconds) // step + 1) * step - seconds


def describe_age(since: datetime, now: datetime) -> str:
    """Return a sentence that says how long something has lasted; nothing during the first 10 seconds.

    >>> start = datetime(2026, 1, 1)
    >>> describe_age(start, datetime(2026, 1, 1, 0, 3, 20)), describe_age(start, start)
    ('This has taken 3 min so far.', '')
    """
    age = round_age((now - since).total_seconds())
    return f"This has taken {format_duration(age)} so far." if age else ""
