"""Counts of replicas and gateways from look to look: their counters only grow, the differences are what is new.

This is the one thing the operator keeps between passes. An operator that starts again counts from what it then sees: the requests of its
absence are missing on both sides of a comparison, which makes that take longer and not wrong.
"""

from collections.abc import Collection, Iterable, Mapping

from llmdeployment_operator.analysis.counts import CountKey, Counts, RevisionCounts
from llmdeployment_operator.kube.store import Owner


class CountsCache:
    """New requests of each LLMDeployment, until a pass has reported them."""

    def __init__(self) -> None:
        self._last: dict[Owner, dict[str, RevisionCounts]] = {}
        self._fresh: dict[Owner, RevisionCounts] = {}
        self._users: dict[Owner, dict[int, int]] = {}

    def add(
        self, owner: Owner, sources: Iterable[str], looked: Mapping[str, RevisionCounts]
    ) -> RevisionCounts:
        """Return what is new since the last `taken`.

        Args:
            owner: the LLMDeployment.
            sources: uids of all pods that count, whether they answered this time or not.
            looked: what those that answered have counted since they began.
        """
        before = self._last.get(owner, {})
        fresh = self._fresh.setdefault(owner, {})
        # Who says nothing, or nothing that can be read, has not begun anew.
        told = {source: samples for source, samples in looked.items() if samples}
        for source, samples in told.items():
            # What a pod had counted when it was first seen is of a time before.
            for revision, counts in samples.items() if source in before else ():
                row = fresh.setdefault(revision, {})
                for key, new in _diff(before[source].get(revision), counts).items():
                    row[key] = _add(row.get(key, Counts()), new)
        alive = set(sources)
        kept = {source: samples for source, samples in before.items() if source in alive}
        self._last[owner] = {**kept, **told}
        return fresh

    def sum_past(self, owner: Owner) -> RevisionCounts:
        """Return what all pods had counted before what is new, without groups of users: nobody looks at their past, and they are many."""
        fresh = self._fresh.get(owner, {})
        past: RevisionCounts = {}
        for samples in self._last.get(owner, {}).values():
            for revision, counts in samples.items():
                row = past.setdefault(revision, {})
                for key, seen in counts.items():
                    if key.group is not None:
                        continue
                    row[key] = _add(row.get(key, Counts()), seen)
        return {
            revision: {
                key: _subtract_new(seen, fresh.get(revision, {}).get(key, Counts()))
                for key, seen in row.items()
            }
            for revision, row in past.items()
        }

    def unite_users(
        self, owner: Owner, routed: Collection[int], looked: Iterable[Mapping[int, int]]
    ) -> dict[int, int]:
        """Return how many users gateways have seen, by revision, while this LLMDeployment compares.

        The numbers do not fall when a gateway ends, or does not answer once.

        Args:
            owner: the LLMDeployment.
            routed: the revisions that have requests; others are forgotten.
            looked: of each gateway that answered, by revision, a number with a bit for each bucket that had a user.
        """
        before = self._users.get(owner, {})
        united = {revision: before.get(revision, 0) for revision in routed}
        for found in looked:
            for revision in united.keys() & found.keys():
                united[revision] |= found[revision]
        self._users[owner] = united
        return {revision: users.bit_count() for revision, users in united.items()}

    def mark_reported(self, owner: Owner) -> None:
        """Forget what is new: it was reported."""
        self._fresh.pop(owner, None)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone, or that compares nothing."""
        self._last.pop(owner, None)
        self._fresh.pop(owner, None)
        self._users.pop(owner, None)


def _diff(
    before: Mapping[CountKey, Counts] | None, now: Mapping[CountKey, Counts]
) -> dict[CountKey, Counts]:
    """Return what one pod counted of a revision since; of a metric that was not asked for before, nothing."""
    if before is None:
        return dict(now)
    return {key: _subtract(before[key], counts) for key, counts in now.items() if key in before}


def _subtract(before: Counts, now: Counts) -> Counts:
    if now.total < before.total or now.bad < before.bad:
        # It began anew.
        return now
    return Counts(now.total - before.total, min(now.bad - before.bad, now.total - before.total))


def _subtract_new(seen: Counts, new: Counts) -> Counts:
    """Return what is not new; a pod that is gone may have had some of the new."""
    total = max(0, seen.total - new.total)
    return Counts(total, min(total, max(0, seen.bad - new.bad)))


def _add(one: Counts, other: Counts) -> Counts:
    return Counts(one.total + other.total, one.bad + other.bad)
