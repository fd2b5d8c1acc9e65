"""A console on a cluster that is a few recorded objects, for the tests of this folder."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from tests.unit.cli.objects import COST, NOW, RECORDS, Object, on_its_way, operator

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record, read_records
from llmdeployment_cli.operators import Operator, read_operator
from llmdeployment_console.actions import build_change
from llmdeployment_console.app import Console, build_app
from llmdeployment_console.cache import ReadCache
from llmdeployment_console.cluster import Owner
from llmdeployment_console.forwards import Place
from llmdeployment_console.guard import admit_local
from llmdeployment_console.history import Histories
from llmdeployment_console.operator_points import OperatorPoints
from llmdeployment_console.rights import OwnRights, Rights
from llmdeployment_console.sessions import Sessions
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.plan.live.point import build_point
from llmdeployment_operator.plan.observed.live_counters import LiveCounters, RevisionCounters

HOST = "127.0.0.1:8001"
WRITE = {
    "x-llm-console": "1",
    "origin": f"http://{HOST}",
    "content-type": "application/json",
}
ONE = "/api/llmdeployments/shop/chat"

ANALYSIS = {
    "metrics": [
        {"name": "ttft", "milliseconds": 500, "tolerancePercent": 5},
        {"name": "errorRate"},
    ]
}
EVIDENCE = {
    "result": "NeedMoreData",
    "message": "About 170 more canary requests are needed.",
    "requestsLeft": 170,
    "metrics": [
        {"name": "ttft>500ms", "stable": 1648, "stableBad": 18, "canary": 412, "canaryBad": 9},
        {"name": "errorRate", "stable": 1650, "stableBad": 3, "canary": 413, "canaryBad": 1},
    ],
    "stableUsers": 342,
    "canaryUsers": 21,
    "seconds": 310,
}

EVALUATIONS = {
    3: {"golden": "5ee", "score": 97, "passed": 97, "total": 100, "at": "2026-11-23T09:20:00Z"},
    4: {
        "golden": "5ee",
        "score": 95,
        "passed": 95,
        "total": 100,
        "at": "2026-11-24T11:46:00Z",
        "message": "5 of 100 questions failed.",
        "wrong": [{"number": 7, "id": "capital-of-france"}],
        "comparison": {
            "revision": 3,
            "lost": 3,
            "won": 1,
            "difference": "-2.0",
            "low": "-6.1",
            "high": "2.2",
            "questions": ["capital-of-france"],
            "message": "3 questions were lost and 1 was won. This may be noise.",
        },
    },
}


def moving(**metadata: Any) -> Object:
    """Return an LLMDeployment whose revision 4 is compared with revision 3."""
    found = on_its_way(analysis=EVIDENCE)
    status = found["status"]
    rows = [
        {**row, "url": f"http://chat-{row['runtime']}.shop:30000/v1"} if row["replicas"] else row
        for row in status["revisions"]
    ]
    rows = [
        {
            **row,
            **({"evaluation": EVALUATIONS[row["number"]]} if row["number"] in EVALUATIONS else {}),
        }
        for row in rows
    ]
    decision = {
        "at": "2026-11-24T11:58:00Z",
        "runtime": rows[1]["runtime"],
        "from": 3,
        "to": 4,
        "reason": "LatencyAboveTarget",
        "message": "35.2 % of ttft lie above 0.5 s; 10 % may.",
    }
    return {
        **found,
        "metadata": {**found["metadata"], "uid": "u-1", "generation": 4, **metadata},
        "spec": {
            **found["spec"],
            "rollout": {**found["spec"]["rollout"], "analysis": ANALYSIS},
            "resources": {"limits": {"nvidia.com/gpu": 1}},
        },
        "status": {
            **status,
            "revisions": rows,
            "cost": COST,
            "scaling": {"replicas": 4, "decisions": [decision]},
        },
    }


EVENT = {
    "involvedObject": {"namespace": "shop", "name": "chat"},
    "type": "Normal",
    "reason": "RevisionCreated",
    "message": "revision 4: prompt differs from revision 3",
    "lastTimestamp": "2026-11-24T11:45:00Z",
}


def histogram(below: float, count: int) -> tuple[int, ...]:
    """Return cumulative counts of values between the bounds around 0.4 s (place 16), and of one of 2 s."""
    place = {0.3: 15, 0.5: 16}[below]
    return (*[0] * place, *[count] * (21 - place), *[count + 1] * 16)


def point(requests: int = 60) -> dict[str, Any]:
    """Return a point as the operator makes it, five seconds after another."""
    before = LiveCounters({"g": {3: RevisionCounters(), 4: RevisionCounters()}, "w": {}})
    now = LiveCounters(
        {
            "g": {3: RevisionCounters(requests, 1), 4: RevisionCounters(requests // 3)},
            "w": {
                3: RevisionCounters(ttft=histogram(0.3, 50), output_tokens=4000),
                4: RevisionCounters(ttft=histogram(0.5, 20), output_tokens=1200),
            },
        },
        waiting=2,
    )
    found = moving()
    rollout = RolloutSpec.model_validate(found["spec"]["rollout"])
    status = read_status(found["status"])
    return {"at": "2026-11-24T12:00:00.000Z", **build_point(now, before, 5.0, rollout, status)}


class FakeCluster:
    """A cluster of recorded objects; `applied` has what was asked of it."""

    def __init__(self, *deployments: Object, operators: Sequence[Object] = ()) -> None:
        self.deployments = list(deployments)
        self.operators = operators
        self.applied: list[tuple[Owner, str, str | None]] = []
        self.config_maps: dict[tuple[str, str, str], str] = {}
        self.reads = 0
        self.answers = True

    def list_deployments(self) -> list[Object]:
        self.reads += 1
        if not self.answers:
            raise Refusal("the API server does not answer")
        return list(self.deployments)

    def list_events(self) -> list[Object]:
        return [EVENT]

    def list_records(self, owner: Owner) -> tuple[Record, ...]:
        del owner
        return read_records(RECORDS)

    def apply(self, owner: Owner, action: str, arm: str | None) -> None:
        if action != "undo":
            build_change(self.deployments[0], action, arm)
        self.applied.append((owner, action, arm))

    def read_config_map_key(self, namespace: str, name: str, key: str) -> str:
        found = self.config_maps.get((namespace, name, key))
        if found is None:
            raise Refusal(f"ConfigMap {name} does not exist in namespace {namespace}. Create it.")
        return found

    def find_operators(self) -> list[Operator]:
        return [read_operator(each) for each in self.operators]


class FakeWays:
    """Leads everywhere to one place, or nowhere."""

    def __init__(self, base: str | None = None) -> None:
        self.base = base
        self.places: list[Place] = []
        self.dropped: list[Place] = []

    async def find(self, place: Place) -> str:
        self.places.append(place)
        if self.base is None:
            raise Refusal("kubectl cannot be started")
        return self.base

    async def drop(self, place: Place) -> None:
        self.dropped.append(place)


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def open_console(
    cluster: FakeCluster,
    ways: FakeWays | None = None,
    page: Path | None = None,
    rights: Rights | None = None,
) -> AsyncIterator[tuple[Console, Clock]]:
    """Yield a console whose clocks stand still."""
    clock, leads = Clock(), ways or FakeWays()
    async with aiohttp.ClientSession() as session:
        points = OperatorPoints(session, cluster, leads, clock)
        yield (
            Console(
                cluster,
                ReadCache(cluster, clock),
                points,
                Histories(points, clock),
                leads,
                session,
                rights or OwnRights(cluster.apply),
                Sessions(8001),
                page=page or Path("/nowhere"),
                clock=lambda: NOW + timedelta(seconds=clock.now - 1000),
                look_seconds=0.001,
            ),
            clock,
        )


def build_local(console: Console) -> ASGIApp:
    """Return the app of a console on this machine."""
    assert console.sessions is not None
    hosts = frozenset({HOST, "localhost:8001"})
    return build_app(console, partial(admit_local, sessions=console.sessions, hosts=hosts))


def browse(console: Console, *, known: bool = True) -> TestClient:
    """Return a browser at the console; a known one has the cookie."""
    browser = TestClient(build_local(console), base_url=f"http://{HOST}", follow_redirects=False)
    if known:
        assert console.sessions is not None
        token = console.sessions.issue_token()
        assert browser.get("/", params={"token": token}).status_code == 303
    return browser


OPERATOR = operator()
