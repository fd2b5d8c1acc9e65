"""Counts of requests that ended, from HAProxy's log lines, and of votes on their answers.

A line is one datagram: `status milliseconds flags arm revision bucket recent request-id`. Where traces are wanted, it has
`~traceparent/parent/held/queued` before the request's id, the latter two in milliseconds.
"""

import base64
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from llmdeployment_gateway.bounded import RecentVotes, is_in_sample
from llmdeployment_gateway.routes import BUCKETS

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the duration histogram, in seconds."""
UNASSIGNED = ("", "")
"""Arm and revision of a request that was refused before it was assigned."""
RECENT_SECONDS = 600.0
"""How long Prometheus is shown a revision that gets no requests any more: several intervals of scraping."""
GROUPS = 64
"""Groups of users; the group of a request is its bucket modulo this, as at the replicas."""
BOUNDED_GROUPS = 16
"""Groups of users of the bounded sample, as at the replicas, which have no room for more."""
_FIELDS = 7
"""Those that every line has; a request's id may be missing."""
_RECENT_DIGITS = 10
_TRACE_CHARACTERS = 55
"""Those of a `traceparent` of version 00."""
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
        recent: requests of its bucket in the last ten minutes, this one included; None without an assignment key: the bucket is then the
            next of a sequence.
        trace: what the line says of its trace (`request_spans`), or empty where traces are not wanted.
    """

    status: int
    seconds: float
    cut: str
    arm: str
    revision: str
    request_id: str = ""
    bucket: int | None = None
    recent: int | None = None
    trace: str = ""


class GroupCounts:
    """Counts by group of users, and by class of status.

    Args:
        groups: how many groups there are.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self.classes = dict.fromkeys(_CLASSES, 0)
        """Requests that were answered, by class of status."""
        self._totals, self._failures, self._votes, self._badness = ([0] * groups for _ in range(4))

    def add(self, bucket: int, status: int) -> None:
        """Count a request."""
        # Without a key too: such requests are spread evenly over the groups, as requests that have nothing to do with each other are.
        if (name := _name_class(status)) in self.classes:
            self.classes[name] += 1
            self._totals[bucket % self._groups] += 1
            self._failures[bucket % self._groups] += name == "5xx"

    def add_vote(self, bucket: int, badness: int) -> None:
        """Count a vote; `badness` is 1 - score, in thousandths."""
        self._votes[bucket % self._groups] += 1
        self._badness[bucket % self._groups] += badness

    def sum_votes(self) -> dict[str, int]:
        """Return how many votes there were, and the sum of 1 - score of them in thousandths."""
        return {"votes": sum(self._votes), "badThousandths": sum(self._badness)}

    def describe(self) -> dict[str, object]:
        """Return `byUser` with rows `[group, requests, 5xx]`, and `feedback` with rows `[group, votes, bad thousandths]`."""
        return {
            "byUser": _list_groups(self._totals, self._failures),
            "feedback": {
                **self.sum_votes(),
                "byUser": _list_groups(self._votes, self._badness),
            },
        }


