"""Counts of requests that ended, from HAProxy's log lines: one datagram each, `status milliseconds flags arm revision request-id`."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the duration histogram, in seconds."""
UNASSIGNED = ("", "")
"""Arm and revision of a request that was refused before it was assigned."""
_FIELDS = 5
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
    """

    status: int
    seconds: float
    cut: str
    arm: str
    revision: str
    request_id: str = ""


@dataclass
class Row:
    """Counts of the requests of one arm and revision."""

    statuses: dict[int, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    count: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, ended: EndedRequest) -> None:
        """Count a request."""
        self.statuses[ended.status] = self.statuses.get(ended.status, 0) + 1
        self.count += 1
        self.seconds += ended.seconds
        self.buckets[bisect_left(BOUNDS, ended.seconds)] += 1
        if ended.cut:
            self.cuts[ended.cut] = self.cuts.get(ended.cut, 0) + 1

    def count_classes(self) -> dict[str, int]:
        """Return requests by class of status; a request without an answer is in none."""
        found = dict.fromkeys(_CLASSES, 0)
        for status, count in self.statuses.items():
            if (name := f"{status // 100}xx") in found:
                found[name] += count
        return found


class Tally:
    """Counts of all requests that ended since the agent started."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def count_line(self, datagram: bytes) -> EndedRequest | None:
        """Count the request of one log line and return it, or None if the line is about something else."""
        ended = parse_line(datagram)
        if ended is not None:
            self.rows.setdefault((ended.arm, ended.revision), Row()).add(ended)
        return ended

    def stats(self, routed: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
        """Return `routes` of `/stats`: first the routed arms and revisions, then those that were routed before."""
        seen = dict.fromkeys((*routed, *self.rows))
        return [
            {
                "arm": arm,
                "revision": int(revision),
                "requests": row.count_classes(),
                "durationSeconds": {"sum": round(row.seconds, 3), "count": row.count},
            }
            for arm, revision in seen
            if (arm, revision) != UNASSIGNED
            for row in (self.rows.get((arm, revision), Row()),)
        ]


def parse_line(datagram: bytes) -> EndedRequest | None:
    """Return the request of a log line, or None if the line is about something else."""
    # A client may put spaces into its request's id.
    words = datagram.decode(errors="replace").split(maxsplit=_FIELDS)
    if len(words) < _FIELDS:
        return None
    status, milliseconds, flags, arm, revision, *request_id = words
    assigned = revision.isdigit()
    try:
        return EndedRequest(
            status=int(status),
            seconds=max(int(milliseconds), 0) / 1000,
            cut=_read_cut(flags),
            arm=arm if assigned else "",
            revision=revision if assigned else "",
            request_id="" if request_id == ["-"] else "".join(request_id).strip(),
        )
    except ValueError:
        return None


def _read_cut(flags: str) -> str:
    return {"C": "client", "c": "client", "S": "replica", "s": "replica"}.get(flags[:1], "")
