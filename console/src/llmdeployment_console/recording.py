"""The traffic of the last hour, as the simulator can repeat it: requests per second over time, and the length of answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.times import parse_time

MOST_REQUESTS = 200_000
"""Of more, only the newest are repeated: a simulation of so many takes some seconds."""
_MOST_STEP = 900.0
"""Seconds between two points that are one step; the operator makes no rate over a longer time."""


@dataclass(frozen=True)
class Recording:
    """Requests over time.

    Attributes:
        begins: seconds since 1970.
        steps: seconds and requests per second of each step, one after the other; None where nobody counted.
        output_tokens: of an answer, on average; None where that is not known.
    """

    begins: float
    steps: tuple[tuple[float, float | None], ...]
    output_tokens: float | None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(seconds for seconds, _ in self.steps)

    @property
    def requests(self) -> float:
        """How many there were."""
        return sum(seconds * (rate or 0.0) for seconds, rate in self.steps)

    @property
    def uncounted_seconds(self) -> float:
        """For how long nobody counted."""
        return sum(seconds for seconds, rate in self.steps if rate is None)


def read_recording(points: Sequence[Mapping[str, Any]]) -> Recording:
    """Return what points say: each has the rate since the one before.

    Raises:
        Refusal: nobody asked, or nobody counted.

    >>> found = read_recording([{"at": f"2026-11-24T12:00:{s:02}Z", "requestsPerSecond": r} for s, r in ((0, 9), (5, 2), (10, 4))])
    >>> found.steps, found.requests
    (((5.0, 2.0), (5.0, 4.0)), 30.0)
    """
    rows = [
        (at.timestamp(), point) for point in points if (at := parse_time(point["at"])) is not None
    ]
    steps = [
        (now - before, _read_rate(point) if now - before <= _MOST_STEP else None)
        for (before, _), (now, point) in pairwise(rows)
        if now > before
    ]
    kept = _keep_newest(steps)
    if not any(rate for _, rate in kept):
        raise Refusal(
            "the operator has counted no requests in the last hour, so there is no traffic to repeat. "
            "Send some, or use `kubectl llm simulate` with a trace."
        )
    begins = rows[-1][0] - sum(seconds for seconds, _ in kept)
    return Recording(begins, tuple(kept), _measure_answers(rows[-len(kept) :]))


def make_rate(recording: Recording) -> Callable[[float], float]:
    """Return the requests per second at a time since the start; nothing where nobody counted.

    The times must not fall from call to call: a generator of arrivals goes forward.

    >>> rate = make_rate(Recording(0.0, ((5.0, 2.0), (5.0, None), (5.0, 4.0)), None))
    >>> [rate(at) for at in (0.0, 4.9, 5.0, 10.0, 99.0)]
    [2.0, 2.0, 0.0, 4.0, 4.0]
    """
    place, ends = 0, recording.steps[0][0]

    def rate(at: float) -> float:
        nonlocal place, ends
        while at >= ends and place + 1 < len(recording.steps):
            place += 1
            ends += recording.steps[place][0]
        return recording.steps[place][1] or 0.0

    return rate


def _read_rate(point: Mapping[str, Any]) -> float | None:
    rate = point.get("requestsPerSecond")
    return max(0.0, float(rate)) if rate is not None else None


def _keep_newest(steps: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Return the newest steps that have at most MOST_REQUESTS together, without those at the start that nobody counted."""
    kept: list[tuple[float, float | None]] = []
    total = 0.0
    for seconds, rate in reversed(steps):
        total += seconds * (rate or 0.0)
        if total > MOST_REQUESTS:
            break
        kept.append((seconds, rate))
    while kept and kept[-1][1] is None:
        kept.pop()
    return kept[::-1]


def _measure_answers(rows: Iterable[tuple[float, Mapping[str, Any]]]) -> float | None:
    """Return output tokens per second over requests per second, both summed over the revisions of points that have both."""
    tokens = requests = 0.0
    for _, point in rows:
        for row in (point.get("revisions") or {}).values():
            if row.get("outputTokensPerSecond") is not None and row.get("requestsPerSecond"):
                tokens += row["outputTokensPerSecond"]
                requests += row["requestsPerSecond"]
    return tokens / requests if requests and tokens else None
