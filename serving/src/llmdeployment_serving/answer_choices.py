"""What a model said, in the form of OpenAI's chat choices, from documents of each API.

A document is a whole answer, or one event of a stream. A choice has `index`, and of `text`, `message` or `delta` and `finish_reason` what
the document says. Sources: OpenAI's API reference (chat, completions, responses), Anthropic's (messages).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

LENGTH = "length"

Choices = Iterable[dict[str, Any]]


def read_chat_choices(document: dict[str, Any]) -> Choices:
    """Return the choices of a chat's or a completion's document."""
    found: Choices = document["choices"]
    return found


def read_response_choices(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the choice of a document of `/v1/responses`.

    >>> list(read_response_choices({"type": "response.output_text.delta", "delta": "Hi"}))
    [{'index': 0, 'text': 'Hi'}]
    """
    kind = document.get("type", "")
    if not kind:
        yield from _read_response(document)
    elif kind == "response.output_text.delta":
        yield _build_choice(text=document["delta"])
    elif kind == "response.refusal.delta":
        yield _build_choice(delta={"refusal": document["delta"]})
    elif kind == "response.function_call_arguments.delta":
        yield _build_call(document["output_index"], arguments=document["delta"])
    elif kind == "response.output_item.added":
        item = document["item"]
        if item.get("type") == "function_call":
            yield _build_call(document["output_index"], name=item["name"])
    elif kind in ("response.completed", "response.incomplete"):
        yield _build_choice(finish_reason=_find_response_end(document["response"]))


def _read_response(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place, item in enumerate(document["output"]):
        if item.get("type") == "function_call":
            yield _build_call(place, name=item["name"], arguments=item["arguments"])
        for part in (item.get("content") or ()) if item.get("type") == "message" else ():
            if part.get("type") == "refusal":
                yield _build_choice(delta={"refusal": part["refusal"]})
            else:
                yield _build_choice(text=part["text"])
    yield _build_choice(finish_reason=_find_response_end(document))


def _find_response_end(response: dict[str, Any]) -> str:
    details = response.get("incomplete_details") or {}
    return LENGTH if details.get("reason") == "max_output_tokens" else "stop"


def read_message_choices(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the choice of a document of `/v1/messages`.

    >>> list(read_message_choices({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}))
    [{'index': 0, 'finish_reason': 'length'}]
    """
    kind = document["type"]
    if kind == "message":
        for place, block in enumerate(document["content"]):
            yield from _read_block(place, block)
        yield _build_choice(finish_reason=_find_message_end(document))
    elif kind == "content_block_start":
        yield from _read_block(document["index"], {**document["content_block"], "input": None})
    elif kind == "content_block_delta":
        delta = document["delta"]
        if delta["type"] == "text_delta":
            yield _build_choice(text=delta["text"])
        elif delta["type"] == "input_json_delta":
            yield _build_call(document["index"], arguments=delta["partial_json"])
    elif kind == "message_delta":
        yield _build_choice(finish_reason=_find_message_end(document["delta"]))


def _read_block(place: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        yield _build_choice(text=block.get("text") or "")
    elif block["type"] == "tool_use":
        given = block.get("input")
        arguments = None if given is None else json.dumps(given)
        yield _build_call(place, name=block["name"], arguments=arguments)


def _find_message_end(document: dict[str, Any]) -> str:
    return LENGTH if document.get("stop_reason") == "max_tokens" else "stop"


def _build_choice(**content: object) -> dict[str, Any]:
    return {"index": 0, **content}


def _build_call(place: int, **function: object) -> dict[str, Any]:
    call = {"index": place, "function": function}
    return _build_choice(delta={"tool_calls": [call]})
