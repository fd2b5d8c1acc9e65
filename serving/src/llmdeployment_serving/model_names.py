"""Translates model names in answers: clients and the engine have different names for an adapter."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.engine import Message, Send

CONTENT_LENGTH = b"content-length"


def make_renaming_send(send: Send, engine_name: str, client_name: str) -> Send:
    """Return a `send` that replaces the engine's name of a model by the client's: `"model": "legal"`.

    This replaces bytes and parses nothing, because it runs for every token. It never changes the model's text, in which quotation
    marks have a backslash. An engine sends each event in one piece, so a name is never split.
    """
    old, new = json.dumps(engine_name).encode(), json.dumps(client_name).encode()
    start: Message | None = None

    async def send_renamed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message  # why: its content-length is known only with the first piece
            return
        if message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").replace(old, new)}
            if start is not None:
                await send(_resize(start, message))
                start = None
        await send(message)

    return send_renamed


def make_listing_send(send: Send, served_name: str, client_names: Mapping[str, str]) -> Send:
    """Return a `send` that removes from the engine's `/v1/models` all models that a revision does not have.

    Args:
        send: sends the answer.
        served_name: name of the base model.
        client_names: the engine's names of the revision's adapters to the clients' names.
    """
    names = {served_name: served_name, **client_names}
    start: Message = {}
    pieces: list[bytes] = []

    async def send_listed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        pieces.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = b"".join(pieces)
        if start["status"] == HTTPStatus.OK:
            body = _rename_cards(body, names)
        whole = {"type": "http.response.body", "body": body}
        await send(_resize(start, whole))
        await send(whole)

    return send_listed


def _rename_cards(body: bytes, names: Mapping[str, str]) -> bytes:
    document: dict[str, Any] = json.loads(body)
    cards = [{**c, "id": names[c["id"]]} for c in document["data"] if c["id"] in names]
    return json.dumps({**document, "data": cards}).encode()


def _resize(start: Message, first: Message) -> Message:
    """Return the start of an answer with its new length, or without a length if more pieces follow."""
    had = list(start.get("headers", ()))
    headers = [(name, value) for name, value in had if name.lower() != CONTENT_LENGTH]
    if len(headers) < len(had) and not first.get("more_body", False):
        headers.append((CONTENT_LENGTH, str(len(first["body"])).encode()))
    return {**start, "headers": headers}
