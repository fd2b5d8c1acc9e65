"""What replicas and gateways count of a rollout's requests, and who had the canary."""

from collections.abc import Mapping

from llmdeployment_operator.analysis.counts import GROUPS, CountKey, Counts, RevisionCounts
from llmdeployment_operator.rehearsal.users import Users

STABLE, CANARY = 1, 2
"""Numbers of the revisions."""


class Tally:
    """Requests counted by revision, metric and group of users, as `/stats` has them; prompts of all lengths are one stratum."""

    def __init__(self, people: Users, shares: Mapping[int, Mapping[str, float]]) -> None:
        """Begin to count.

        Args:
            people: the users.
            shares: by revision, the share of bad requests by the key of each metric; without any, nothing is counted but who came.
        """
        self._people = people
        self._shares = shares
        self._metrics = tuple(shares[STABLE])
        self._rows: dict[int, dict[int, list[float]]] = {STABLE: {}, CANARY: {}}
        self._seen: dict[int, set[int]] = {STABLE: set(), CANARY: set()}
        self.exposed: set[int] = set()
        """Users who had the canary."""
        self.requests = 0
        """Requests that the canary got."""
        self._forget()

    def add(self, requests: int, bound: int) -> None:
        """Let requests come, of users drawn by chance; those in buckets below `bound` have the canary."""
        people = self._people
        buckets, draw = people.buckets, people.chance
        for user in people.draw(requests):
            bucket = buckets[user]
            revision = CANARY if bucket < bound else STABLE
            if revision == CANARY:
                self.exposed.add(user)
                self.requests += 1
            if not self._metrics:
                continue
            self._seen[revision].add(bucket)
            group = bucket % GROUPS
            self._totals[revision][group] += 1
            rows = self._rows[revision]
            if user not in rows:
                rows[user] = self._find_row(user, revision)
            for share, bad in zip(rows[user], self._bad[revision], strict=True):
                if draw() < share:
                    bad[group] += 1

    def take(self) -> RevisionCounts:
        """Return what is new, and forget it."""
        found = {revision: self._list(revision) for revision in (STABLE, CANARY)}
        self._forget()
        return found

    def count_users(self) -> dict[int, int]:
        """Return how many users (buckets) each revision had."""
        return {revision: len(buckets) for revision, buckets in self._seen.items()}

    def forget_users(self) -> None:
        """Forget who had which revision, as it is forgotten where no canary has requests."""
        self._seen = {STABLE: set(), CANARY: set()}

    def _find_row(self, user: int, revision: int) -> list[float]:
        shares = self._shares[revision].items()
        return [self._people.find_share(user, metric, share) for metric, share in shares]

    def _list(self, revision: int) -> dict[CountKey, Counts]:
        totals, found = self._totals[revision], {}
        if not any(totals):
            return {}
        for metric, bad in zip(self._metrics, self._bad[revision], strict=True):
            found[CountKey(metric)] = Counts(sum(totals), sum(bad))
            for group, total in enumerate(totals):
                if total:
                    found[CountKey(metric, group=group)] = Counts(total, bad[group])
        return found

    def _forget(self) -> None:
        revisions = (STABLE, CANARY)
        self._totals = {revision: [0] * GROUPS for revision in revisions}
        self._bad = {revision: [[0] * GROUPS for _ in self._metrics] for revision in revisions}
