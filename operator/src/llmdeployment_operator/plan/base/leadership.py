"""Which of several operators acts: what a candidate does next with the Lease that all of them see.

The rules are those of client-go's leader election. The leader renews the Lease every few seconds. A candidate takes it
when it saw no renewal for a whole lease duration, counted by its own clock from when it last saw the Lease change, so
the clocks of two machines are never compared. Every write names the version it is based on, so of two that write at once
one fails. The leader stops writing `renew_seconds` after its last renewal, before anybody can take the Lease.

One rule is stricter than client-go's, because people delete Leases. There, whoever finds no Lease makes one and acts,
while the leader of the deleted Lease may go on writing until its deadline. Here a Lease is always made without a holder.
The leader takes it at once, if its deadline has not passed. Anybody else waits for a lease duration first. The price is
that the first operator of a new installation waits that long too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

LONGEST_SECONDS = 600
"""A lease duration above this is not believed: a typo in a Lease must not keep every operator away for days."""

RELEASED_SECONDS = 1
"""The lease duration that a leader writes when it gives the Lease up, as client-go does."""


@dataclass(frozen=True)
class Election:
    """How candidates elect a leader.

    Attributes:
        namespace: of the Lease.
        name: of the Lease.
        lease_seconds: a Lease that was not renewed for this long may be taken.
        renew_seconds: a leader that could not renew for this long stops.
        retry_seconds: between two tries to renew or to take the Lease.
    """

    namespace: str
    name: str
    lease_seconds: int = 10
    renew_seconds: int = 7
    retry_seconds: int = 2


@dataclass(frozen=True)
class Lease:
    """What a Lease says; times are text, since nobody compares them.

    Attributes:
        uid: of the object: a Lease that was deleted and made again is another one.
        holder: identity of the leader; empty when nobody holds it.
        seconds: the lease duration that its holder promised, 0 when none is given.
        acquired: when the holder took it.
        renewed: when the holder last renewed it.
        transitions: how often the holder changed.
    """

    uid: str
    holder: str
    seconds: int
    acquired: str
    renewed: str
    transitions: int

    @property
    def released(self) -> bool:
        """Whether its last holder gave it up."""
        return not self.holder and self.seconds == RELEASED_SECONDS


@dataclass(frozen=True)
class Observation:
    """A Lease as a candidate last saw it.

    Attributes:
        lease: what it said.
        free_at: when it may be taken, if nobody changes it before; seconds on the candidate's clock.
    """

    lease: Lease
    free_at: float


class Step(Enum):
    """What a candidate does next."""

    MAKE = "make a Lease that nobody holds"
    TAKE = "take the Lease"
    RENEW = "renew the Lease"
    WAIT = "wait"
    STOP = "stop: the Lease is lost"


def read_lease(obj: Mapping[str, Any]) -> Lease:
    """Return what a Lease object says; fields that are missing or make no sense count as empty.

    >>> read_lease({"metadata": {"uid": "u"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": "x"}})
    Lease(uid='u', holder='a', seconds=0, acquired='', renewed='', transitions=0)
    """
    spec = obj.get("spec") or {}
    return Lease(
        uid=str(obj["metadata"]["uid"]),
        holder=_read_text(spec.get("holderIdentity")),
        seconds=_read_number(spec.get("leaseDurationSeconds")),
        acquired=_read_text(spec.get("acquireTime")),
        renewed=_read_text(spec.get("renewTime")),
        transitions=_read_number(spec.get("leaseTransitions")),
    )


def observe_lease(
    before: Observation | None, lease: Lease, own_seconds: int, now: float
) -> Observation:
    """Return what a candidate knows after it saw the Lease.

    Args:
        before: its last sighting.
        lease: what the API server answered.
        own_seconds: the candidate's own lease duration; the holder's counts where it is longer.
        now: seconds on the candidate's clock, read after the answer came.

    >>> lease = Lease("u", "a", 15, "", "10:00:00", 0)
    >>> first = observe_lease(None, lease, 15, now=100.0)
    >>> first.free_at, observe_lease(first, lease, 15, now=102.0).free_at
    (115.0, 115.0)
    """
    if before is not None and before.lease == lease:
        return before
    return Observation(lease, now + max(own_seconds, min(lease.seconds, LONGEST_SECONDS)))


def decide(
    identity: str, observation: Observation | None, deadline: float | None, now: float
) -> Step:
    """Return what a candidate does next.

    Args:
        identity: the candidate's.
        observation: the Lease as it just saw it; None: there is none.
        deadline: until when the candidate leads without another renewal; None: it does not lead.
        now: seconds on the candidate's clock.

    >>> observation = Observation(Lease("u", "a", 15, "", "", 0), free_at=115.0)
    >>> decide("b", observation, None, now=114.9), decide("b", observation, None, now=115.0)
    (<Step.WAIT: 'wait'>, <Step.TAKE: 'take the Lease'>)
    """
    leads = deadline is not None
    if deadline is not None and now >= deadline:
        return Step.STOP
    if observation is None:
        return Step.MAKE
    lease = observation.lease
    if lease.holder == identity:
        return Step.RENEW
    if leads:
        return Step.STOP if lease.holder else Step.TAKE
    return Step.TAKE if lease.released or now >= observation.free_at else Step.WAIT


def build_held_spec(identity: str, seconds: int, lease: Lease, stamp: str) -> dict[str, Any]:
    """Return the spec of a Lease that this candidate takes or renews; `stamp` is the time in RFC 3339."""
    renews = lease.holder == identity
    first = not lease.renewed
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": seconds,
        "acquireTime": (lease.acquired or stamp) if renews else stamp,
        "renewTime": stamp,
        "leaseTransitions": lease.transitions + (0 if renews or first else 1),
    }


def build_released_spec(lease: Lease, stamp: str) -> dict[str, Any]:
    """Return the spec of a Lease that its holder gives up, so that another can take it at once."""
    return {
        "holderIdentity": "",
        "leaseDurationSeconds": RELEASED_SECONDS,
        "acquireTime": lease.acquired or stamp,
        "renewTime": stamp,
        "leaseTransitions": lease.transitions,
    }


def _read_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
