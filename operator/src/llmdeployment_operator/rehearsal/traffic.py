"""Traffic for a rollout: the arrivals of a trace, again from its start when the rollout outlasts it."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.trace import Request

MOST = 2_000_000
"""Requests of a trace that are used; what comes after them is left out."""


@dataclass(frozen=True)
class Traffic:
    """Requests over time.

    Attributes:
        times: seconds since the trace began, rising.
        answers: tokens of each answer.
        cut: whether the trace had more requests than are used.
    """

    times: Sequence[float]
    answers: Sequence[int]
    cut: bool = False

    @property
    def seconds(self) -> float:
        """How long it lasts: the gap behind the last request is as long as the gaps before it are on average."""
        last = self.times[-1]
        return last + last / (len(self.times) - 1)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.times) / self.seconds

    def count_between(self, begin: float, end: float) -> int:
        """Return how many requests come from `begin` on and before `end`; the trace repeats itself."""
        return self._count_before(end) - self._count_before(begin)

    def _count_before(self, at: float) -> int:
        rounds, rest = divmod(at, self.seconds)
        return int(rounds) * len(self.times) + bisect_left(self.times, rest)


def read_traffic(requests: Iterable[Request], name: str) -> Traffic:
    """Return the traffic of a trace.

    Raises:
        InputError: it has one request, or all at once, so that it has no rate.
    """
    times: list[float] = []
    answers: list[int] = []
    cut = False
    for request in requests:
        if len(times) == MOST:
            cut = True
            break
        times.append(request.at)
        answers.append(request.output_tokens)
    if len(times) < 2 or times[-1] <= 0:  # noqa: PLR2004  # because it takes two to have a rate
        raise InputError(
            f"{name} holds {len(times)} request{'s' if len(times) != 1 else ''} at one time, and a rate takes two times. "
            "Give a longer trace."
        )
    return Traffic(times, answers, cut)
