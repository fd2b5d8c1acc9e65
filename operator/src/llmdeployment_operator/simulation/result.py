"""What a simulation found: times of each request, replicas over time, and what follows from them."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from llmdeployment_operator.autoscaler.types import Target
from llmdeployment_operator.simulation.engine import Ledger

Metric = Literal["ttft", "itl", "e2e"]


@dataclass(frozen=True)
class Change:
    """How many replicas there are from `at` on."""

    at: float
    ready: int
    pending: int
    draining: int

    @property
    def existing(self) -> int:
        """All that hold an accelerator."""
        return self.ready + self.pending + self.draining


@dataclass(frozen=True)
class ReplicaRequest:
    """The scaler asked for another number of replicas than there was."""

    at: float
    before: int
    replicas: int


@dataclass
class Result:
    """One run. Times in seconds since the start of the trace."""

    ledger: Ledger
    end: float
    """Replicas are counted up to here."""
    replica_seconds: float = 0.0
    """From the order of each replica to its end, within the trace."""
    changes: list[Change] = field(default_factory=list)
    decisions: list[ReplicaRequest] = field(default_factory=list)
    failed: int = 0
    """Requests the gateway refused: too many waited for a replica, or for too long, or they fit no replica."""
    too_large: int = 0
    """Those of them that no replica could have held: prompt and answer exceed its KV cache."""

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(self.ledger.arrived)

    @property
    def mean_replicas(self) -> float:
        """Replica-seconds per second."""
        return self.replica_seconds / self.end if self.end else 0.0

    @property
    def replica_hours(self) -> float:
        """What is paid for."""
        return self.replica_seconds / 3600.0

    @property
    def output_tokens(self) -> int:
        """Of requests that were answered."""
        ledger = self.ledger
        pairs = zip(ledger.output, ledger.last, strict=True)
        return sum(tokens for tokens, last in pairs if last < math.inf)

    def values(self, metric: Metric) -> Iterator[float]:
        """Yield each request's seconds; infinite for a failed one, 0 gap for an answer of one token."""
        ledger = self.ledger
        if metric == "ttft":
            return (f - a for a, f in zip(ledger.arrived, ledger.first, strict=True))
        if metric == "e2e":
            return (e - a for a, e in zip(ledger.arrived, ledger.last, strict=True))
        rows = zip(ledger.first, ledger.last, ledger.output, strict=True)
        return (_mean_gap(first, last, tokens) for first, last, tokens in rows)

    def attainment(self, target: Target) -> float:
        """Return the share of requests within `target`; 1 of none.

        The percentile plays no part: a target at the 90th percentile is met by an attainment of 0.90.
        """
        return _share(value <= target.seconds for value in self.values(target.metric))

    def within_all(self, targets: Iterable[Target]) -> int:
        """Return how many requests were within all targets."""
        rows = [(self.values(target.metric), target.seconds) for target in targets]
        if not rows:
            return self.requests - self.failed
        limits = [seconds for _, seconds in rows]
        columns = zip(*(values for values, _ in rows), strict=True)
        return sum(
            all(value <= limit for value, limit in zip(row, limits, strict=True)) for row in columns
        )

    def goodput(self, targets: Iterable[Target]) -> float:
        """Return requests within all targets per replica-hour."""
        return self.within_all(targets) / self.replica_hours if self.replica_seconds else 0.0

    def percentile(self, metric: Metric, percent: float) -> float:
        """Return the smallest value that at least `percent` of the requests do not exceed; 0 of none."""
        ordered = sorted(self.values(metric))
        if not ordered:
            return 0.0
        return ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)]

    def cost(self, price_per_replica_hour: float) -> float:
        """Return what the replicas cost."""
        return self.replica_hours * price_per_replica_hour

    def replicas_at(self, at: float) -> Change:
        """Return how many replicas there were."""
        index = bisect_right(self.changes, at, key=lambda change: change.at) - 1
        return self.changes[max(0, index)]


def _mean_gap(first: float, last: float, tokens: int) -> float:
    if last == math.inf:
        return math.inf
    return (last - first) / (tokens - 1) if tokens > 1 else 0.0


def _share(hits: Iterable[bool]) -> float:
    total = good = 0
    for hit in hits:
        total += 1
        good += hit
    return good / total if total else 1.0
