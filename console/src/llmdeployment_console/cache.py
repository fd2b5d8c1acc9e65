"""One read of the cluster for all browsers: at most one in two seconds, and none while nobody looks."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record
from llmdeployment_console.cluster import Cluster, Owner

SECONDS = 2.0
"""How old an answer may be."""

_KEPT_SECONDS = 30.0
"""For how long the last answer stands in for an API server that does not answer."""

_EVENTS = 30
"""Events of one LLMDeployment that are kept: the newest."""

_RECORDS = 256
"""LLMDeployments whose records are kept."""


@dataclass(frozen=True)
class Fleet:
    """What was read at one time.

    Attributes:
        deployments: by namespace and name.
        events: of each, newest first.
    """

    deployments: Mapping[Owner, Object] = field(default_factory=dict)
    events: Mapping[Owner, tuple[Object, ...]] = field(default_factory=dict)


class ReadCache:
    """The last read. Who asks while it is being made gets the same.

    Args:
        cluster: what is read.
        clock: seconds that only grow.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fleet: Fleet | None = None
        self._at = 0.0
        self._records: dict[Owner, tuple[frozenset[str], tuple[Record, ...]]] = {}

    async def read(self) -> Fleet:
        """Return the fleet as it was at most two seconds ago.

        Raises:
            Refusal: the API server has not answered for half a minute, or refuses.
        """
        async with self._lock:
            if self._fleet is not None and self._clock() - self._at < SECONDS:
                return self._fleet
            try:
                found = await asyncio.to_thread(self._read)
            except Refusal:
                # The API server may only be starting again.
                if self._fleet is None or self._clock() - self._at > _KEPT_SECONDS:
                    raise
                return self._fleet
            self._fleet, self._at = found, self._clock()
            return found

    def drop(self) -> None:
        """Read again next time: something was written."""
        self._at = float("-inf")

    async def read_records(self, owner: Owner, deployment: Object) -> tuple[Record, ...]:
        """Return the records of an LLMDeployment's revisions; read once for each set of revisions, as a record never changes."""
        rows = (deployment.get("status") or {}).get("revisions") or ()
        names = frozenset(f"{row.get('name')}/{row.get('hash')}" for row in rows)
        uid = str(deployment["metadata"].get("uid"))
        known = self._records.get(owner)
        if known is not None and known[0] == names | {uid}:
            return known[1]
        found = await asyncio.to_thread(self._cluster.list_records, owner)
        self._records.pop(owner, None)
        self._records[owner] = (names | {uid}, found)
        while len(self._records) > _RECORDS:
            self._records.pop(next(iter(self._records)))
        return found

    def _read(self) -> Fleet:
        deployments = {
            _get_owner(each["metadata"]): each for each in self._cluster.list_deployments()
        }
        events: dict[Owner, list[Object]] = {}
        for event in sorted(self._cluster.list_events(), key=read_event_time, reverse=True):
            kept = events.setdefault(_get_owner(event["involvedObject"]), [])
            if len(kept) < _EVENTS:
                kept.append(event)
        return Fleet(deployments, {owner: tuple(found) for owner, found in events.items()})


def read_event_time(event: Object) -> str:
    """Return when an Event was last seen, as text that sorts."""
    times = (event.get(key) for key in ("lastTimestamp", "eventTime", "firstTimestamp"))
    return str(next((time for time in times if time), ""))


def _get_owner(reference: Object) -> Owner:
    return str(reference.get("namespace", "")), str(reference.get("name", ""))
