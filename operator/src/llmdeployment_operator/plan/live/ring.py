"""The last hour of points of each LLMDeployment, in memory and bounded.

A point's numbers lie in an array beside their names, which points of one shape share: an hour of a canary with two metrics (27 numbers)
takes 0.29 MB. At most `OBJECTS` LLMDeployments are kept; the one that was not heard of for longest goes first.
"""

import math
from array import array
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.live.point import Point, build_point
from llmdeployment_operator.plan.observed.live_counters import LiveCounters

SECONDS = 5.0
"""Between two points, at least."""

POINTS, OBJECTS = 720, 200

Owner = tuple[str, str]
"""Namespace and name."""

_Path = tuple[str, ...]
_Shape = tuple[_Path, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    at: float
    shape: _Shape
    values: "array[float]"


@dataclass
class Ring:
    """The last points of one LLMDeployment, oldest first."""

    rows: deque[_Row] = field(default_factory=lambda: deque(maxlen=POINTS))

    def add(self, at: float, point: Mapping[str, Any]) -> None:
        """Add a point; the oldest goes when there is no room.

        Args:
            at: seconds since 1970; one that is not later than the last point's is left out.
            point: numbers or None, in maps.
        """
        if self.rows and at <= self.rows[-1].at:
            return
        flat = dict(_flatten(point))
        shape = tuple(flat)
        if self.rows and self.rows[-1].shape == shape:
            shape = self.rows[-1].shape
        # From a list, because an array that grows keeps room to spare.
        values = array("d", [math.nan if v is None else v for v in flat.values()])
        self.rows.append(_Row(at, shape, values))

    def list_points(self, after: float = -math.inf) -> list[tuple[float, Point]]:
        """Return the points later than a time, with their times."""
        return [(row.at, _unflatten(row)) for row in self.rows if row.at > after]


def _flatten(point: Mapping[str, Any], above: _Path = ()) -> Iterator[tuple[_Path, float | None]]:
    for key, value in point.items():
        if isinstance(value, Mapping):
            # An empty map has a place too, so that it is one again.
            yield from _flatten(value, (*above, key)) if value else [((*above, key, ""), None)]
        else:
            yield (*above, key), value


def _unflatten(row: _Row) -> Point:
    found: Point = {}
    for (*above, key), value in zip(row.shape, row.values, strict=True):
        place = found
        for each in above:
            place = place.setdefault(each, {})
        if key:
            place[key] = None if math.isnan(value) else _shorten(value)
    return found


def _shorten(value: float) -> float | int:
    return int(value) if value.is_integer() else value


@dataclass
class _Track:
    uid: str
    ring: Ring = field(default_factory=Ring)
    counters: LiveCounters | None = None
    at: float = -math.inf


class LiveHistory:
    """The rings of all LLMDeployments."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[Owner, _Track] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tracks)

    def record(
        self,
        owner: Owner,
        uid: str,
        counters: LiveCounters,
        now: float,
        rollout: RolloutSpec,
        status: Status,
    ) -> None:
        """Add a point, unless the last one is younger than `SECONDS`.

        Args:
            owner: namespace and name.
            uid: one that was made anew under the same name begins anew.
            counters: what pods count now.
            now: seconds since 1970.
            rollout: how canary and stable revision are compared.
            status: as this pass reports it.
        """
        track = self._tracks.get(owner)
        if track is None or track.uid != uid or now < track.at:
            # A clock that was put back begins anew as well.
            track = self._tracks[owner] = _Track(uid)
        elif now - track.at < SECONDS:
            return
        point = build_point(counters, track.counters, now - track.at, rollout, status)
        track.ring.add(now, point)
        track.counters, track.at = counters, now
        self._tracks.move_to_end(owner)
        while len(self._tracks) > OBJECTS:
            self._tracks.popitem(last=False)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self._tracks.pop(owner, None)

    def list_owners(self) -> list[Owner]:
        """Return the LLMDeployments that have points."""
        return list(self._tracks)

    def find_last(self, owner: Owner) -> float | None:
        """Return the time of the last point of one, in seconds since 1970; None of one that is not known."""
        track = self._tracks.get(owner)
        return track.at if track is not None else None

    def list_points(self, owner: Owner, after: float = -math.inf) -> list[tuple[float, Point]]:
        """Return the points of one that are later than a time; none of one that is not known."""
        track = self._tracks.get(owner)
        return track.ring.list_points(after) if track is not None else []
