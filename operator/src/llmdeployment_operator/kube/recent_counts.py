"""What replicas counted in about the last hour, for the shares in the status.

It is kept in the operator's process alone: an operator that starts again has fewer answers to tell of for an hour.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from llmdeployment_operator.analysis.counts import CountKey, Counts, RevisionCounts
from llmdeployment_operator.kube.counts_cache import CountsCache
from llmdeployment_operator.kube.store import Owner

WINDOW_SECONDS = 3600.0
LOOK_SECONDS = 60.0
"""How often replicas are asked for it at most, where nothing else asks them."""


class RecentCounts:
    """The answers of about the last hour, by LLMDeployment.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cache = CountsCache()
        self._looks: dict[Owner, deque[tuple[float, RevisionCounts]]] = {}

    def is_due(self, owner: Owner) -> bool:
        """Say whether the last look is old enough for another one."""
        looks = self._looks.get(owner)
        return not looks or self._clock() - looks[-1][0] >= LOOK_SECONDS

    def add(
        self, owner: Owner, sources: Iterable[str], looked: Mapping[str, RevisionCounts]
    ) -> RevisionCounts:
        """Return the answers of about the last hour, those since the last look included; nothing while the next look is not due.

        Args:
            owner: the LLMDeployment.
            sources: uids of all pods that count, whether they answered this time or not.
            looked: what those that answered have counted since they began.
        """
        if not self.is_due(owner):
            return {}
        fresh = self._cache.add(owner, sources, looked)
        self._cache.mark_reported(owner)
        looks = self._looks.setdefault(owner, deque())
        now = self._clock()
        looks.append((now, fresh))
        while looks[0][0] < now - WINDOW_SECONDS:
            looks.popleft()
        return _sum(looks)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self._cache.forget(owner)
        self._looks.pop(owner, None)


def _sum(looks: Iterable[tuple[float, RevisionCounts]]) -> RevisionCounts:
    found: RevisionCounts = {}
    for _, fresh in looks:
        for revision, counts in fresh.items():
            row: dict[CountKey, Counts] = found.setdefault(revision, {})
            for key, more in counts.items():
                known = row.get(key, Counts())
                row[key] = Counts(known.total + more.total, known.bad + more.bad)
    return found
