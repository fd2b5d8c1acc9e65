"""Counts of requests that ended, from HAProxy's log lines, and of votes on their answers.

A line is one datagram: `status milliseconds flags arm revision bucket key request-id`.
"""

import base64
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmdeployment_gateway.routes import BUCKETS

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the duration histogram, in seconds."""
UNASSIGNED = ("", "")
"""Arm and revision of a request that was refused before it was assigned."""
RECENT_SECONDS = 600.0
"""How long Prometheus is shown a revision that gets no requests any more: several intervals of scraping."""
GROUPS = 64
"""Groups of users; the group of a request is its bucket modulo this, as at the replicas."""
KEYED = "key"
"""What the line of a request says that had an assignment key, so that its bucket is a user's."""
_FIELDS = 7
"""Those that every line has; a request's id may be missing."""
_CLASSES = ("2xx", "4xx", "5xx")


@dataclass(frozen=True)
class EndedRequest:
    """A request that ended.

    Attributes:
        status: HTTP status of the answer; -1 if the client left before there was one.
        seconds: from the request's first byte to the answer's last one.
        cut: who cut the answer off: `client`, `replica` or nobody (empty).
        arm: the arm that it was assigned to, or empty.
        revision: the revision that it was assigned to, or empty.
        request_id: its `x-request-id`, which clients may choose, or empty.
        bucket: the bucket that it was assigned to, or None.
        has_key: whether it had an assignment key; the bucket of one that had none is the next of a sequence.
    """

    status: int
    seconds: float
    cut: str
    arm: str
    revision: str
    request_id: str = ""
    bucket: int | None = None
    has_key: bool = False


