"""Which of a gateway's pods takes the vote for an answer: one of them for each answer, whichever pod the vote came to.

It is the pod with the highest SHA-256 of its name and the id's signature (rendezvous hashing: D. G. Thaler, C. V. Ravishankar,
"Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6, 1998). So all pods that know the same pods choose
the same one, and a pod that comes or goes changes the choice for its own share of answers only.

A pod cannot know of votes that another one took before. So it takes a vote only if it was the one to take it at all times since the answer,
as far as it has seen: other answers then have no vote, rather than two.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

LAG_SECONDS = 5.0
"""Seconds by which pods may differ in when they see that a pod came or went; their clocks too."""
MOST_PERIODS = 64
"""Times with other pods that are remembered, at most."""


class UnknownPeersError(Exception):
    """It is not known which pods there are."""


class _Period(NamedTuple):
    """A time that is over.

    Attributes:
        until: its end, in seconds since 1970.
        pods: the gateway's pods at that time; None where they are not known.
    """

    until: float
    pods: frozenset[str] | None


def choose_pod(signature: bytes, pods: Iterable[str]) -> str | None:
    """Return the pod that takes the vote for the answer with this signature, or None if there is no pod.

    >>> [choose_pod(bytes([n]), ["a", "b", "c"]) for n in range(6)]
    ['b', 'a', 'b', 'a', 'b', 'a']
    """
    return max(
        pods,
        key=lambda pod: hashlib.sha256(pod.encode() + b"|" + signature).digest(),
        default=None,
    )


class Peers:
    """The gateway's pods, now and before.

    Args:
        own: name of this pod.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._hosts: Mapping[str, str] | None = None
        self._past: list[_Period] = []

    def see(self, hosts: Mapping[str, str], now: float) -> None:
        """Take the gateway's pods and their addresses as they are from `now` on, in seconds since 1970."""
        before = None if self._hosts is None else frozenset(self._hosts)
        # Also at first: a pod that is alone may follow one that has just gone.
        if before != frozenset(hosts):
            self._past.append(_Period(now, before))
        if len(self._past) > MOST_PERIODS:
            self._past[:2] = [_Period(self._past[1].until, None)]
        self._hosts = dict(hosts)

    def find_host(self, signature: bytes) -> str | None:
        """Return the address of the pod that takes the vote, or None if it is this one.

        Raises:
            UnknownPeersError: no list of pods was seen yet, or no pod is ready.
        """
        chosen = choose_pod(signature, self._hosts or ())
        if self._hosts is None or chosen is None:
            raise UnknownPeersError
        return None if chosen == self._own else self._hosts[chosen]

    def was_always_own(self, signature: bytes, at: float) -> bool:
        """Say whether no other pod can have taken a vote for an answer that began `at`, in seconds since 1970."""
        since = (period.pods for period in self._past if at <= period.until + LAG_SECONDS)
        return all(
            pods is not None and choose_pod(signature, pods) in (self._own, None) for pods in since
        )
