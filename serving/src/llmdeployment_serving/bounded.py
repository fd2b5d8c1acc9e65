"""The bounded sample: requests of which a user who sends much has no more than one who sends little.

A request is in the sample with the probability

    p = min(1, BOUND / N)

where N is how many requests the user (the bucket of assignment) sent in the last ten minutes, this one included: the gateway says it in
`x-llm-user-requests`. So a user has about BOUND requests of ten minutes in the sample, however many there were. With N = 80, p is
20 / 80 = 1/4. Requests of both revisions are drawn by this one rule, which looks at nothing else: both samples estimate the mean of
requests whose users are bounded.

The bound is that of one gateway pod, which knows its own requests: with three pods a user has up to 60. Gateways have the same rule for
what they count.
"""

import random
from collections.abc import Iterable, Mapping

RECENT_HEADER = b"x-llm-user-requests"
UNCOUNTED_HEADER = b"x-llm-uncounted"
"""The console sets it to `true` for its chats: no verdict sees them and no shadow repeats them. Gateways remove it from what clients
send."""

BOUND = 20
"""Requests of a user in ten minutes that are in the sample, about."""

_DIGITS = 10


def is_counted(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether the request of these headers is in any sample.

    >>> is_counted([(b"x-llm-uncounted", b"yes")]), is_counted([(b"x-llm-uncounted", b"true")])
    (True, False)
    """
    return (UNCOUNTED_HEADER, b"true") not in headers


def is_drawn(headers: Mapping[bytes, bytes]) -> bool:
    """Draw whether the request of these headers is in the bounded sample."""
    drawn = random.random()  # noqa: S311  # because a sample keeps no secret
    return is_in_sample(read_recent(headers.get(RECENT_HEADER, b"")), drawn)


def read_recent(header: bytes) -> int | None:
    """Return N of an `x-llm-user-requests`; None for what no gateway writes, as without the header.

    >>> [read_recent(header) for header in (b"7", b"0", b"", b"-1", b"1.5", b"9" * 11)]
    [7, None, None, None, None, None]
    """
    if not header.isdigit() or len(header) > _DIGITS:
        return None
    return int(header) or None


def is_in_sample(recent: int | None, drawn: float) -> bool:
    """Say whether a request is in the bounded sample.

    Args:
        recent: N; None if nobody says it (the request has no assignment key, or the gateway is of an older image): always in the sample.
        drawn: a random number from 0 to 1, 1 excluded.

    >>> [is_in_sample(80, drawn) for drawn in (0.0, 0.24, 0.25, 0.99)], is_in_sample(20, 0.99), is_in_sample(None, 0.99)
    ([True, True, False, False], True, True)
    """
    return recent is None or drawn * recent < BOUND
