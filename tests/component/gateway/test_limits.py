"""Overload, and clients that take too much: who waits, who is refused, and that nobody else notices."""

import asyncio
import contextlib
import time

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import Pod, until, until_held

pytestmark = pytest.mark.component


async def test_more_requests_than_a_replica_takes_wait_their_turn(
    pod: Pod, replicas: NewReplica
) -> None:
    pod.env["LLMD_REPLICA_REQUESTS"] = "4"
    pod.write_routes(maxRequests=50, seconds=30)
    pod.write_endpoints()
    await pod.up()
    asked = [asyncio.create_task(pod.ask()) for _ in range(30)]
    await until_held(pod, 30)
    replica = await replicas()
    replica.delay = 0.1
    pod.write_endpoints(replica.host)

    answers = await asyncio.gather(*asked)

    assert [status for status, _, _ in answers] == [200] * 30
    assert replica.most == 4


async def test_under_three_times_the_load_the_answered_are_answered_in_time(
    pod: Pod, replicas: NewReplica
) -> None:
    """4 places of 0.2 s answer 20 requests a second; 60 a second come for 5 s, and none may wait longer than 1 s."""
    pod.env |= {"LLMD_REPLICA_REQUESTS": "4", "LLMD_QUEUE_SECONDS": "1"}
    replica = await replicas()
    replica.delay = 0.2
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)

    async def ask() -> tuple[int, str, float]:
        began = time.monotonic()
        status, body, headers = await pod.ask()
        assert status == 200 or int(headers["retry-after"]) > 0
        return status, body.get("error", {}).get("code", ""), time.monotonic() - began

    asked = []
    for _ in range(300):
        asked.append(asyncio.create_task(ask()))
        await asyncio.sleep(1 / 60)  # why: an open loop, whatever is answered
    found = await asyncio.gather(*asked)

    assert {(status, code) for status, code, _ in found} == {(200, ""), (503, "no_replica")}
    answered = [seconds for status, _, seconds in found if status == 200]
    # Of what the replica could answer in these 5 s, and the second after them.
    assert len(answered) > 0.7 * 5 * 20
    # The bound, the answer itself, and a machine with other work.
    assert max(seconds for _, _, seconds in found) < 1 + 0.2 + 1


async def test_one_too_many_in_the_queue_is_refused_at_once(pod: Pod, replicas: NewReplica) -> None:
    pod.env |= {"LLMD_REPLICA_REQUESTS": "1", "LLMD_QUEUE_REQUESTS": "3"}
    replica = await replicas()
    replica.delay = 2
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    asked = [asyncio.create_task(pod.ask()) for _ in range(8)]
    done, _ = await asyncio.wait(asked, timeout=1)

    refused = [task.result() for task in done]
    assert len(refused) == 4
    for status, body, headers in refused:
        assert (status, body["error"]["code"], headers["retry-after"]) == (429, "queue_full", "1")
    assert sorted(status for status, _, _ in await asyncio.gather(*asked)) == [200] * 4 + [429] * 4


async def test_bodies_that_never_end_take_no_place_at_a_replica(
    pod: Pod, replicas: NewReplica
) -> None:
    pod.env["LLMD_REPLICA_REQUESTS"] = "4"
    replica = await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000\r\n\r\n{"
    stalled = [await asyncio.open_connection("127.0.0.1", pod.port) for _ in range(256)]
    for _, writer in stalled:
        writer.write(head)
        await writer.drain()

    began = time.monotonic()
    answers = await asyncio.gather(*(pod.ask() for _ in range(4)))

    assert [status for status, _, _ in answers] == [200] * 4
    assert time.monotonic() - began < 20
    assert replica.answered == 4
    for _, writer in stalled:
        writer.close()


async def test_one_address_has_a_bound_of_connections(pod: Pod, replicas: NewReplica) -> None:
    pod.env["LLMD_SOURCE_CONNECTIONS"] = "20"
    replica = await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    idle = [await asyncio.open_connection("127.0.0.1", pod.port) for _ in range(20)]

    with pytest.raises(aiohttp.ClientConnectionError):
        await pod.ask()
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()

    async def answers() -> bool:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            return (await pod.ask())[0] == 200
        return False

    await until(answers, 5, "an answer, once there is room")


async def test_one_api_key_has_a_bound_of_requests(pod: Pod, replicas: NewReplica) -> None:
    pod.env |= {"LLMD_AUTH": "apikey", "LLMD_KEY_REQUESTS": "2"}
    pod.write_key("first", "secret-1")
    pod.write_key("second", "secret-2")
    replica = await replicas()
    replica.delay = 3.0
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)
    first, second = ({"authorization": f"Bearer secret-{number}"} for number in (1, 2))

    answers = await asyncio.gather(*(pod.ask(**first) for _ in range(5)), pod.ask(**second))

    assert sorted(status for status, _, _ in answers[:5]) == [200, 200, 429, 429, 429]
    assert answers[5][0] == 200
    refused = next(answer for answer in answers if answer[0] == 429)
    assert refused[1]["error"]["code"] == "rate_limit_exceeded"
    assert refused[2]["retry-after"] == "1"
    assert (await pod.ask(**first))[0] == 200
