"""The model's name on the way in and out: clients know their own names for adapters, the engine knows its own."""

import json
from collections.abc import Mapping
from typing import Any

from llmdeployment_serving.engine import Message, Send

CONTENT_LENGTH = b"content-length"


def make_renaming_send(send: Send, engine_name: str, client_name: str) -> Send:
    """Return a `send` that puts the client's name where an answer has the engine's: `"model": "legal"`.

    Bytes are replaced and nothing is parsed, since this is done for every token. A model's own text cannot be meant: in it a quotation
    mark has a backslash before it. An engine sends each event in one piece, so a name is never cut.
    """
    old, new = json.dumps(engine_name).encode(), json.dumps(client_name).encode()
    start: Message | None = None

    async def renamed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message  # why: its content-length is known with the first piece
            return
        if message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").replace(old, new)}
            if start is not None:
                await send(_resize(start, message))
                start = None
        await send(message)

    return renamed


def make_listing_send(send: Send, served_name: str, client_names: Mapping[str, str]) -> Send:
    """Return a `send` that leaves in the engine's `/v1/models` what one revision has.

    Args:
        send: takes the answer.
        served_name: of the base model.
        client_names: of the revision's adapters, by the engine's names.
    """
    names = {served_name: served_name, **client_names}
    start: Message = {}
    pieces: list[bytes] = []

    async def listed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        pieces.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = b"".join(pieces)
        if start["status"] == 200:  # noqa: PLR2004  # because an HTTP status is its own name
            body = _rename_cards(body, names)
        whole = {"type": "http.response.body", "body": body}
        await send(_resize(start, whole))
        await send(whole)

    return listed


def _rename_cards(body: bytes, names: Mapping[str, str]) -> bytes:
    document: dict[str, Any] = json.loads(body)
    cards = [{**c, "id": names[c["id"]]} for c in document["data"] if c["id"] in names]
    return json.dumps({**document, "data": cards}).encode()


def _resize(start: Message, first: Message) -> Message:
    """Return the start of an answer with the length it now has, or none where more comes and nobody knows."""
    had = list(start.get("headers", ()))
    headers = [(name, value) for name, value in had if name.lower() != CONTENT_LENGTH]
    if len(headers) < len(had) and not first.get("more_body", False):
        headers.append((CONTENT_LENGTH, str(len(first["body"])).encode()))
    return {**start, "headers": headers}
