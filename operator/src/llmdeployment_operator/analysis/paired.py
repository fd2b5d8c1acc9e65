"""Whether one revision answers a golden set worse than another: both answered the same questions, so each question is compared.

Of n questions, let b be those that only the earlier revision answered as expected (lost), and c those that only the later one did
(won). The fall is (b-c)/n. Questions that both or neither answered say nothing about who is better (McNemar 1947). The evidence that
the true fall is above f is what a gambler has who bets the share x of his money on each question being lost, at odds that are fair if
the fall is f; the mean over bets x that are spread evenly over all he may make:

    E(f) = mean of (1 + x (1-f))^b (1 - x (1+f))^c (1 - x f)^(n-b-c)   over 0 < x < 1/(1+f)

If the true fall is at most f, E(f) ever reaches 1/alpha with a probability of at most alpha, however many questions are added to the
set until it does (Ville 1939; mixtures: Robbins 1970; bets on a bounded mean: Waudby-Smith and Ramdas 2024). The interval holds the
falls that neither E nor its mirror image rules out. docs/concepts/golden-sets.md explains it and has a worked example.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

ALPHA = 0.05
"""The highest probability of evidence of a fall where there is none, and of each end of an interval being wrong."""

FEWEST = 7
"""Questions that must be lost, with none won, before E(0) reaches 1/ALPHA. A smaller set can never tell a fall from noise."""

_BETS = 128
"""Bets that the mean is over. Any number is valid."""
_EDGE = 0.999
"""The largest fall or rise that is tried: one of 1 leaves nothing to bet on."""


@dataclass(frozen=True)
class Pairs:
    """How two revisions answered the same questions.

    Attributes:
        total: questions.
        lost: those that only the earlier revision answered as expected.
        won: those that only the later one did.

    Raises:
        ValueError: the numbers are impossible.
    """

    total: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        if self.total < 1 or min(self.lost, self.won) < 0 or self.lost + self.won > self.total:
            raise ValueError(
                f"pairs: {self.lost} lost and {self.won} won of {self.total} questions"
            )

    @property
    def difference(self) -> float:
        """The later revision's share of good answers minus the earlier one's, from -1 to 1."""
        return (self.won - self.lost) / self.total


@dataclass(frozen=True)
class Interval:
    """The differences of shares, from -1 to 1, that the answers do not rule out."""

    low: float
    high: float


def is_fall(pairs: Pairs, alpha: float = ALPHA) -> bool:
    """Say whether the later revision is worse with evidence: whether E(0) is at least 1/alpha.

    With none won it takes 7 lost questions at 1/20. 3 lost ones may be noise.

    >>> [is_fall(Pairs(100, lost, 0)) for lost in (3, 6, 7)]
    [False, False, True]
    """
    return log_e_fall(pairs, 0.0) >= -math.log(alpha)


@lru_cache(maxsize=1024)
def log_e_fall(pairs: Pairs, fall: float) -> float:
    """Return the log of E(fall), the evidence that the true fall is above `fall` (-0.999 to 0.999).

    With all bets at odds of 1 (fall 0) and none won, E is the mean of (1+x)^7, which is (2^8-1)/8 = 31.9 for 7 lost questions.

    >>> e = [math.exp(log_e_fall(pairs, 0.0)) for pairs in (Pairs(100, 7, 0), Pairs(100, 9, 2))]
    >>> [round(each, 1) for each in e]
    [31.9, 6.1]
    """
    counts = (pairs.lost, pairs.won, pairs.total - pairs.lost - pairs.won)
    logs = []
    for place in range(_BETS):
        bet = (place + 0.5) / _BETS / (1 + fall)
        gains = (1 + bet * (1 - fall), 1 - bet * (1 + fall), 1 - bet * fall)
        logs.append(
            sum(count * math.log(gain) for count, gain in zip(counts, gains, strict=True) if count)
        )
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / _BETS)


def find_interval(pairs: Pairs, alpha: float = ALPHA) -> Interval:
    """Return the interval of the difference. Each end is wrong with a probability of at most alpha.

    >>> [(round(i.low, 3), round(i.high, 3)) for i in (find_interval(Pairs(100, 3, 0)), find_interval(Pairs(100, 9, 0)))]
    [(-0.103, 0.023), (-0.192, -0.021)]
    """
    mirrored = Pairs(pairs.total, pairs.won, pairs.lost)
    return Interval(_find_least_fall(mirrored, alpha), -_find_least_fall(pairs, alpha))


def _find_least_fall(pairs: Pairs, alpha: float) -> float:
    """Return the highest fall that the true one is above with evidence; -1 without any."""
    low, high = -_EDGE, -pairs.difference
    if log_e_fall(pairs, low) < -math.log(alpha):
        return -1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if log_e_fall(pairs, middle) >= -math.log(alpha) else (low, middle)
        )
    return low
