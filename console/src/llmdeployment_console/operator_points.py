"""Points of the last hour, read from the operator: a few small GETs, shared by all browsers."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.operators import Operator
from llmdeployment_console.cluster import Cluster, Owner
from llmdeployment_console.forwards import Place, Ways
from llmdeployment_console.point_checks import read_fleet, read_points
from llmdeployment_operator.plan.live.point import Point

log = logging.getLogger(__name__)

PORT = 8080
SECONDS = 5.0
_TIMEOUT = aiohttp.ClientTimeout(total=3)
_MOST_BYTES = 4 << 20
_PATIENCE = 0.3
"""The fleet waits so many seconds for points at most: the first port-forward takes longer, and the next look has them."""
_RETRY_SECONDS = 30.0
"""An operator that was not reached is not tried again for so long: each try starts a kubectl."""


class OperatorPoints:
    """What the operators of a cluster have at `/live`.

    Args:
        session: for all requests.
        cluster: says which operators there are.
        ways: leads to them.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        cluster: Cluster,
        ways: Ways,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._cluster = cluster
        self._ways = ways
        self._clock = clock
        self._lock = asyncio.Lock()
        self._operators: Sequence[Operator] | None = None
        self._listed = 0.0
        self._failed: dict[Place, float] = {}
        self._fleet: dict[Owner, dict[str, Any]] = {}
        self._read = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def read_fleet(self) -> Mapping[Owner, Mapping[str, Any]]:
        """Return `point` and `ttftP90ByMinute` of each LLMDeployment that an operator knows."""
        if self._reading is not None and self._reading.done():
            self._reading = None
        if self._reading is None and self._clock() - self._read >= SECONDS:
            self._reading = asyncio.create_task(self._read_fleet())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_PATIENCE)
        return self._fleet

    async def _read_fleet(self) -> None:
        async with self._lock:
            operators = await self._list_operators()
        found: dict[Owner, dict[str, Any]] = {}
        for operator in operators:
            rows = read_fleet(await self._get(operator, "/live"))
            found |= {owner: row for owner, row in rows.items() if operator.watches(owner[0])}
        self._fleet = found
        self._read = self._clock()

    async def read_points(self, owner: Owner, after: str | None) -> list[Point] | None:
        """Return the points of one that are later than a time; None if no operator says."""
        query = f"?{urlencode({'after': after})}" if after is not None else ""
        path = f"/live/{quote(owner[0], safe='')}/{quote(owner[1], safe='')}{query}"
        async with self._lock:
            operators = await self._list_operators()
        for operator in operators:
            if operator.watches(owner[0]):
                points = read_points(await self._get(operator, path))
                if points is not None:
                    return points
        return None

    async def _list_operators(self) -> Sequence[Operator]:
        if self._operators is None or self._clock() - self._listed >= _RETRY_SECONDS:
            self._operators = await asyncio.to_thread(self._cluster.find_operators)
            self._listed = self._clock()
        return [each for each in self._operators if each.ready]

    async def _get(self, operator: Operator, path: str) -> dict[str, Any]:
        """Return a document of an operator; an empty one if it cannot be had, as of an older operator."""
        place = (operator.namespace, f"deploy/{operator.name}", PORT)
        if self._clock() - self._failed.get(place, float("-inf")) < _RETRY_SECONDS:
            return {}
        try:
            base = await self._ways.find(place)
            async with self._session.get(
                base + path, timeout=_TIMEOUT, allow_redirects=False
            ) as answer:
                found = json.loads(await _read_bounded(answer))
        except (Refusal, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            log.info(
                "the operator %s/%s has no points: %s", operator.namespace, operator.name, error
            )
            self._failed[place] = self._clock()
            await self._ways.drop(place)
            return {}
        return found if isinstance(found, dict) else {}


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    if answer.status != HTTPStatus.OK:
        raise ValueError(f"it answered {answer.status}")
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise ValueError("the answer is too large")
    return bytes(body)
