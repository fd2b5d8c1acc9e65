"""Receivers that hang, fail, move away and come back. They are a real server on this machine; only the pauses between tries are not."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from llmdeployment_operator.kube import outbox as outbox_module
from llmdeployment_operator.kube.fence import Fence, make_fenced_request
from llmdeployment_operator.kube.outbox import Outbox
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.notify.notices import Notice, NoticeKind, Subject
from llmdeployment_operator.plan.notify.receivers import Receiver

SECONDS = 20
SECRET = "T0SECRET"  # noqa: S105  # because it is looked for in what must not have it
KEY = b"k" * 32
NOTICE = Notice(
    "id-1",
    NoticeKind.PROMOTED,
    Subject("shop", "chat", "1a2b"),
    "2026-01-02T03:04:05Z",
    "Revision 2 serves all requests.",
    "Promoted",
)


@dataclass
class Request:
    """What a receiver was sent."""

    receiver: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers each receiver with its statuses in a row, the last one for ever; 0 hangs."""

    port: int
    statuses: dict[str, list[int]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    hang: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, receiver: str) -> list[Request]:
        return [request for request in self.requests if request.receiver == receiver]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async def take(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        found.requests.append(Request(name, dict(request.headers), await request.read()))
        left = found.statuses.get(name, [200])
        status = left.pop(0) if len(left) > 1 else left[0]
        if status == 0:
            await found.hang.wait()
        if status == -1:
            # An answer without an end.
            stream = web.StreamResponse()
            await stream.prepare(request)
            while not found.hang.is_set():
                await stream.write(b"x" * 65536)
            return stream
        return web.Response(status=status or 200, headers=found.headers, body=b"x" * 100_000)

    app = web.Application()
    app.add_routes([web.post("/{name}/" + SECRET, take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = Server(runner.addresses[0][1])
    yield found
    found.hang.set()
    await runner.cleanup()


@dataclass
class Sender:
    """An outbox at work, what it counts, and the pauses that it would have made."""

    outbox: Outbox
    metrics: Metrics
    pauses: list[float]

    def count(self, receiver: str, result: str) -> float:
        name = "llmdeployment_operator_notifications_total"
        value = self.metrics.registry.get_sample_value(
            name, {"receiver": receiver, "result": result}
        )
        assert value is not None
        return value

    def count_waiting(self, receiver: str) -> float:
        name = "llmdeployment_operator_notifications_waiting"
        value = self.metrics.registry.get_sample_value(name, {"receiver": receiver})
        assert value is not None
        return value

    async def send(self, *notices: Notice) -> None:
        """Send, and wait until nothing waits any more."""
        self.outbox.post(notices or [NOTICE])
        await self.outbox.drain(SECONDS)


class Senders:
    """Makes senders, and ends them with the test."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.fence = Fence()
        self.fence.open_until(float("inf"))
        self.session = aiohttp.ClientSession(request_class=make_fenced_request(self.fence))
        self.tasks: list[asyncio.Task[None]] = []

    def write(self, name: str, file: str, text: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / file).write_text(f"{text}\n", encoding="utf-8")

    def start(self, *receivers: Receiver, **options: Any) -> Sender:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)

        metrics = Metrics()
        outbox = Outbox(
            self.session,
            receivers,
            self.folder,
            metrics,
            **{"sleep": pause, "try_seconds": SECONDS, **options},
        )
        for receiver in receivers:
            self.write(
                receiver.name,
                "url",
                f"http://127.0.0.1:{self.server.port}/{receiver.name}/{SECRET}",
            )
        self.tasks.append(asyncio.create_task(outbox.run()))
        return Sender(outbox, metrics, pauses)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.session.close()


@pytest.fixture
async def senders(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Senders]:
    caplog.set_level(logging.DEBUG)
    made = Senders(tmp_path, server)
    yield made
    await made.close()
    assert SECRET not in caplog.text
    assert base64.b64encode(KEY).decode() not in caplog.text


def receive(name: str, **options: Any) -> Receiver:
    return Receiver(name=name, allow_http=True, **options)


async def test_a_message_is_sent_once(senders: Senders, server: Server) -> None:
    sender = senders.start(receive("chat"))
    assert [sender.count("chat", result) for result in ("sent", "failed", "dropped")] == [0, 0, 0]
    await sender.send()
    (request,) = server.requests
    assert json.loads(request.body)["id"] == request.headers["webhook-id"] == "id-1"
    assert sender.count("chat", "sent") == 1
    assert sender.count_waiting("chat") == 0


async def test_the_receiver_can_check_who_sent_it(senders: Senders, server: Server) -> None:
    sender = senders.start(receive("chat", signed=True))
    senders.write("chat", "key", f"whsec_{base64.b64encode(KEY).decode()}")
    await sender.send()
    (request,) = server.requests
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    mac = hmac.new(KEY, signed + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


async def test_nothing_goes_unsigned_where_a_key_is_asked_for(
    senders: Senders, server: Server
) -> None:
    sender = senders.start(receive("chat", signed=True))
    await sender.send()
    assert server.requests == []
    assert sender.count("chat", "failed") == 1


async def test_a_receiver_that_fails_is_tried_again_with_the_same_id(
    senders: Senders, server: Server
) -> None:
    server.statuses["chat"] = [500, 503, 200]
    sender = senders.start(receive("chat"))
    await sender.send()
    assert [request.headers["webhook-id"] for request in server.requests] == ["id-1"] * 3
    assert (sender.count("chat", "sent"), sender.count("chat", "failed")) == (1, 0)
    first, second = sender.pauses
    assert 2.5 <= first <= 5 <= second <= 10


async def test_a_receiver_that_always_fails_is_given_up(senders: Senders, server: Server) -> None:
    server.statuses["chat"] = [500]
    sender = senders.start(receive("chat"))
    await sender.send()
    assert len(server.requests) == 10
    assert sender.count("chat", "failed") == 1


@pytest.mark.parametrize("status", [400, 404, 410, 301, 307])
async def test_what_another_try_cannot_mend_is_not_tried_again(
    status: int, senders: Senders, server: Server
) -> None:
    server.statuses["chat"] = [status]
    server.headers["Location"] = f"http://127.0.0.1:{server.port}/stolen/{SECRET}"
    sender = senders.start(receive("chat"))
    await sender.send()
    assert [request.receiver for request in server.requests] == ["chat"]
    assert sender.count("chat", "failed") == 1


@pytest.mark.parametrize(("asked", "pause"), [("30", 30), ("86400", 900)])
async def test_a_receiver_may_ask_for_a_pause_that_is_not_too_long(
    asked: str, pause: float, senders: Senders, server: Server
) -> None:
    server.statuses["chat"] = [429, 200]
    server.headers["Retry-After"] = asked
    sender = senders.start(receive("chat"))
    await sender.send()
    assert sender.pauses == [pause]
    assert sender.count("chat", "sent") == 1


async def test_a_receiver_that_hangs_is_cut_off_and_tried_again(
    senders: Senders, server: Server
) -> None:
    server.statuses["chat"] = [0, 200]
    sender = senders.start(receive("chat"), try_seconds=0.2)
    await sender.send()
    assert len(server.requests) == 2
    assert sender.count("chat", "sent") == 1


async def test_an_answer_without_an_end_is_not_read(senders: Senders, server: Server) -> None:
    server.statuses["chat"] = [-1]
    sender = senders.start(receive("chat"))
    await sender.send()
    assert sender.count("chat", "sent") == 1


async def test_one_that_hangs_delays_nobody_else(senders: Senders, server: Server) -> None:
    server.statuses["stuck"] = [0]
    sender = senders.start(receive("stuck"), receive("chat"))
    notices = [replace(NOTICE, id=f"id-{n}") for n in range(5)]
    sender.outbox.post(notices)
    async with asyncio.timeout(SECONDS):
        await sender.outbox._boxes[1].idle.wait()
    assert sender.count("chat", "sent") == 5
    assert [request.headers["webhook-id"] for request in server.of("chat")] == [
        notice.id for notice in notices
    ]
    assert sender.count_waiting("stuck") == 5


async def test_of_too_many_the_oldest_are_dropped(
    senders: Senders, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "WAITING", 3)
    sender = senders.start(receive("chat"))
    await sender.send(*(replace(NOTICE, id=f"id-{n}") for n in range(5)))
    assert [request.headers["webhook-id"] for request in server.requests] == [
        "id-2",
        "id-3",
        "id-4",
    ]
    assert (sender.count("chat", "dropped"), sender.count("chat", "sent")) == (2, 3)


async def test_a_receiver_gets_what_it_asks_for(senders: Senders, server: Server) -> None:
    sender = senders.start(receive("chat", events=(NoticeKind.DRIFTING,)), receive("all"))
    await sender.send()
    assert [request.receiver for request in server.requests] == ["all"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "its Secret has no URL"),
        (f"ftp://127.0.0.1/{SECRET}", "its URL is not https://HOST/PATH"),
        (f"http://127.0.0.1:1/{SECRET}", "ClientConnectorError"),
        (f"http://127.0.0.1:1\\@{SECRET}/", "not taken"),
    ],
)
async def test_a_url_that_cannot_be_called_is_given_up_and_never_told(
    url: str, why: str, senders: Senders, caplog: pytest.LogCaptureFixture
) -> None:
    sender = senders.start(receive("chat"))
    senders.write("chat", "url", url)
    await sender.send()
    assert sender.count("chat", "failed") == 1
    assert why in caplog.text


async def test_http_needs_the_admins_word(senders: Senders, server: Server) -> None:
    sender = senders.start(Receiver(name="chat"))
    await sender.send()
    assert server.requests == []


async def test_a_new_url_takes_effect_at_once(senders: Senders, server: Server) -> None:
    server.statuses["chat"] = [410]
    sender = senders.start(receive("chat"))
    await sender.send()
    senders.write("chat", "url", f"http://127.0.0.1:{server.port}/moved/{SECRET}")
    await sender.send(replace(NOTICE, id="id-2"))
    assert [request.receiver for request in server.requests] == ["chat", "moved"]


async def test_one_that_does_not_lead_sends_nothing(senders: Senders, server: Server) -> None:
    senders.fence.close()
    sender = senders.start(receive("chat"))
    await sender.send()
    assert server.requests == []
    assert sender.pauses == []


async def test_an_error_that_nobody_foresaw_ends_one_message_only(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = outbox_module.write_message

    def fail_once(*_: Any) -> Any:
        monkeypatch.setattr(outbox_module, "write_message", write)
        raise RuntimeError(SECRET)

    monkeypatch.setattr(outbox_module, "write_message", fail_once)
    sender = senders.start(receive("chat"))
    await sender.send(NOTICE, replace(NOTICE, id="id-2"))
    assert (sender.count("chat", "failed"), sender.count("chat", "sent")) == (1, 1)


async def test_an_operator_that_ends_does_not_wait_for_long(
    senders: Senders, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.statuses["chat"] = [0]
    sender = senders.start(receive("chat"))
    sender.outbox.post([NOTICE])
    async with asyncio.timeout(SECONDS):
        await sender.outbox.drain(0.05)
    assert "not sent before the operator ended: 1" in caplog.text


async def test_without_receivers_nothing_is_waited_for(senders: Senders) -> None:
    sender = senders.start()
    await sender.send()
