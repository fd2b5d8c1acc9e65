"""What replicas and gateways count of a rollout's requests, and who had the canary."""

from collections.abc import Iterable, Mapping

from llmdeployment_operator.analysis.counts import (
    BOUNDED_GROUPS,
    GROUPS,
    USER_BOUND,
    CountKey,
    Counts,
    RevisionCounts,
    name_bounded,
)
from llmdeployment_operator.rehearsal.recent import RecentRequests
from llmdeployment_operator.rehearsal.users import Users

STABLE, CANARY = 1, 2
"""Numbers of the revisions."""


class Tally:
    """Requests counted by revision, metric and group of users, as `/stats` has them; prompts of all lengths are one stratum.

    Those of the bounded sample are counted a second time.
    """

    def __init__(
        self, people: Users, shares: Mapping[int, Mapping[str, float]], past_requests: int
    ) -> None:
        """Begin to count.

        Args:
            people: the users.
            shares: by revision, the share of bad requests by the key of each metric; without any, nothing is counted but who came.
            past_requests: how many requests came in the ten minutes before the first that is counted.
        """
        self._people = people
        self._shares = shares
        self._metrics = tuple(shares[STABLE])
        self._rows: dict[int, dict[int, list[float]]] = {STABLE: {}, CANARY: {}}
        self._seen: dict[int, set[int]] = {STABLE: set(), CANARY: set()}
        self.exposed: set[int] = set()
        """Users who had the canary."""
        past = people.draw(past_requests) if self._metrics else ()
        self._recent = RecentRequests(people.buckets[user] for user in past)
        self.requests = 0
        """Requests that the canary got."""
        self._forget()

    def add(self, requests: int, bound: int, at: float) -> None:
        """Let requests come at `at` (seconds), of users drawn by chance; those in buckets below `bound` have the canary."""
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
            rows = self._rows[revision]
            if user not in rows:
                rows[user] = self._find_row(user, revision)
            bad = [draw() < share for share in rows[user]]
            self._whole[revision].add(bucket, bad)
            if people.sample() * self._recent.add(bucket, at) < USER_BOUND:
                self._bounded[revision].add(bucket, bad)

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
        whole, bounded = self._whole[revision], self._bounded[revision]
        return whole.list(self._metrics) | bounded.list(map(name_bounded, self._metrics))

    def _forget(self) -> None:
        made = len(self._metrics)
        self._whole = {revision: _Sample(GROUPS, made) for revision in (STABLE, CANARY)}
        self._bounded = {revision: _Sample(BOUNDED_GROUPS, made) for revision in (STABLE, CANARY)}


class _Sample:
    """Requests by group of users, and those of them that were bad by each metric."""

    def __init__(self, groups: int, metrics: int) -> None:
        self._groups = groups
        self._totals = [0] * groups
        self._bad = [[0] * groups for _ in range(metrics)]

    def add(self, bucket: int, bad: Iterable[bool]) -> None:
        group = bucket % self._groups
        self._totals[group] += 1
        for row, is_bad in zip(self._bad, bad, strict=True):
            row[group] += is_bad

    def list(self, metrics: Iterable[str]) -> dict[CountKey, Counts]:
        found: dict[CountKey, Counts] = {}
        total = sum(self._totals)
        for metric, bad in zip(metrics, self._bad, strict=True) if total else ():
            found[CountKey(metric)] = Counts(total, sum(bad))
            for group, part in enumerate(self._totals):
                if part:
                    found[CountKey(metric, group=group)] = Counts(part, bad[group])
        return found
