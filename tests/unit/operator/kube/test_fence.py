"""No write leaves a process whose time is over, whatever client sends it; reads do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.connector import Connection
from kubernetes.aio.client import Configuration

from llmdeployment_operator.kube import fence as fences
from llmdeployment_operator.kube import objects, serve
from llmdeployment_operator.kube.client import Access, api_client
from llmdeployment_operator.kube.errors import NotLeader
from llmdeployment_operator.kube.fence import Fence, make_fenced_request
from llmdeployment_operator.kube.resources import LEASE
from llmdeployment_operator.settings import SettingsError, runtime_settings

BODY = {"kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "a", "uid": "u"}}


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers everything with an empty object, and lists the methods it saw."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request.method)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield site._server.sockets[0].getsockname()[1], seen  # type: ignore[attr-defined]  # because asyncio's server has them
    await runner.cleanup()


async def test_the_api_servers_client_reads_always_and_writes_while_the_fence_is_open(
    server: tuple[int, list[str]],
) -> None:
    port, seen = server
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    fence = Fence()
    async with api_client(Access(configuration, inside=False), fence) as client:
        for write in (
            lambda: objects.apply(client, BODY),
            lambda: objects.apply_status(client, BODY),
            lambda: objects.create(client, BODY),
            lambda: objects.replace(client, BODY),
            lambda: objects.delete(client, "ConfigMap", "ns", "a", "u"),
            lambda: objects.create_event(client, BODY),
        ):
            with pytest.raises(NotLeader):
                await write()
        assert seen == []
        await objects.get(client, LEASE, "ns", "a")
        fence.open_until(fences.read_clock() + 60)
        await objects.apply(client, BODY)
        assert seen == ["GET", "PATCH"]


async def test_a_process_that_stood_still_before_it_wrote_the_body_sends_nothing(
    server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, seen = server
    fence, checks = Fence(), iter((60, -1))
    monkeypatch.setattr(fence, "seconds_left", lambda: next(checks))
    async with (
        api_client(
            Access(Configuration(host=f"http://127.0.0.1:{port}"), inside=False), fence
        ) as client,
        asyncio.timeout(10),
    ):
        with pytest.raises(NotLeader):
            await objects.apply(client, BODY)
    assert (seen, list(checks)) == ([], [])


async def test_ray_serve_is_declared_to_only_while_the_fence_is_open(
    server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, seen = server
    monkeypatch.setattr(serve, "DASHBOARD_PORT", port)
    fence = Fence()
    fence.open_until(fences.read_clock() + 60)
    async with aiohttp.ClientSession(request_class=make_fenced_request(fence)) as session:
        await serve.put_applications(session, "127.0.0.1", "token", {})
        fence.close()
        with pytest.raises(NotLeader):
            await serve.put_applications(session, "127.0.0.1", "token", {})
        await serve.get_applications(session, "127.0.0.1", "token")
    assert seen == ["PUT", "GET"]


async def test_a_write_that_waited_too_long_for_a_connection_is_not_sent(
    server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, seen = server
    fence = Fence()
    fence.open_until(fences.read_clock() + 60)

    class SlowConnector(aiohttp.TCPConnector):
        async def connect(self, *args: Any, **kwargs: Any) -> Connection:
            found = await super().connect(*args, **kwargs)
            later = fences.read_clock() + 61
            monkeypatch.setattr(fences, "read_clock", lambda: later)
            return found

    async with aiohttp.ClientSession(
        connector=SlowConnector(), request_class=make_fenced_request(fence)
    ) as session:
        with pytest.raises(NotLeader):
            await session.put(f"http://127.0.0.1:{port}/", data=b"x")
    assert seen == []


def test_a_fence_knows_whether_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = Fence()
    assert not fence.has_expired()
    monkeypatch.setattr(fences, "read_clock", lambda: 100.0)
    fence.open_until(110.0)
    assert (fence.seconds_left(), fence.has_expired()) == (10.0, False)
    monkeypatch.setattr(fences, "read_clock", lambda: 110.0)
    assert (fence.seconds_left(), fence.has_expired()) == (0.0, True)
    fence.open_until(float("inf"))
    assert not fence.has_expired()
    fence.close()
    assert not fence.has_expired()


ON = {"LLMD_LEADER_ELECTION": "true", "LLMD_OPERATOR_NAMESPACE": "llm"}


def test_an_election_lets_a_standby_act_within_15_s_of_a_crash_unless_told_otherwise() -> None:
    election = runtime_settings(ON).election
    assert election is not None
    assert (election.namespace, election.name) == ("llm", "llmdeployment-operator")
    durations = (election.lease_seconds, election.renew_seconds, election.retry_seconds)
    assert durations == (10, 7, 2)
    # A standby sees a renewal, and that the Lease is free, a try later at most.
    assert election.lease_seconds + 2 * election.retry_seconds <= 15
    assert runtime_settings({}).election is None


@pytest.mark.parametrize(
    ("lease", "renew", "retry"),
    [("10", "10", "2"), ("15", "2", "2"), ("601", "10", "2"), ("x", "10", "2"), ("15", "0", "2")],
)
def test_durations_in_which_nobody_could_lead_safely_are_refused(
    lease: str, renew: str, retry: str
) -> None:
    durations = {
        "LLMD_LEASE_SECONDS": lease,
        "LLMD_LEASE_RENEW_SECONDS": renew,
        "LLMD_LEASE_RETRY_SECONDS": retry,
    }
    with pytest.raises(SettingsError, match="LLMD_LEASE_"):
        runtime_settings({**ON, **durations})
