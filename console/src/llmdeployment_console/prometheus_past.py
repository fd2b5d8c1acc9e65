"""Latency and requests of more than the last hour, from a Prometheus that scrapes gateways and replicas.

A few range queries, bounded in points, time and size. The console asks as itself: who may read an LLMDeployment here sees its curves.
"""

import asyncio
import json
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

import aiohttp

from llmdeployment_console.cluster import Owner
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_operator.plan.live.point import REVISIONS, Point

log = logging.getLogger(__name__)

HOURS = (6, 24, 168, 720)
"""The spans that can be asked for: six hours, a day, a week, thirty days."""
POINTS = 360
"""Of a span."""
_FEWEST_SECONDS = 120
"""A rate is over so many seconds at least: four scrapes of the chart's PodMonitors."""
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MOST_BYTES = 4 << 20
_KEPT_SECONDS, _KEPT = 30.0, 32
_PAUSE_SECONDS = 5.0
"""Seconds after a failure in which nobody waits for Prometheus again."""

Figure = Literal["requestsPerSecond", "ttftP50", "ttftP90"]
Series = Mapping[int, Mapping[int, float]]
"""Values by revision and time, in seconds since 1970."""


def find_hours(text: str) -> int:
    """Return the span that a page asks for.

    Raises:
        RequestRefused: it is none of HOURS.
    """
    found = next((each for each in HOURS if str(each) == text), None)
    if found is None:
        message = f"hours must be one of {', '.join(map(str, HOURS))}. Reload the page."
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "bad_request", message)
    return found


class PrometheusPast:
    """What a Prometheus has of the past; an answer is kept for half a minute.

    Args:
        session: for all requests.
        url: its base URL; None for none.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._url = url
        self._clock = clock
        self._lock = asyncio.Lock()
        self._failed = float("-inf")
        self._kept: OrderedDict[tuple[Owner, int], tuple[float, list[Point]]] = OrderedDict()

    async def read(self, owner: Owner, hours: int, now: datetime) -> list[Point]:
        """Return points, oldest first.

        Args:
            owner: namespace and name.
            hours: how far back, one of HOURS.
            now: the time.

        Raises:
            RequestRefused: there is no Prometheus, or it does not answer.
        """
        if self._url is None:
            message = "No Prometheus is set. Start the console with --prometheus-url."
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no_prometheus", message)
        async with self._lock:
            known = self._kept.get((owner, hours))
            if known is not None and self._clock() - known[0] < _KEPT_SECONDS:
                return known[1]
            if self._clock() - self._failed < _PAUSE_SECONDS:
                message = "Prometheus did not answer a moment ago. Try again in some seconds."
                raise RequestRefused(HTTPStatus.BAD_GATEWAY, "no_past", message)
            try:
                points = await self._ask(self._url, owner, hours, now)
            except RequestRefused:
                self._failed = self._clock()
                raise
            self._kept[owner, hours] = (self._clock(), points)
            self._kept.move_to_end((owner, hours))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return points

    async def _ask(self, url: str, owner: Owner, hours: int, now: datetime) -> list[Point]:
        step = hours * 3600 // POINTS
        # On whole steps, so that a curve does not tremble from look to look.
        end = int(now.timestamp()) // step * step
        start = end - (POINTS - 1) * step
        queries = build_queries(owner, max(step, _FEWEST_SECONDS))
        try:
            answers = await asyncio.gather(
                *(self._query(url, query, start, end, step) for query in queries.values())
            )
        except (
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            # Not the address: whoever looks at the page need not know it.
            log.warning("Prometheus has no answer: %s", str(error) or type(error).__name__)
            message = "Prometheus does not answer, or with something else than numbers. The console's log says more."
            raise RequestRefused(HTTPStatus.BAD_GATEWAY, "no_past", message) from None
        found = dict(zip(queries, answers, strict=True))
        return merge_points(found, range(start, end + 1, step))

    async def _query(self, url: str, query: str, start: int, end: int, step: int) -> Series:
        form = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        # By POST, because a query in the address may be longer than a proxy takes.
        async with self._session.post(
            f"{url}/api/v1/query_range", data=form, timeout=_TIMEOUT, allow_redirects=False
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"it answered {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("the answer is too large")
            return read_matrix(json.loads(body))


def build_queries(owner: Owner, seconds: int) -> dict[Figure, str]:
    """Return the queries of an LLMDeployment, by what they say of each revision.

    Args:
        owner: namespace and name.
        seconds: over which a rate is taken.

    >>> build_queries(("shop", "chat"), 240)["requestsPerSecond"]
    'sum by (revision) (rate(llmdeployment_gateway_requests_total{namespace="shop",name="chat"}[240s]))'
    """
    namespace, name = (json.dumps(each) for each in owner)
    labels = f"{{namespace={namespace},name={name}}}[{seconds}s]"
    buckets = (
        f"sum by (revision, le) (rate(llmdeployment_time_to_first_chunk_seconds_bucket{labels}))"
    )
    return {
        "requestsPerSecond": f"sum by (revision) (rate(llmdeployment_gateway_requests_total{labels}))",
        "ttftP50": f"histogram_quantile(0.5, {buckets})",
        "ttftP90": f"histogram_quantile(0.9, {buckets})",
    }


def read_matrix(document: Any) -> Series:  # noqa: ANN401  # because it comes from outside
    """Return the values of a range query; those of no revision, and those that are no number, are left out.

    >>> row = {"metric": {"revision": "4"}, "values": [[100, "1.5"], [160.0, "NaN"]]}
    >>> read_matrix({"status": "success", "data": {"resultType": "matrix", "result": [row]}})
    {4: {100: 1.5}}
    """
    data = document["data"]
    if document["status"] != "success" or data["resultType"] != "matrix":
        raise ValueError("the answer is no matrix")
    found: dict[int, dict[int, float]] = {}
    for row in data["result"]:
        revision = str(row["metric"].get("revision", ""))
        if revision.isdecimal() and int(revision) > 0:
            pairs = ((int(at), float(value)) for at, value in row["values"][:POINTS])
            found[int(revision)] = {at: value for at, value in pairs if math.isfinite(value)}
    return found


def merge_points(found: Mapping[Figure, Series], times: range) -> list[Point]:
    """Return points as the operator makes them, with what Prometheus knows. Of more revisions than a point has, the newest."""
    revisions = sorted({each for series in found.values() for each in series})[-REVISIONS:]
    return [_build_point(found, revisions, at) for at in times]


def _build_point(found: Mapping[Figure, Series], revisions: list[int], at: int) -> Point:
    every = {
        str(revision): {
            figure: series.get(revision, {}).get(at) for figure, series in found.items()
        }
        for revision in revisions
    }
    rows = {
        number: row
        for number, row in every.items()
        if any(value is not None for value in row.values())
    }
    rates = [
        row["requestsPerSecond"] for row in rows.values() if row["requestsPerSecond"] is not None
    ]
    return {
        "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "requestsPerSecond": sum(rates) if rates else None,
        "ttftP90": None,
        "waiting": None,
        "replicas": {"ready": None, "desired": None},
        "revisions": rows,
        "analysis": {},
    }
