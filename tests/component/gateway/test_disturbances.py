"""Replicas, agent, HAProxy and API server come and go; the requests do not notice, or are told what is the matter."""

import asyncio
import signal
import time

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import CHAT, Pod, row, until, until_held

from llmdeployment_gateway.runtime_api import RuntimeApi

pytestmark = pytest.mark.component


async def test_a_request_waits_for_the_first_replica(pod: Pod, replicas: NewReplica) -> None:
    replica = await replicas()
    pod.write_routes([])
    pod.write_endpoints()
    await pod.up()
    waiting = asyncio.create_task(pod.ask())
    await until_held(pod, 1)

    pod.write_routes()
    pod.write_endpoints(replica.host)
    written = time.monotonic()

    status, body, headers = await waiting
    assert time.monotonic() - written < 1
    assert (status, body["host"]) == (200, replica.host)
    assert (body["told"]["x-llm-revision"], headers["x-llm-revision"]) == ("1", "1")
    assert (await pod.stats())["held"] == 0


async def test_too_many_waiting_and_too_long_waiting_are_refused(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    await replica.stop()
    pod.write_routes(maxRequests=2, seconds=2)
    pod.write_endpoints(replica.host)
    await pod.up()
    first = [asyncio.create_task(pod.ask()) for _ in range(2)]
    await until_held(pod, 2)

    began = time.monotonic()
    status, body, headers = await pod.ask()
    assert time.monotonic() - began < 1
    assert (status, body["error"]["code"]) == (503, "no_replica")
    assert "wait already, which is the limit" in body["error"]["message"]
    assert headers["retry-after"] == "10"
    for status, body, headers in await asyncio.gather(*first):
        assert (status, body["error"]["code"]) == (503, "no_replica")
        assert "within 2 s" in body["error"]["message"]
        assert headers["x-llm-revision"] == "1"
    assert time.monotonic() - began < 4
    stats = await pod.stats()
    assert (stats["held"], stats["refused"]) == (0, 3)
    assert stats["routes"][0]["requests"]["5xx"] == 3


async def test_a_client_that_leaves_frees_its_place(pod: Pod) -> None:
    pod.write_routes(maxRequests=1, seconds=60)
    pod.write_endpoints()
    await pod.up()
    waiting = asyncio.create_task(pod.ask())
    await until_held(pod, 1)
    waiting.cancel()
    await until_held(pod, 0)


async def test_a_full_replica_sends_the_request_to_another(pod: Pod, replicas: NewReplica) -> None:
    full, free = await replicas(), await replicas()
    full.status = 503
    pod.write_routes()
    pod.write_endpoints(full.host, free.host)
    await pod.up()
    await pod.serving(2)
    for _ in range(20):
        assert (await pod.ask())[0] == 200

    free.status = 503
    began = time.monotonic()
    status, body, headers = await pod.ask()
    assert (status, body["error"]["message"], headers["retry-after"]) == (503, "full", "1")
    assert time.monotonic() - began < 2


async def test_a_replica_is_replaced_under_load_without_a_failure(
    pod: Pod, replicas: NewReplica
) -> None:
    old, new = await replicas(), await replicas()
    await new.stop()
    pod.write_routes()
    pod.write_endpoints(old.host)
    await pod.up()
    await pod.serving(1)
    statuses: list[int] = []
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            statuses.append((await pod.ask())[0])

    clients = [asyncio.create_task(client()) for _ in range(4)]
    await asyncio.sleep(0.5)  # why: some load before
    # It drains: answers on while it is taken out. The next one starts late.
    pod.write_endpoints(old.host, terminating=old.host)
    await until_held(pod, 4)
    await old.stop()
    await new.start()
    pod.write_endpoints(new.host)
    await pod.serving(1)
    await asyncio.sleep(0.5)  # why: some load after
    over.set()
    await asyncio.gather(*clients)

    assert set(statuses) == {200}
    assert new.answered > 10
    assert old.answered + new.answered == len(statuses)


async def test_a_replica_that_is_gone_unannounced_is_found_out_by_its_refusals(
    pod: Pod, replicas: NewReplica
) -> None:
    one, two = await replicas(), await replicas()
    pod.write_routes()
    pod.write_endpoints(one.host, two.host)
    await pod.up()
    await pod.serving(2)
    await one.stop()
    statuses = [(await pod.ask())[0] for _ in range(20)]
    assert set(statuses) == {200}

    await two.stop()
    waiting = [asyncio.create_task(pod.ask()) for _ in range(4)]
    await until_held(pod, 4)
    # It comes back where it was, as a restarted process does: nobody tells the gateway.
    await two.start()
    assert {answer[0] for answer in await asyncio.gather(*waiting)} == {200}


async def test_an_agent_that_restarts_cuts_nothing(pod: Pod, replicas: NewReplica) -> None:
    replica, next_replica = await replicas(), await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    async with pod.session.post("/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
        await stream.content.readline()
        pod.end("agent")
        assert (await pod.ask())[0] == 200
        pod.start("agent")
        await until(pod.ready, 10, "ready again")
        assert (await pod.ask())[0] == 200
        assert (await stream.text()).endswith("data: [DONE]\n\n")

    pod.write_endpoints(next_replica.host)
    await pod.serving(1)
    assert (await pod.ask())[1]["host"] == next_replica.host


async def test_an_agent_without_api_server_leaves_the_routing_as_it_is(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    pod.kube.fault = 500
    pod.kube.cut()
    pod.end("agent", signal.SIGTERM)
    pod.start("agent")

    async def alive() -> bool:
        return (await pod.agent("/healthz"))[0] == 200

    await until(alive, 10, "agent up")
    assert not await pod.ready()
    assert (await pod.ask())[0] == 200
    pod.kube.fault = None
    await until(pod.ready, 10, "ready")
    assert (await pod.ask())[0] == 200


async def test_haproxy_comes_back_with_the_same_routing(pod: Pod, replicas: NewReplica) -> None:
    one, two = await replicas(), await replicas()
    pod.write_endpoints(one.host)
    pod.write_endpoints(two.host, service="chat-2")
    pod.write_routes([row("chat-2", 2, below=3000), row()])
    await pod.up()
    await pod.serving(1)
    await pod.serving(1, "chat-2")

    async def split() -> list[str]:
        return [(await pod.ask(x_user=f"user-{each}"))[2]["x-llm-revision"] for each in range(30)]

    before = await split()
    assert set(before) == {"1", "2"}
    pod.end("haproxy")
    began = time.monotonic()
    pod.start("haproxy")

    async def again() -> bool:
        try:
            return await split() == before
        except aiohttp.ClientConnectionError:
            return False

    await until(again, 5, "same routing")
    assert time.monotonic() - began < 2
    await until(pod.ready, 2, "ready")
    pod.write_endpoints(two.host)
    pod.write_endpoints(one.host, service="chat-2")
    await pod.serving(1)

    async def swapped() -> bool:
        answers = [await pod.ask(x_user=f"user-{each}") for each in range(10)]
        return all(
            (body["host"] == one.host) == (h["x-llm-revision"] == "2") for _, body, h in answers
        )

    await until(swapped, 5, "a restarted HAProxy follows")

    async def forgotten() -> bool:
        found = await RuntimeApi(pod.run / "admin.sock").servers()
        return [len(found[slot]) for slot in ("slot0", "slot1")] == [1, 1]

    await until(forgotten, 5, "what it started with is deleted")


async def test_a_gateway_that_is_told_to_go_ends_its_streams(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    replica.tokens = 50
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    haproxy, agent = pod.processes["haproxy"], pod.processes["agent"]
    async with pod.session.post("/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
        await stream.content.readline()
        for process in (haproxy, agent):
            process.send_signal(signal.SIGUSR1)
        assert (await pod.ask())[0] == 200
        assert (await stream.text()).endswith("data: [DONE]\n\n")
    # An idle client would keep HAProxy for 75 s.
    await pod.session.close()
    assert await asyncio.to_thread(haproxy.wait, 10) == 0
    assert await asyncio.to_thread(agent.wait, 10) == 0


async def test_a_watch_that_breaks_expires_or_finds_a_new_token_goes_on(
    pod: Pod, replicas: NewReplica
) -> None:
    one, two = await replicas(), await replicas()
    pod.write_routes()
    pod.write_endpoints(one.host)
    await pod.up()
    await pod.serving(1)
    (pod.folder / "token").write_text("second")
    pod.kube.fault, pod.kube.fault_watches_only = 410, True
    pod.kube.cut()
    pod.write_endpoints(two.host)

    async def moved() -> bool:
        return bool((await pod.ask())[1]["host"] == two.host)

    await until(moved, 10, "the new list is followed")
    assert pod.kube.seen[-1][1] == "Bearer second"
    pod.kube.fault = None
    pod.write_endpoints(one.host, two.host)
    await pod.serving(2)
    assert "Traceback" not in pod.log("agent")