@dataclass
class Row:
    """Counts of the requests of one arm and revision."""

    statuses: dict[int, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    count: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    totals: list[int] = field(default_factory=lambda: [0] * GROUPS)
    """Requests that were answered, by group of users."""
    failures: list[int] = field(default_factory=lambda: [0] * GROUPS)
    """Those of them with a 5xx."""
    users: bytearray = field(default_factory=lambda: bytearray(BUCKETS // 8))
    """A bit for each bucket of a request that had a key: bucket `b` is bit `b % 8` of byte `b // 8`."""
    votes: list[int] = field(default_factory=lambda: [0] * GROUPS)
    """Votes, by group of users."""
    badness: list[int] = field(default_factory=lambda: [0] * GROUPS)
    """The sum of 1 - score of them, in thousandths."""

    def add(self, ended: EndedRequest) -> None:
        """Count a request."""
        self.statuses[ended.status] = self.statuses.get(ended.status, 0) + 1
        self.count += 1
        self.seconds += ended.seconds
        self.buckets[bisect_left(BOUNDS, ended.seconds)] += 1
        if ended.cut:
            self.cuts[ended.cut] = self.cuts.get(ended.cut, 0) + 1
        if ended.bucket is not None:
            self._add_user(ended, ended.bucket)

    def _add_user(self, ended: EndedRequest, bucket: int) -> None:
        # Without a key too: such requests are spread evenly over the groups, as requests that have nothing to do with each other are.
        if (name := _name_class(ended.status)) in _CLASSES:
            self.totals[bucket % GROUPS] += 1
            self.failures[bucket % GROUPS] += name == "5xx"
        if ended.has_key:
            self.users[bucket // 8] |= 1 << bucket % 8

    def add_vote(self, bucket: int, badness: int) -> None:
        """Count a vote on the answer to a request of this bucket; `badness` is 1 - score, in thousandths."""
        self.votes[bucket % GROUPS] += 1
        self.badness[bucket % GROUPS] += badness

    def count_classes(self) -> dict[str, int]:
        """Return requests by class of status; a request without an answer is in none."""
        found = dict.fromkeys(_CLASSES, 0)
        for status, count in self.statuses.items():
            if (name := _name_class(status)) in found:
                found[name] += count
        return found

    def describe_users(self) -> dict[str, object]:
        """Return counts by group of users and, if any request had a key, `users`: the bits in base64.

        Rows are `[group, requests, 5xx]`, and in `feedback` they are `[group, votes, bad thousandths]`.
        """
        by_user = _list_groups(self.totals, self.failures)
        feedback = {**self.sum_votes(), "byUser": _list_groups(self.votes, self.badness)}
        users = {"users": base64.b64encode(self.users).decode()} if any(self.users) else {}
        return {"byUser": by_user, "feedback": feedback, **users}

    def sum_votes(self) -> dict[str, int]:
        """Return how many votes there were, and the sum of 1 - score of them in thousandths."""
        return {"votes": sum(self.votes), "badThousandths": sum(self.badness)}


class Tally:
    """Counts of all requests that ended since the agent started."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self._last: dict[tuple[str, str], tuple[int, float]] = {}
        """When a row was last routed or counted more, and its count then."""

    def count_line(self, datagram: bytes) -> EndedRequest | None:
        """Count the request of one log line and return it, or None if the line is about something else."""
        ended = parse_line(datagram)
        if ended is not None:
            self.rows.setdefault((ended.arm, ended.revision), Row()).add(ended)
        return ended

    def count_vote(self, arm: str, revision: str, bucket: int, badness: int) -> None:
        """Count a vote; `badness` is 1 - score, in thousandths."""
        self.rows.setdefault((arm, revision), Row()).add_vote(bucket, badness)

    def list_recent(
        self, routed: Iterable[tuple[str, str]], now: float
    ) -> dict[tuple[str, str], Row]:
        """Return the rows for Prometheus: of what is routed, and of what was or had a request within `RECENT_SECONDS`.

        So the last requests of a revision that is gone are scraped, and then its series end. `/stats` keeps every row, because its
        reader subtracts.

        Args:
            routed: arms and revisions that get requests.
            now: seconds on a monotonic clock.
        """
        active = {UNASSIGNED, *routed}
        for key, row in self.rows.items():
            size = row.count + sum(row.votes)
            before, _ = self._last.get(key, (-1, now))
            if key in active or size != before:
                self._last[key] = size, now
        return {
            key: row
            for key, row in self.rows.items()
            if key == UNASSIGNED or now - self._last[key][1] < RECENT_SECONDS
        }

    def stats(self, routed: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
        """Return `routes` of `/stats`: first the routed arms and revisions, then those that were routed before."""
        return [
            {
                "arm": arm,
                "revision": int(revision),
                "requests": row.count_classes(),
                "durationSeconds": {"sum": round(row.seconds, 3), "count": row.count},
                "feedback": row.sum_votes(),
            }
            for (arm, revision), row in self._list_rows(routed)
        ]

    def stats_with_users(self, routed: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
        """Return `routes` of `/stats?users=true`: with counts by group of users, and with the users.

        Only rows of a revision that is routed have these, in whichever arm: others would fill the answer, and nobody compares them.
        """
        routed = tuple(routed)
        revisions = {revision for _, revision in routed}
        rows = self._list_rows(routed)
        return [
            found | (row.describe_users() if revision in revisions else {})
            for found, ((_, revision), row) in zip(self.stats(routed), rows, strict=True)
        ]

    def _list_rows(self, routed: Iterable[tuple[str, str]]) -> list[tuple[tuple[str, str], Row]]:
        seen = dict.fromkeys((*routed, *self.rows))
        return [(key, self.rows.get(key, Row())) for key in seen if key != UNASSIGNED]


def _list_groups(totals: Iterable[int], bad: Iterable[int]) -> list[list[int]]:
    groups = enumerate(zip(totals, bad, strict=True))
    return [[group, *counts] for group, counts in groups if counts[0]]


def parse_line(datagram: bytes) -> EndedRequest | None:
    """Return the request of a log line, or None if the line is about something else."""
    # A client may put spaces into its request's id.
    words = datagram.decode(errors="replace").split(maxsplit=_FIELDS)
    if len(words) < _FIELDS:
        return None
    status, milliseconds, flags, arm, revision, bucket, key, *request_id = words
    assigned = revision.isdigit()
    try:
        return EndedRequest(
            status=int(status),
            seconds=max(int(milliseconds), 0) / 1000,
            cut=_read_cut(flags),
            arm=arm if assigned else "",
            revision=revision if assigned else "",
            request_id="" if request_id == ["-"] else "".join(request_id).strip(),
            bucket=_read_bucket(bucket),
            has_key=key == KEYED,
        )
    except ValueError:
        return None


def _read_bucket(text: str) -> int | None:
    """Return the bucket of a request; None for `-` and for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(BUCKETS))):
        return None
    return bucket if (bucket := int(text)) < BUCKETS else None


def _name_class(status: int) -> str:
    return f"{status // 100}xx"


def _read_cut(flags: str) -> str:
    return {"C": "client", "c": "client", "S": "replica", "s": "replica"}.get(flags[:1], "")
