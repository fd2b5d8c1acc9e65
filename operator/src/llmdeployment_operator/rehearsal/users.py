"""Users, whom no trace knows: how often each asks, which bucket he is assigned to, and what his requests are like."""

import hashlib
import math
import random
from itertools import accumulate

from llmdeployment_operator.analysis.counts import BUCKETS


def assign_bucket(salt: str, user: str) -> int:
    """Return the bucket of a user as the gateway does: the first 8 hex digits of SHA-256, modulo the number of buckets.

    >>> assign_bucket("salt", "ada")
    7959
    """
    return int(hashlib.sha256(f"{salt}:{user}".encode()).hexdigest()[:8], 16) % BUCKETS


class Users:
    """The users of one run.

    The user of rank r sends requests in proportion to 1 / r (Zipf's law). His share of bad requests is drawn from a Beta distribution
    around the revision's share p, with p (1 / icc - 1) and (1 - p) (1 / icc - 1): two of his requests then have the intraclass
    correlation `icc`. A revision that is as another one is has the same shares for each user.
    """

    def __init__(self, number: int, correlation: float, source: random.Random) -> None:
        # Each has chance of its own, so that the same requests come however often somebody looks.
        self._askers, self._characters, requests = (_branch(source) for _ in range(3))
        self._sums = list(accumulate(1 / rank for rank in range(1, number + 1)))
        self._numbers = range(number)
        self._spread = 1 / correlation - 1 if correlation else math.inf
        salt = str(source.getrandbits(64))
        self.buckets = [assign_bucket(salt, f"user-{user}") for user in self._numbers]
        self.chance = requests.random
        """Draws a number from 0 to 1."""
        self.sample = _branch(source).random
        """Draws a number from 0 to 1, for the bounded sample."""
        self._shares: dict[tuple[int, str, float], float] = {}

    def draw(self, requests: int) -> list[int]:
        """Return whose requests these are."""
        return self._askers.choices(self._numbers, cum_weights=self._sums, k=requests)

    def find_share(self, user: int, metric: str, share: float) -> float:
        """Return a user's share of bad requests, where `share` is that of all; the same each time."""
        if math.isinf(self._spread) or not 0 < share < 1:
            return share
        key = user, metric, share
        if key not in self._shares:
            alpha, beta = share * self._spread, (1 - share) * self._spread
            self._shares[key] = self._characters.betavariate(alpha, beta)
        return self._shares[key]


def _branch(source: random.Random) -> random.Random:
    return random.Random(source.getrandbits(64))  # noqa: S311  # because a simulation keeps no secret
