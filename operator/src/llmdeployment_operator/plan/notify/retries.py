"""Whether and when a message that a receiver did not take is sent again."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

TRIES = 10
LIFE_SECONDS = 3600.0
"""A message that is older is given up: what it says is no news any more."""
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
"""The shortest and the longest time between two tries."""
RETRY_AFTER_SECONDS = 900.0
"""The longest time that a receiver may ask for."""

_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


def is_success(status: int) -> bool:
    """Say whether a receiver took the message."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def is_tried_again(status: int | None) -> bool:
    """Say whether another try may help; None is no answer. A redirect is not followed: the URL of the receiver is to be changed."""
    return status is None or status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def find_pause(tries: int, age: float, retry_after: float, chance: float) -> float | None:
    """Return how long to wait before the next try, in seconds, or None: the message is given up.

    The pause after try n is min(600, 5 * 2^(n - 1)) * (1 + chance) / 2, so that receivers that come back are not called by all at once.

    >>> [find_pause(n, 0, 0, chance=1.0) for n in (1, 2, 8, 9)]
    [5.0, 10.0, 600.0, 600.0]
    >>> find_pause(1, 0, 0, chance=0.0), find_pause(1, 0, retry_after=86400, chance=0.0)
    (2.5, 900.0)
    >>> find_pause(10, 0, 0, chance=0.0), find_pause(1, 3599, 0, chance=0.0)
    (None, None)

    Args:
        tries: that were made.
        age: of the message, in seconds.
        retry_after: seconds that the receiver asked for; 0: it did not.
        chance: from 0 to 1.
    """
    if tries >= TRIES:
        return None
    backoff = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (tries - 1)) * (1 + chance) / 2
    pause = max(backoff, min(retry_after, RETRY_AFTER_SECONDS))
    return pause if age + pause <= LIFE_SECONDS else None


def read_retry_after(text: str, now: datetime) -> float:
    """Return the seconds of a header Retry-After, which has seconds or a date; 0 if it cannot be read.

    >>> from datetime import UTC
    >>> now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    >>> [read_retry_after(text, now) for text in ("120", "Fri, 02 Jan 2026 03:04:35 GMT", "soon")]
    [120.0, 30.0, 0.0]
    """
    text = text.strip()[:64]
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (at - now).total_seconds()) if at.tzinfo is not None else 0.0
