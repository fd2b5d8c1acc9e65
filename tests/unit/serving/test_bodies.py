"""A client that does not send the rest of its body costs nobody else anything."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.virtual_time import VirtualLoop
from tests.unit.serving.test_asgi import CHAT, call, front

from llmdeployment_serving.bodies import BODY_SECONDS, MAX_BODY_BYTES, UPLOADS, Bodies
from llmdeployment_serving.errors import RefusedError


class Client:
    """Sends a body in pieces; without an end the rest never comes."""

    def __init__(self, *pieces: bytes, every: float = 0.0, ends: bool = True) -> None:
        self._pieces = list(pieces)
        self._every = every
        self._ends = ends

    async def receive(self) -> Mapping[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        await asyncio.sleep(self._every)  # why: a loop with a clock of its own runs this
        piece = self._pieces.pop(0)
        more = bool(self._pieces) or not self._ends
        return {"type": "http.request", "body": piece, "more_body": more}


def read(client: Client) -> bytes:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(Bodies().read((), client.receive))


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


def test_a_body_that_grows_too_large_is_refused_before_its_end() -> None:
    with pytest.raises(RefusedError, match="larger than 4 MiB") as caught:
        read(Client(b" " * MAX_BODY_BYTES, b" ", ends=False))
    assert caught.value.status == 413


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
