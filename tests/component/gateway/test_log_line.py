"""What HAProxy's log line says of a request's bucket: it is the one that the replica got, also of a request that was held.

HAProxy runs from the files that the agent writes, without an agent: the test reads its log itself.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import bucket, until
from tests.component.gateway.proxy import SECONDS, Proxy


@pytest.fixture
async def proxy(replicas: NewReplica) -> AsyncIterator[tuple[Proxy, Any]]:
    replica = await replicas()
    found = Proxy(replica.host)
    yield found, replica
    found.close()


async def test_the_log_says_the_bucket_and_whether_it_is_a_users(
    proxy: tuple[Proxy, Any],
) -> None:
    haproxy, _ = proxy
    told = await haproxy.ask(**{"x-user": "alice", "x-llm-bucket": "1", "x-request-id": "my id"})
    ended = await haproxy.read_line()
    assert told["x-llm-bucket"] == str(bucket("alice"))
    assert (ended.bucket, ended.recent) == (bucket("alice"), 1)
    assert (ended.status, ended.revision, ended.request_id) == (200, "1", "my id")

    told = await haproxy.ask()
    ended = await haproxy.read_line()
    assert (str(ended.bucket), ended.recent) == (told["x-llm-bucket"], None)


async def test_header_and_log_line_have_the_users_request_count(
    proxy: tuple[Proxy, Any],
) -> None:
    haproxy, _ = proxy
    told = []
    for user in ("alice", "bob", "alice", "alice"):
        answer = await haproxy.ask(**{"x-user": user, "x-llm-user-requests": "9"})
        told.append((answer["x-llm-user-requests"], (await haproxy.read_line()).recent))
    assert told == [("1", 1), ("1", 1), ("2", 2), ("3", 3)]

    without_key = await haproxy.ask(**{"x-llm-user-requests": "9"})
    assert "x-llm-user-requests" not in without_key
    assert (await haproxy.read_line()).recent is None


async def test_a_request_that_was_held_keeps_its_users_bucket(proxy: tuple[Proxy, Any]) -> None:
    haproxy, replica = proxy
    await haproxy.ask()
    await haproxy.read_line()
    await replica.stop()
    asked = asyncio.create_task(haproxy.ask(**{"x-user": "alice"}))
    await until(haproxy.count_held, SECONDS, "a request is held")
    await replica.start()

    told = await asked
    assert told["x-llm-deadline"]
    assert told["x-llm-bucket"] == str(bucket("alice"))
    ended = await haproxy.read_line()
    assert (ended.status, ended.bucket, ended.recent) == (200, bucket("alice"), 1)


async def test_a_request_that_is_refused_before_it_is_assigned_has_no_bucket(
    proxy: tuple[Proxy, Any],
) -> None:
    haproxy, _ = proxy
    await haproxy.ask()
    await haproxy.read_line()
    async with aiohttp.ClientSession() as session:
        await session.get(f"http://127.0.0.1:{haproxy.port}/nothing", headers={"x-user": "alice"})
    ended = await haproxy.read_line()
    assert (ended.status, ended.bucket, ended.recent) == (404, None, None)
