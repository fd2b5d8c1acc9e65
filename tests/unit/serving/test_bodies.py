"""A client that does not send the rest of its body costs nobody else anything."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.virtual_time import VirtualLoop
from tests.unit.serving.test_asgi import CHAT, call, front

from llmdeployment_serving.bodies import (
    BODY_SECONDS,
    DRAINED_BYTES,
    FREE_BYTES,
    HELD_BYTES,
    LARGEST_LIMIT,
    LIMIT_HEADER,
    MAX_BODY_BYTES,
    SLOWEST,
    UPLOADS,
    Bodies,
)
from llmdeployment_serving.errors import Header, RefusedError

MIB = 2**20


class Client:
    """Sends a body in pieces; without an end the rest never comes."""

    def __init__(self, *pieces: bytes, every: float = 0.0, ends: bool = True) -> None:
        self.pieces = list(pieces)
        self._every = every
        self._ends = ends

    async def receive(self) -> Mapping[str, Any]:
        if not self.pieces:
            await asyncio.Event().wait()
        await asyncio.sleep(self._every)  # why: a loop with a clock of its own runs this
        piece = self.pieces.pop(0)
        more = bool(self.pieces) or not self._ends
        return {"type": "http.request", "body": piece, "more_body": more}


async def read_in(bodies: Bodies, client: Client, *headers: Header) -> bytes:
    async with bodies.read(headers, client.receive) as body:
        return body


def read(client: Client, *headers: Header) -> bytes:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(read_in(Bodies(), client, *headers))


def test_a_body_in_pieces_is_put_together() -> None:
    assert read(Client(b'{"a"', b": 1}")) == b'{"a": 1}'


@pytest.mark.parametrize(
    "client",
    [Client(b"{", ends=False), Client(*[b" "] * 100, every=BODY_SECONDS / 50)],
    ids=["nothing more comes", "it comes byte by byte"],
)
def test_a_body_has_a_deadline(client: Client) -> None:
    with pytest.raises(RefusedError, match=r"did not arrive within 30 s") as caught:
        read(client)
    assert caught.value.status == 408
    assert (b"connection", b"close") in caught.value.headers


def test_a_large_body_has_a_second_more_for_each_256_kib() -> None:
    """32 MiB at 256 KiB/s take 128 s, and 30 + 128 s are allowed; at a tenth of it, what came in 30 s allows 33 s."""
    piece, count = b" " * (256 * 1024), MAX_BODY_BYTES // SLOWEST
    assert len(read(Client(*[piece] * count, every=1.0))) == MAX_BODY_BYTES
    with pytest.raises(RefusedError, match=r"did not arrive within 33 s"):
        read(Client(*[piece] * count, every=10.0))


def test_a_body_of_the_limit_passes_and_one_byte_more_is_refused() -> None:
    assert len(read(Client(b" " * MAX_BODY_BYTES))) == MAX_BODY_BYTES
    with pytest.raises(RefusedError, match=r"larger than 32 MiB\. Send a smaller one") as caught:
        read(Client(b" " * MAX_BODY_BYTES, b" "))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "headers", [(), ((b"content-length", b"41943040"),)], ids=["chunked", "whole"]
)
def test_a_body_too_large_is_read_to_its_end_before_it_is_refused(
    headers: tuple[Header, ...],
) -> None:
    client = Client(*[b" " * MIB] * 40)
    with pytest.raises(RefusedError, match="larger than 32 MiB"):
        read(client, *headers)
    assert client.pieces == []


def test_a_body_far_too_large_is_not_read_to_its_end() -> None:
    """Of 100 pieces of 1 MiB, 32 are allowed and 64 more are dropped; the next one is the last that is read."""
    client = Client(*[b" " * MIB] * 100)
    with pytest.raises(RefusedError, match="larger than 32 MiB"):
        read(client)
    assert len(client.pieces) == 100 - (MAX_BODY_BYTES + DRAINED_BYTES) // MIB - 1
    unread = Client(b" ")
    with pytest.raises(RefusedError, match="larger than 32 MiB"):
        read(unread, (b"content-length", str(2**30).encode()))
    assert unread.pieces == [b" "]


def test_a_body_too_large_that_stalls_is_refused_for_its_size() -> None:
    with pytest.raises(RefusedError, match="larger than 32 MiB"):
        read(Client(b" " * MAX_BODY_BYTES, b" ", ends=False))


@pytest.mark.parametrize(
    ("says", "limit"),
    [
        (b"1048576", MIB),
        (b"67108864", 64 * MIB),
        (b"9" * 5000, LARGEST_LIMIT),
        (b"-1", MAX_BODY_BYTES),
        (b"0", MAX_BODY_BYTES),
        (b"", MAX_BODY_BYTES),
    ],
)
def test_the_front_door_says_how_large_a_body_may_be(says: bytes, limit: int) -> None:
    announced = (b"content-length", str(limit + 1).encode())
    with pytest.raises(RefusedError, match=f"larger than {limit // MIB} MiB"):
        read(Client(b" "), (LIMIT_HEADER, says), announced)
    fits = (b"content-length", str(limit).encode())
    assert read(Client(b" "), (LIMIT_HEADER, says), fits) == b" "


async def test_all_bodies_together_have_a_bound_of_bytes() -> None:
    """256 MiB, without the first 64 KiB of each: 8 bodies of 32 MiB fit; what is left has room for 8 x 64 KiB, and small ones always."""
    bodies = Bodies()
    large = b" " * MAX_BODY_BYTES
    async with contextlib.AsyncExitStack() as answered:
        for _ in range(HELD_BYTES // MAX_BODY_BYTES):
            await answered.enter_async_context(bodies.read((), Client(large).receive))
        rest = 8 * FREE_BYTES + FREE_BYTES
        assert len(await read_in(bodies, Client(b" " * rest))) == rest
        late = Client(b" " * rest, b" ", b" " * MIB)
        with pytest.raises(
            RefusedError, match=r"256 MiB of bodies already, which is the limit"
        ) as caught:
            await read_in(bodies, late)
        assert (caught.value.status, late.pieces) == (503, [])
        assert (b"retry-after", b"1") in caught.value.headers
        assert len(await read_in(bodies, Client(b" " * FREE_BYTES))) == FREE_BYTES
    assert len(await read_in(bodies, Client(large))) == MAX_BODY_BYTES


async def test_what_was_refused_counts_no_more() -> None:
    bodies = Bodies()
    for _ in range(HELD_BYTES // MAX_BODY_BYTES + 1):
        with pytest.raises(RefusedError, match="larger than 32 MiB"):
            await read_in(bodies, Client(b" " * MAX_BODY_BYTES, b" "))
    async with bodies.read((), Client(b" " * MAX_BODY_BYTES).receive) as body:
        assert len(body) == MAX_BODY_BYTES


async def test_bodies_that_never_end_keep_nobody_out() -> None:
    app = front(maxOngoingRequests=1)
    scope = {"type": "http", "path": CHAT, "method": "POST", "headers": []}

    async def ignore(_: Mapping[str, Any]) -> None:
        pass

    stalled = [
        asyncio.create_task(app(scope, Client(b"{", ends=False).receive, ignore))
        for _ in range(UPLOADS - 1)
    ]
    await asyncio.sleep(0)  # why: each begins to read its body
    assert app.stats()["inFlight"] == 0
    assert (await call(app, CHAT))[0] == 200

    last = asyncio.create_task(app(scope, Client(b"{", ends=False).receive, ignore))
    await asyncio.sleep(0)  # why: the last begins to read its body
    status, headers, body = await call(app, CHAT)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "which is the limit" in body["error"]["message"]
    for task in (*stalled, last):
        task.cancel()
    await asyncio.gather(*stalled, last, return_exceptions=True)
    assert (await call(app, CHAT))[0] == 200
