"""What the API server said last, so that a look at replicas every two seconds does not list everything every two seconds.

A pass that an event asked for reads everything; one that only its time asked for takes what was read before, since every change of
what was read is an event. What sends none (Secrets, which nobody may watch) and events that were lost are at most `LONGEST` seconds
old.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from llmdeployment_operator.kube.counts_cache import Owner
from llmdeployment_operator.plan.observed.cluster_state import ClusterState

LONGEST = 30.0
"""Seconds."""

Version = tuple[str, int]
"""Uid and generation of an LLMDeployment: what is looked for depends on its spec."""


@dataclass(frozen=True)
class _Read:
    at: float
    version: Version
    cluster: ClusterState


class ReadCache:
    """What was read of each LLMDeployment since the last event."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[Owner, _Read] = {}
        self._changes: dict[Owner, int] = {}

    def of(self, owner: Owner, version: Version) -> ClusterState | None:
        """Return what was read, or None where it must be read again."""
        read = self._read.get(owner)
        if read is None or read.version != version or self._clock() - read.at > LONGEST:
            return None
        return read.cluster

    def begin(self, owner: Owner) -> int:
        """Return what `keep` is to be told: a reading begins."""
        return self._changes.setdefault(owner, 0)

    def keep(self, owner: Owner, version: Version, begun: int, cluster: ClusterState) -> None:
        """Remember what was read, unless something changed meanwhile."""
        if self._changes.get(owner) == begun:
            self._read[owner] = _Read(self._clock(), version, cluster)

    def changed(self, owner: Owner) -> None:
        """Read everything the next time."""
        self._read.pop(owner, None)
        self._changes[owner] = self._changes.get(owner, 0) + 1

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self._read.pop(owner, None)
        self._changes.pop(owner, None)
