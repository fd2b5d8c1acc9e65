"""How many requests each bucket sent in the last ten minutes, as a gateway counts them."""

from collections import Counter
from collections.abc import Iterable

SECONDS = 600.0


class RecentRequests:
    """Requests of the period under way, and of the one before it the part that is not ten minutes old, as if they had come evenly.

    Args:
        before: the buckets of the requests of the ten minutes before the first one that is added.
    """

    def __init__(self, before: Iterable[int]) -> None:
        self._before, self._now = Counter(before), Counter[int]()
        self._begin: float | None = None

    def add(self, bucket: int, at: float) -> int:
        """Count a request at `at` (seconds, never before an earlier one), and return how many its bucket sent, this one included."""
        if self._begin is None:
            self._begin = at
        if at >= self._begin + SECONDS:
            periods = (at - self._begin) // SECONDS
            self._before = self._now if periods == 1 else Counter()
            self._now = Counter()
            self._begin += periods * SECONDS
        self._now[bucket] += 1
        left = self._before[bucket] * (1 - (at - self._begin) / SECONDS)
        return self._now[bucket] + int(left)
