"""The virtual clock: requests, replicas that come and go, and a scaler that looks at them.

What happens, in the order of time:

- A request goes to the ready replica with the fewest in flight, as the gateway does (leastconn; among equals in turn). While none is
  ready it waits at the gateway, within the bounds of `Hold`.
- Every `look_every` seconds the scaler sees a `Look` and says how many replicas should exist. More: they are ordered at once and ready
  `warm_up` later. Fewer: those that are still warming go first, the youngest first, and at once; then ready ones, the least loaded
  first, which get no more requests and end when they are empty.
- A replica costs from its order to its end.

It ends when the last request has. Replicas count until the end of the trace only, so that a slow last answer costs no scaler anything.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from math import ceil, inf
from typing import Protocol

from llmdeployment_operator.autoscaler.types import Observation
from llmdeployment_operator.simulation.engine import Ledger, Replica
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Change, ReplicaRequest, Result
from llmdeployment_operator.simulation.trace import Request


class Scaler(Protocol):
    """What decides."""

    def __call__(self, observation: Observation, now: float, /) -> int:
        """Return how many replicas should exist."""


Faults = Callable[[Observation], Observation]
"""What the scaler gets to see of a look."""


@dataclass(frozen=True)
class Hold:
    """How many requests may wait for a first replica, and how long; the gateway's defaults."""

    requests: int = 64
    seconds: float = 120.0


def simulate(  # noqa: PLR0913  # because each is one thing a caller may want to change
    trace: Iterable[Request],
    profile: Profile,
    scaler: Scaler,
    *,
    warm_up: float | None = None,
    initial: int = 1,
    maximum: int = 1000,
    look_every: float = 1.0,
    hold: Hold = Hold(),  # because it is frozen
    faults: Faults | None = None,
) -> Result:
    """Return what `scaler` makes of `trace`.

    Args:
        trace: requests in the order of time; read once, one at a time.
        profile: one replica.
        scaler: how many replicas should exist; asked at 0, `look_every`, 2 `look_every`, ...
        warm_up: seconds from the order of a replica to its first request; default: the profile's.
        initial: replicas that are ready at the start.
        maximum: what the scaler's answers are cut to.
        look_every: seconds between two looks.
        hold: bounds of waiting while no replica is ready.
        faults: changes what the scaler sees.
    """
    seconds = profile.warm_up_seconds if warm_up is None else warm_up
    fleet = _Fleet(profile, seconds, initial, hold)
    ticks = count()
    tick = next(ticks) * look_every
    decisions: list[ReplicaRequest] = []

    def observation(now: float) -> None:
        seen = fleet.observation(now)
        there = seen.ready + seen.pending
        wanted = min(maximum, max(0, scaler(faults(seen) if faults else seen, now)))
        if wanted != there:
            decisions.append(ReplicaRequest(now, there, wanted))
            fleet.resize(wanted, now)

    end = 0.0
    for request in trace:
        end = request.at
        while tick <= end:
            observation(tick)
            tick = next(ticks) * look_every
        fleet.arrive(request)
    until = ceil(end / look_every) * look_every
    while fleet.busy(tick):
        observation(tick)
        tick = next(ticks) * look_every
    return fleet.result(tick, until, decisions)


