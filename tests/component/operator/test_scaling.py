"""Autoscaling against the real API server: what is written and how often, and replicas whose `/stats` lie."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.component.operator.test_passes import Writes, conditions, simulated
from tests.support.cluster_client import ClusterClient
from tests.support.passes import make_pass
from tests.support.ports import free_port

from llmdeployment_operator.kube import objects, serve
from llmdeployment_operator.reconcile import DeploymentKey, Operator, reconcile

pytestmark = pytest.mark.component

SCALING = {"maxReplicas": 4, "targets": {"ttft": {"milliseconds": 500}}}


async def test_a_second_pass_writes_nothing(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(simulated(replicas=2, scaling=SCALING))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    writes = Writes(monkeypatch)
    outcomes = [await make_pass(operator, key) for _ in range(3)]
    assert writes.made == []
    assert {outcome.requeue_after for outcome in outcomes} == {2.0}
    assert list(outcomes[0].desired.values()) == [2.0]
    assert conditions(cluster)["Scaling"]["reason"] == "ScalingActive"
    found = cluster.get("LLMDeployment", "chat")
    assert found is not None
    (runtime,) = found["status"]["scaling"]["runtimes"]
    assert runtime["desired"] == found["status"]["scaling"]["replicas"] == 2


async def test_a_pass_that_has_nothing_to_do_sends_no_request(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(simulated(replicas=2, scaling=SCALING))
    key = DeploymentKey(cluster.namespace, "chat")
    for _ in range(2):
        await make_pass(operator, key)
    # The first pass after its names were forgotten reads the Secrets and the HTTPRoute.
    await reconcile(operator, key)
    sent: list[str] = []

    async def counted(_: Any, method: str, path: str, **__: Any) -> Any:
        sent.append(f"{method} {path}")
        raise AssertionError(sent)

    monkeypatch.setattr(objects, "_send", counted)
    for _ in range(3):
        assert await reconcile(operator, key) is not None
    assert sent == []


async def test_a_pass_after_a_write_knows_it_though_no_event_came(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(simulated())
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    written: list[str] = []
    apply = objects.apply

    async def counted(client: Any, body: Any) -> Any:
        written.append(body["kind"])
        return await apply(client, body)

    monkeypatch.setattr(objects, "apply", counted)
    await reconcile(operator, key)
    assert written == []


async def test_a_decision_is_in_the_status_as_it_was_made(
    cluster: ClusterClient, operator: Operator
) -> None:
    cluster.create(simulated(scaling=SCALING))
    key = DeploymentKey(cluster.namespace, "chat")
    await make_pass(operator, key)
    cluster.patch("LLMDeployment", "chat", {"spec": {"replicas": 3}})
    await make_pass(operator, key)
    (workers,) = (
        obj
        for (kind, name), obj in cluster.children("chat").items()
        if kind == "Deployment" and "gateway" not in name
    )
    assert workers["spec"]["replicas"] == 1
    cluster.patch("LLMDeployment", "chat", {"spec": {"scaling": {"minReplicas": 2}}})
    await make_pass(operator, key)
    found = cluster.get("LLMDeployment", "chat")
    assert found is not None
    (decision,) = found["status"]["scaling"]["decisions"]
    assert (decision["from"], decision["to"], decision["reason"]) == (1, 2, "BelowMinimum")
    events = [e for e in cluster.items("Event") if e["reason"] == "ScaledUp"]
    assert len(events) == 1
    counted = operator.metrics.scaling_decisions.labels(cluster.namespace, "chat", "BelowMinimum")
    assert counted._value.get() == 1.0


Answer = Callable[[web.Request], Any]


@pytest.fixture
async def served() -> AsyncIterator[Callable[[Answer], Any]]:
    """Serves `/stats` as a test says; returns the port."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> int:
        app = web.Application()
        app.router.add_get("/stats", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return port

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"running": 1}', {"running": 1}),
        (b"[1]", None),
        (b"no", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"a": "' + b"x" * (2 << 20) + b'"}', None),
    ],
    ids=["an object", "a list", "no JSON", "no text", "a deep list", "too long"],
)
async def test_what_is_read_of_a_replica(
    served: Callable[[Answer], Any], body: bytes, read: Any
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    port = await served(answer)
    async with aiohttp.ClientSession() as session:
        assert await serve.get_stats(session, "127.0.0.1", port, seconds=5) == read


async def test_a_replica_that_takes_too_long_did_not_answer(
    served: Callable[[Answer], Any],
) -> None:
    gone = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await gone.wait()
        return web.json_response({})

    port = await served(answer)
    async with aiohttp.ClientSession() as session:
        assert await serve.get_stats(session, "127.0.0.1", port, seconds=0.1) is None
    gone.set()