@dataclass
class Row:
    """Counts of the requests of one arm and revision."""

    statuses: dict[int, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    count: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    groups: GroupCounts = field(default_factory=lambda: GroupCounts(GROUPS))
    """The same by group of users, and votes."""
    bounded: GroupCounts = field(default_factory=lambda: GroupCounts(BOUNDED_GROUPS))
    """The requests and votes of the bounded sample."""
    users: bytearray = field(default_factory=lambda: bytearray(BUCKETS // 8))
    """A bit for each bucket of a request that had a key: bucket `b` is bit `b % 8` of byte `b // 8`."""

    def add(self, ended: EndedRequest) -> None:
        """Count a request."""
        self.statuses[ended.status] = self.statuses.get(ended.status, 0) + 1
        self.count += 1
        self.seconds += ended.seconds
        self.buckets[bisect_left(BOUNDS, ended.seconds)] += 1
        if ended.cut:
            self.cuts[ended.cut] = self.cuts.get(ended.cut, 0) + 1
        if ended.bucket is not None:
            self.groups.add(ended.bucket, ended.status)
        if ended.bucket is not None and ended.recent is not None:
            self.users[ended.bucket // 8] |= 1 << ended.bucket % 8

    def count_classes(self) -> dict[str, int]:
        """Return requests by class of status; a request without an answer is in none."""
        found = dict.fromkeys(_CLASSES, 0)
        for status, count in self.statuses.items():
            if (name := _name_class(status)) in found:
                found[name] += count
        return found

    def describe_users(self) -> dict[str, object]:
        """Return counts by group of users and, if any request had a key, `users`: the bits in base64.

        `bounded` has the counts of the bounded sample, in the same form.
        """
        users = {"users": base64.b64encode(self.users).decode()} if any(self.users) else {}
        bounded = {"requests": dict(self.bounded.classes), **self.bounded.describe()}
        return {**self.groups.describe(), "bounded": bounded, **users}


class Tally:
    """Counts of all requests that ended since the agent started.

    Args:
        draw: a random number from 0 to 1, for the bounded sample.
        read_time: seconds on a monotonic clock.
    """

    def __init__(
        self,
        draw: Callable[[], float] = random.random,
        read_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw = draw
        self._recent_votes = RecentVotes(read_time)
        self.rows: dict[tuple[str, str], Row] = {}
        self._last: dict[tuple[str, str], tuple[int, float]] = {}
        """When a row was last routed or counted more, and its count then."""

    def count_line(self, datagram: bytes) -> EndedRequest | None:
        """Count the request of one log line and return it, or None if the line is about something else."""
        ended = parse_line(datagram)
        if ended is None:
            return None
        row = self.rows.setdefault((ended.arm, ended.revision), Row())
        row.add(ended)
        if ended.bucket is not None and is_in_sample(ended.recent, self._draw()):
            row.bounded.add(ended.bucket, ended.status)
        return ended

    def count_vote(self, arm: str, revision: str, bucket: int, badness: int) -> None:
        """Count a vote; `badness` is 1 - score, in thousandths."""
        row = self.rows.setdefault((arm, revision), Row())
        row.groups.add_vote(bucket, badness)
        if is_in_sample(self._recent_votes.add(bucket), self._draw()):
            row.bounded.add_vote(bucket, badness)

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
            size = row.count + row.groups.sum_votes()["votes"]
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
                "feedback": row.groups.sum_votes(),
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
    status, milliseconds, flags, arm, revision, bucket, recent, *rest = words
    trace, request_id = _split_trace("".join(rest))
    assigned = revision.isdigit()
    try:
        return EndedRequest(
            status=int(status),
            seconds=max(int(milliseconds), 0) / 1000,
            cut=_read_cut(flags),
            arm=arm if assigned else "",
            revision=revision if assigned else "",
            request_id="" if request_id == "-" else request_id.strip(),
            bucket=_read_bucket(bucket),
            recent=_read_recent(recent),
            trace=trace,
        )
    except ValueError:
        return None


def _split_trace(text: str) -> tuple[str, str]:
    """Return what a line says of a trace, and the request's id behind it. It is read later, of the few requests that get a span."""
    if text.startswith("~-/"):
        # No rule ran, because the request is not valid HTTP.
        return "", text.partition(" ")[2]
    if not text.startswith("~00-"):
        return "", text
    trace, _, request_id = text.partition(" ")
    # A client's id may begin like one.
    return (trace[1:], request_id) if len(trace) > _TRACE_CHARACTERS else ("", text)


def _read_bucket(text: str) -> int | None:
    """Return the bucket of a request; None for `-` and for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(BUCKETS))):
        return None
    return bucket if (bucket := int(text)) < BUCKETS else None


def _read_recent(text: str) -> int | None:
    """Return how many requests a bucket had; None for `-` and for what is no such number."""
    known = text.isascii() and text.isdigit() and len(text) <= _RECENT_DIGITS
    return (int(text) if known else 0) or None


def _name_class(status: int) -> str:
    return f"{status // 100}xx"


def _read_cut(flags: str) -> str:
    return {"C": "client", "c": "client", "S": "replica", "s": "replica"}.get(flags[:1], "")
