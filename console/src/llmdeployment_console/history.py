"""The points of one LLMDeployment that browsers look at: the operator's, or without one such as the status gives."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from llmdeployment_cli.arms import Object
from llmdeployment_console.cluster import Owner
from llmdeployment_console.documents import read_rollout
from llmdeployment_console.operator_points import SECONDS, OperatorPoints
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.plan.live.point import Point, build_point
from llmdeployment_operator.plan.live.ring import POINTS
from llmdeployment_operator.plan.observed.live_counters import LiveCounters

MESSAGE = (
    "The operator does not give its points of the last hour, so the curves begin now and have no latencies. "
    "It is older, cannot be reached, or you may not forward ports to it."
)

_MOST = 64


class History:
    """The points of one LLMDeployment. Who asks while they are being read gets the same.

    Attributes:
        points: oldest first.
        message: what a person should know of them, or None.
    """

    def __init__(self, owner: Owner, source: OperatorPoints, clock: Callable[[], float]) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS)
        self.message: str | None = None
        self._owner = owner
        self._source = source
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read = float("-inf")
        self._told: str | None = None

    async def refresh(self, deployment: Object, now: datetime) -> None:
        """Read what is new, at most once in five seconds."""
        async with self._lock:
            if self._clock() - self._read < SECONDS:
                return
            found = await self._source.read_points(self._owner, self._told)
            if found is None:
                self.message = MESSAGE
                self.points.append(build_point_of_status(deployment, now))
            else:
                self.message = None
                self.points.extend(found)
                self._told = found[-1]["at"] if found else self._told
            self._read = self._clock()

    def list_points(self, after: str | None = None) -> list[Point]:
        """Return the points later than the time of another."""
        return [point for point in self.points if after is None or point["at"] > after]


class Histories:
    """The histories of those who are looked at, at most 64.

    Args:
        source: the operators.
        clock: seconds that only grow.
    """

    def __init__(self, source: OperatorPoints, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._known: OrderedDict[tuple[Owner, str], History] = OrderedDict()

    def find(self, owner: Owner, uid: str) -> History:
        """Return the history of an LLMDeployment; one that was made anew under the same name has another."""
        key = (owner, uid)
        if key not in self._known:
            self._known[key] = History(owner, self._source, self._clock)
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return self._known[key]


def build_point_of_status(deployment: Object, now: datetime) -> dict[str, Any]:
    """Return a point with what the status says: replicas and the comparison."""
    status = read_status(deployment.get("status"))
    at = now.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    return {"at": at, **build_point(LiveCounters(), None, 0.0, read_rollout(deployment), status)}
