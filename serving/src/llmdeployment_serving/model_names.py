"""Translates model names in answers: clients and the engine have different names for an adapter."""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.engine import Message, Send
from llmdeployment_serving.errors import MODEL_NOT_FOUND, build_openai_error

CONTENT_LENGTH = b"content-length"


def make_renaming_send(send: Send, engine_name: str, client_name: str) -> Send:
    """Return a `send` that replaces one JSON string by another, such as the engine's name of a model by the client's: `"model": "legal"`.

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

    def list_cards(document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return HTTPStatus.OK, {**document, "data": _rename_cards(document, names)}

    return make_whole_send(send, list_cards)


def make_card_send(
    send: Send, served_name: str, client_names: Mapping[str, str], wanted: str
) -> Send:
    """Return a `send` that makes of the engine's `/v1/models` the answer about one model, or an error with status 404."""
    names = {served_name: served_name, **client_names}

    def find_card(document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for card in _rename_cards(document, names):
            if card["id"] == wanted:
                return HTTPStatus.OK, card
        message = describe_unknown_model(wanted, names.values())
        return HTTPStatus.NOT_FOUND, build_openai_error(
            HTTPStatus.NOT_FOUND, message, MODEL_NOT_FOUND
        )

    return make_whole_send(send, find_card)


def describe_unknown_model(wanted: str, known: Iterable[str]) -> str:
    """Return the message about a model that a revision does not have."""
    return f"the model {wanted!r} does not exist. Use one of: {', '.join(known)}."


def make_whole_send(
    send: Send, change: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
) -> Send:
    """Return a `send` that waits for a whole answer and, if it is a success, replaces its status and document."""
    start: Message = {}
    pieces: list[bytes] = []

    async def send_whole(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        pieces.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = b"".join(pieces)
        if start["status"] == HTTPStatus.OK:
            status, document = change(json.loads(body))
            start = {**start, "status": int(status)}
            body = json.dumps(document).encode()
        whole = {"type": "http.response.body", "body": body}
        await send(_resize(start, whole))
        await send(whole)

    return send_whole


def _rename_cards(document: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**c, "id": names[c["id"]]} for c in document["data"] if c["id"] in names]


def _resize(start: Message, first: Message) -> Message:
    """Return the start of an answer with its new length, or without a length if more pieces follow."""
    had = list(start.get("headers", ()))
    headers = [(name, value) for name, value in had if name.lower() != CONTENT_LENGTH]
    if len(headers) < len(had) and not first.get("more_body", False):
        headers.append((CONTENT_LENGTH, str(len(first["body"])).encode()))
    return {**start, "headers": headers}
