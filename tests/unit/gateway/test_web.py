"""The agent's `/stats`: counts by group of users are for who asks for them."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families
from tests.support.stats_contract import check

from llmdeployment_gateway.metrics import MetricsPage
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.web import AgentServer

ROUTES = {
    "deployment": "chat",
    "servedName": "chat",
    "salt": "3d1f",
    "routes": [{"arm": "main", "revision": 1, "service": "chat-1", "below": 10_000}],
}


def make_steering() -> Any:
    """Return what the page asks of the loop that steers HAProxy, which does not run here."""

    async def count_held() -> tuple[int, int]:
        return 0, 0

    async def count_services() -> dict[str, dict[str, int]]:
        return {}

    return SimpleNamespace(
        inputs=SimpleNamespace(routes=Routes.model_validate(ROUTES)),
        applied=SimpleNamespace(routes_hash=""),
        count_held=count_held,
        count_services=count_services,
    )


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/stats", set()),
        ("/stats?users=false", set()),
        ("/stats?users=true", {"bounded", "byUser", "users"}),
    ],
)
async def test_users_are_in_stats_when_they_are_asked_for(path: str, more: set[str]) -> None:
    tally = Tally()
    tally.count_line(b"200 9 -- main 1 70 3 id")
    kube: Any = None
    app = AgentServer(make_steering(), tally, kube, MetricsPage("team", "chat")).build_app()
    async with TestClient(TestServer(app)) as client:
        document = await (await client.get(path)).json()

    check("gateway", document)
    (row,) = document["routes"]
    assert row.keys() == {"arm", "revision", "requests", "durationSeconds", "feedback"} | more


async def test_votes_are_metrics() -> None:
    tally = Tally()
    for badness in (800, 0):
        tally.count_vote("main", "1", 70, badness)
    steering = make_steering()
    steering.failures, steering.explain_unready = 0, str
    kube: Any = SimpleNamespace(failures=0)
    app = AgentServer(steering, tally, kube, MetricsPage("team", "chat")).build_app()
    async with TestClient(TestServer(app)) as client:
        page = await (await client.get("/metrics")).text()

    name = "llmdeployment_gateway_feedback_score"
    labels = 'arm="main",name="chat",namespace="team",revision="1"'
    assert f"{name}_count{{{labels}}} 2.0" in page
    assert f"{name}_sum{{{labels}}} 1.2" in page
    families = list(text_string_to_metric_families(page))
    assert "process_resident_memory_bytes" in {family.name for family in families}
    own = [family for family in families if family.name.startswith("llmdeployment")]
    assert {
        (sample.labels["namespace"], sample.labels["name"])
        for family in own
        for sample in family.samples
    } == {("team", "chat")}
