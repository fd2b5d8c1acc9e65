from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.serving.test_asgi import CHAT, Idle, call, echo

from llmdeployment_serving import adapters
from llmdeployment_serving.adapters import make_internal_name
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import AdapterConfig, ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import AdapterError
from llmdeployment_serving.flags import build_vllm_flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llmdeployment_serving.engine import Message, Receive, Scope, Send

OLD = AdapterConfig(name="legal", path="/adapters/team/old")
NEW = AdapterConfig(name="legal", path="/adapters/team/new")
BAD = AdapterConfig(name="bad", path="/nowhere")


class Shelf(Idle):
    """An engine that takes every adapter but those in /nowhere."""

    def __init__(self) -> None:
        super().__init__(echo)
        self.loads: list[str] = []
        self.there: set[str] = set()
        self.missing = {"/nowhere"}
        self.free = asyncio.Event()
        self.free.set()
        self.loaded = asyncio.Event()

    async def load_adapter(self, name: str, path: str) -> None:
        await self.free.wait()
        if path in self.missing:
            raise AdapterError(f"there is no folder {path} in this pod")
        self.loads.append(name)
        self.there.add(name)
        self.loaded.set()

    async def unload_adapter(self, name: str) -> None:
        self.there.remove(name)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Says the model it was asked for, in one piece or as two events; or which models there are."""
        if scope["path"] == "/v1/models":
            cards = [{"id": name, "parent": None} for name in ("chat", *sorted(self.there))]
            text = json.dumps({"object": "list", "data": cards}).encode()
            pieces = [text[:20], text[20:]]
        else:
            body = json.loads((await receive())["body"])
            quoted = json.dumps({"model": body["model"], "said": f'"{body["model"]}"'})
            pieces = (
                [f"data: {quoted}\n\n".encode()] * 2 if body.get("stream") else [quoted.encode()]
            )
        length = [(b"content-length", str(sum(map(len, pieces))).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for left, piece in enumerate(pieces, 1 - len(pieces)):
            await send({"type": "http.response.body", "body": piece, "more_body": left < 0})


@asynccontextmanager
async def running(
    shelf: Shelf, **revisions: tuple[AdapterConfig, ...]
) -> AsyncIterator[ReplicaApp]:
    settings = {"servedName": "chat", "engine": {"name": "simulated"}, "adapters": True}
    front = ReplicaApp(parse(ServingConfig, settings), shelf, shelf.answer)
    task = asyncio.create_task(front.adapters.run())
    take(front, **revisions)
    try:
        yield front
    finally:
        task.cancel()


def take(front: ReplicaApp, **revisions: tuple[AdapterConfig, ...]) -> None:
    document = {n[1:]: {"adapters": [dict(a) for a in found]} for n, found in revisions.items()}
    front.take(parse(UserConfig, {"revisions": document}))


def asked(model: str | None, **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": [], **fields}).encode()


async def test_one_name_is_another_adapter_in_each_revision_and_the_answer_has_the_clients_name() -> (
    None
):
    shelf = Shelf()
    async with running(shelf, r1=(OLD,), r2=(NEW,)) as front:
        await front.adapters.wait_until_settled()
        answers = {n: await call(front, CHAT, asked("legal"), x_llm_revision=n) for n in "12"}

    for number, adapter in (("1", OLD), ("2", NEW)):
        status, headers, body = answers[number]
        assert (status, body["model"]) == (200, "legal")
        assert body["said"] == f'"{make_internal_name(adapter)}"'
        assert int(headers["content-length"]) == len(json.dumps(body))


async def test_the_base_model_keeps_its_name() -> None:
    async with running(Shelf(), r1=(OLD,)) as front:
        answers = [(await call(front, CHAT, asked(model)))[2] for model in ("chat", None)]

    assert [answer["model"] for answer in answers] == ["chat", None]


async def test_every_event_of_a_stream_has_the_clients_name() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": asked("legal", stream=True), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async with running(Shelf(), r1=(OLD,)) as front:
        await front.adapters.wait_until_settled()
        scope = {"type": "http", "path": CHAT, "method": "POST", "headers": []}
        await front(scope, receive, send)

    assert b"content-length" not in dict(sent[0]["headers"])
    events = [json.loads(message["body"].removeprefix(b"data: ")) for message in sent[1:]]
    assert [event["model"] for event in events] == ["legal", "legal"]


async def test_models_are_those_of_the_requests_revision() -> None:
    async with running(Shelf(), r1=(OLD,), r2=(NEW, BAD), r3=()) as front:
        await front.adapters.wait_until_settled()
        listed = {}
        for number in "123":
            _, headers, body = await call(front, "/v1/models", b"", "GET", x_llm_revision=number)
            assert int(headers["content-length"]) == len(json.dumps(body))
            listed[number] = [card["id"] for card in body["data"]]

    assert listed == {"1": ["chat", "legal"], "2": ["chat", "legal"], "3": ["chat"]}


@pytest.mark.parametrize(
    ("path", "status", "found"),
    [
        ("/v1/models/legal", 200, "legal"),
        ("/v1/models/chat", 200, "chat"),
        (f"/v1/models/{make_internal_name(OLD)}", 404, None),
        ("/v1/models/", 200, None),
        ("/v1/models/a/b", 404, None),
    ],
)
async def test_one_model_can_be_asked_for(path: str, status: int, found: str | None) -> None:
    async with running(Shelf(), r1=(OLD,)) as front:
        await front.adapters.wait_until_settled()
        answer, headers, body = await call(front, path, b"", "GET", x_llm_revision="1")
    assert (answer, body.get("id")) == (status, found)
    assert int(headers["content-length"]) == len(json.dumps(body))
    if status == 404:
        assert body["error"]["message"].endswith("Use one of: chat, legal.")


@pytest.mark.parametrize("model", ["other", make_internal_name(OLD), "bad"])
async def test_a_model_that_the_revision_does_not_have_is_not_there(model: str) -> None:
    async with running(Shelf(), r1=(OLD,), r2=(BAD,)) as front:
        await front.adapters.wait_until_settled()
        status, _, body = await call(front, CHAT, asked(model), x_llm_revision="1")

    assert status == 404
    assert (
        body["error"]["message"] == f"the model {model!r} does not exist. Use one of: chat, legal."
    )


async def test_a_failure_stays_with_its_adapter_and_is_told() -> None:
    async with running(Shelf(), r1=(OLD,), r2=(OLD, BAD)) as front:
        await front.adapters.wait_until_settled()
        failed = await call(front, CHAT, asked("bad"), x_llm_revision="2")
        fine = await call(front, CHAT, asked("legal"), x_llm_revision="2")
        rows = front.stats()["revisions"]

    why = "failed: there is no folder /nowhere in this pod"
    assert (failed[0], fine[0]) == (503, 200)
    assert failed[2]["error"]["message"] == f"the adapter bad of revision 2 is {why}"
    assert rows["1"]["adapters"] == {"legal": "loaded"}
    assert rows["2"]["adapters"] == {"legal": "loaded", "bad": why}


async def test_what_is_being_loaded_is_asked_for_again_soon() -> None:
    shelf = Shelf()
    shelf.free.clear()
    async with running(shelf, r1=(OLD,)) as front:
        status, headers, body = await call(front, CHAT, asked("legal"))
        told = front.stats()["revisions"]["1"]["adapters"]
        shelf.free.set()
        await front.adapters.wait_until_settled()
        later = await call(front, CHAT, asked("legal"))

    assert (status, headers["retry-after"], told) == (503, "1", {"legal": "loading"})
    assert body["error"]["message"] == "the adapter legal of revision 1 is loading"
    assert later[0] == 200


async def test_the_same_files_are_loaded_once_and_unloaded_with_their_last_revision() -> None:
    shelf = Shelf()
    async with running(shelf, r1=(OLD,), r2=(OLD, NEW)) as front:
        await front.adapters.wait_until_settled()
        assert shelf.there == {make_internal_name(OLD), make_internal_name(NEW)}
        take(front, r1=(OLD,), r3=())
        await front.adapters.wait_until_settled()
        assert shelf.there == {make_internal_name(OLD)}
        take(front, r3=())
        await front.adapters.wait_until_settled()

    assert shelf.loads == [make_internal_name(OLD), make_internal_name(NEW)]
    assert shelf.there == set()


async def test_a_failed_load_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "RETRY_SECONDS", 0.01)
    shelf = Shelf()
    async with running(shelf, r1=(BAD,)) as front:
        await front.adapters.wait_until_settled()
        assert front.adapters.get_state(BAD).startswith("failed: ")
        shelf.missing.clear()
        async with asyncio.timeout(5):
            await shelf.loaded.wait()

    assert front.adapters.get_state(BAD) == "loaded"


async def test_revisions_that_change_while_an_adapter_loads_are_not_lost() -> None:
    shelf = Shelf()
    shelf.free.clear()
    async with running(shelf, r1=(OLD,)) as front:
        await asyncio.sleep(0)  # why: a turn of the loop, not a time
        take(front, r2=(NEW,))
        shelf.free.set()
        await front.adapters.wait_until_settled()

    assert shelf.there == {make_internal_name(NEW)}


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, ["--enable-lora", "--max-loras=4", "--max-cpu-loras=16", "--max-lora-rank=64"]),
        (
            {"max-loras": 2, "max-cpu-loras": 8, "max-lora-rank": 256},
            ["--enable-lora", "--max-loras=2", "--max-cpu-loras=8", "--max-lora-rank=256"],
        ),
    ],
)
def test_vllm_gets_room_for_adapters_where_there_are_any(
    given: dict[str, int], flags: list[str]
) -> None:
    document = {"servedName": "chat", "modelPath": "/m", "engine": {"args": given}}
    without = build_vllm_flags(parse(ServingConfig, document))
    with_adapters = build_vllm_flags(parse(ServingConfig, {**document, "adapters": True}))

    assert "--enable-lora" not in without
    assert [flag for flag in with_adapters if "lora" in flag] == flags