class _Fleet:
    """All replicas, and the gateway before them."""

    def __init__(self, profile: Profile, warm_up: float, initial: int, hold: Hold) -> None:
        self._profile = profile
        self._warm_up = warm_up
        self._hold = hold
        self._ledger = Ledger()
        self._numbers = count(1)
        self._ready = [self._new(-inf) for _ in range(initial)]
        self._coming: deque[Replica] = deque()
        self._draining: list[Replica] = []
        self._held: deque[int] = deque()
        self._refused = 0
        self._given = 0
        self._too_large = 0
        self._spans: list[tuple[float, float]] = []
        """When the replicas that are gone were ordered and ended."""
        self._changes = [Change(0.0, initial, 0, 0)]

    def arrive(self, request: Request) -> None:
        """Take a request in."""
        at, prompt, output = request
        self._become_ready(at)
        index = self._ledger.arrive(at, prompt, output)
        if prompt + output > self._profile.kv_cache_tokens:
            self._too_large += 1
        elif self._ready:
            self._route(index, at)
        else:
            self._expire(at)
            if len(self._held) < self._hold.requests:
                self._held.append(index)
            else:
                self._refused += 1

    def observation(self, now: float) -> Observation:
        """Return what there is to see at `now`."""
        self._become_ready(now)
        self._expire(now)
        self._end_drained(now)
        for replica in self._ready:
            replica.advance(now)
        return Observation(
            at=now,
            ready=len(self._ready),
            pending=len(self._coming),
            samples={replica.uid: replica.observation(now) for replica in self._ready},
            held=len(self._held),
            refused=self._refused,
            forwarded={"gateway": self._given},
        )

    def resize(self, wanted: int, now: float) -> None:
        """Order or remove replicas so that `wanted` exist."""
        there = len(self._ready) + len(self._coming)
        for _ in range(there, wanted):
            self._coming.append(self._new(now))
        for _ in range(wanted, there):
            if self._coming:
                self._spans.append((self._coming.pop().ordered_at, now))
            else:
                leaving = min(self._ready, key=lambda r: (r.load, -r.number))
                self._ready.remove(leaving)
                leaving.drained_at = now
                self._draining.append(leaving)
        self._become_ready(now)
        self._end_drained(now)
        self._note(now)

    def busy(self, now: float) -> bool:
        """Return whether a request is under way or waits at `now`."""
        self._become_ready(now)
        self._expire(now)
        for replica in (*self._ready, *self._draining):
            replica.advance(now)
        return bool(self._held) or any(r.load for r in (*self._ready, *self._draining))

    def result(self, now: float, until: float, decisions: list[ReplicaRequest]) -> Result:
        """Return the run that has ended at `now`, its replicas counted up to `until`."""
        self._end_drained(now)
        there = ((replica.ordered_at, inf) for replica in (*self._ready, *self._coming))
        spans = (*self._spans, *there)
        return Result(
            ledger=self._ledger,
            end=until,
            replica_seconds=sum(
                max(0.0, min(end, until) - max(0.0, begin)) for begin, end in spans
            ),
            changes=self._changes,
            decisions=decisions,
            failed=self._refused + self._too_large,
            too_large=self._too_large,
        )

    def _new(self, now: float) -> Replica:
        return Replica(self._profile, self._ledger, next(self._numbers), now)

    def _route(self, index: int, now: float) -> None:
        least = None
        lowest = inf
        for replica in self._ready:
            if replica.next <= now:
                replica.advance(now)
            if replica.load < lowest:
                least, lowest = replica, replica.load
        if least is None:
            raise AssertionError("unreachable")
        least.add(index, now)
        self._given += 1
        # The next of those that are equally loaded is another one.
        self._ready.remove(least)
        self._ready.append(least)

    def _become_ready(self, now: float) -> None:
        while self._coming and self._coming[0].ordered_at + self._warm_up <= now:
            replica = self._coming.popleft()
            at = replica.ordered_at + self._warm_up
            self._expire(at)
            self._ready.append(replica)
            while self._held:
                self._route(self._held.popleft(), at)
            self._note(at)

    def _expire(self, now: float) -> None:
        arrived, seconds = self._ledger.arrived, self._hold.seconds
        while self._held and arrived[self._held[0]] + seconds < now:
            self._held.popleft()
            self._refused += 1

    def _end_drained(self, now: float) -> None:
        for replica in tuple(self._draining):
            replica.advance(now)
            if not replica.load:
                self._draining.remove(replica)
                end = max(replica.drained_at, replica.last_end)
                self._spans.append((replica.ordered_at, end))
                self._note(min(now, max(end, self._changes[-1].at)))

    def _note(self, at: float) -> None:
        self._changes.append(Change(at, len(self._ready), len(self._coming), len(self._draining)))
