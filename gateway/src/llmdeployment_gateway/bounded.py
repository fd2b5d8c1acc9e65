"""The bounded sample: requests of which a user who sends much has no more than one who sends little.

A request is in the sample with the probability

    p = min(1, BOUND / N)

where N is how many requests the user (the bucket of assignment) sent in the last ten minutes, this one included. So a user has about
BOUND requests of ten minutes in the sample, however many there were. With N = 80, p is 20 / 80 = 1/4. Requests of both revisions
are drawn by this one rule, which looks at nothing else: both samples estimate the mean of requests whose users are bounded.

The bound is that of one gateway pod, which knows its own requests: with three pods a user has up to 60. Replicas have the same rule for
what they count.
"""

from collections.abc import Callable

BOUND = 20
"""Requests of a user in ten minutes that are in the sample, about."""
BOUND_SECONDS = 600
"""The ten minutes: HAProxy counts them in its table `rates`."""


def is_in_sample(recent: int | None, drawn: float) -> bool:
    """Say whether a request is in the bounded sample.

    Args:
        recent: N; None for a request without an assignment key, which is always in the sample.
        drawn: a random number from 0 to 1, 1 excluded.

    >>> [is_in_sample(80, drawn) for drawn in (0.0, 0.24, 0.25, 0.99)], is_in_sample(20, 0.99), is_in_sample(None, 0.99)
    ([True, True, False, False], True, True)
    """
    return recent is None or drawn * recent < BOUND


class RecentVotes:
    """How many votes each bucket had in the last ten minutes.

    A vote comes long after its request, so the agent counts votes by itself, as HAProxy does requests: those of the period under way,
    and of the one before it the part that is not ten minutes old, as if they had come evenly.

    Args:
        read_time: seconds on a monotonic clock.
    """

    def __init__(self, read_time: Callable[[], float]) -> None:
        self._read_time = read_time
        self._period = 0
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def add(self, bucket: int) -> int:
        """Count a vote, and return how many its bucket had, this one included."""
        period, since = divmod(self._read_time(), BOUND_SECONDS)
        if period != self._period:
            self._before = self._now if period == self._period + 1 else {}
            self._now, self._period = {}, int(period)
        self._now[bucket] = self._now.get(bucket, 0) + 1
        left = self._before.get(bucket, 0) * (1 - since / BOUND_SECONDS)
        return self._now[bucket] + int(left)
