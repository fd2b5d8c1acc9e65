"""What a model said, by answers as vLLM 0.32 writes them for each API, streamed and whole."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from llmdeployment_serving.answer_choices import read_message_choices, read_response_choices
from llmdeployment_serving.answer_text import AnswerReader, Choice, ToolCall

RESPONSE_EVENTS = [
    {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "It is "},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Paris."},
    {"type": "response.output_text.done", "text": "It is Paris."},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "function_call", "name": "add", "arguments": ""},
    },
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ": 1}"},
    {
        "type": "response.incomplete",
        "response": {"incomplete_details": {"reason": "max_output_tokens"}},
    },
]
RESPONSE = {
    "output": [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "content": [
                {"type": "output_text", "text": "It is "},
                {"type": "output_text", "text": "Paris."},
            ],
        },
        {"type": "function_call", "name": "add", "arguments": '{"a": 1}'},
    ],
    "incomplete_details": {"reason": "max_output_tokens"},
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 9}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Paris."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "1", "name": "add", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'},
    },
    {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
    {"type": "message_stop"},
]
MESSAGE = {
    "type": "message",
    "content": [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "It is Paris."},
        {"type": "tool_use", "name": "add", "input": {"a": 1}},
    ],
    "stop_reason": "max_tokens",
}
SAID = Choice(("It is Paris.",), "length", (ToolCall("add", '{"a": 1}'),))

Read = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]


def read_stream(read: Read, events: Iterable[dict[str, Any]]) -> tuple[Choice, ...]:
    reader = AnswerReader(streams=True, read_choices=read)
    for event in events:
        reader.add(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return reader.read()


def read_whole(read: Read, document: dict[str, Any]) -> tuple[Choice, ...]:
    reader = AnswerReader(streams=False, read_choices=read)
    reader.add(json.dumps(document).encode())
    return reader.read()


@pytest.mark.parametrize(
    ("read", "events"),
    [(read_response_choices, RESPONSE_EVENTS), (read_message_choices, MESSAGE_EVENTS)],
)
def test_a_stream_is_read(read: Read, events: list[dict[str, Any]]) -> None:
    assert read_stream(read, events) == (SAID,)


@pytest.mark.parametrize(
    ("read", "document"),
    [(read_response_choices, RESPONSE), (read_message_choices, MESSAGE)],
)
def test_a_whole_answer_is_read(read: Read, document: dict[str, Any]) -> None:
    assert read_whole(read, document) == (SAID,)


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (read_response_choices, {"output": [{"type": "message", "content": None}]}),
        (read_message_choices, {"type": "message", "content": [], "stop_reason": "end_turn"}),
    ],
)
def test_an_answer_without_words_ends(read: Read, document: dict[str, Any]) -> None:
    assert read_whole(read, document) == (Choice(("",), "stop"),)


def test_a_refusal_of_the_engine_is_one() -> None:
    part = {"type": "refusal", "refusal": "No."}
    whole = {"output": [{"type": "message", "content": [part]}]}
    event = {"type": "response.refusal.delta", "delta": "No."}
    assert read_whole(read_response_choices, whole)[0].declined
    assert read_stream(read_response_choices, [event])[0].declined


@pytest.mark.parametrize("read", [read_response_choices, read_message_choices])
def test_other_documents_say_nothing(read: Read) -> None:
    odd = [{"type": "ping"}, {"type": "message_delta"}, {"type": "response.completed"}]
    assert read_stream(read, odd) == ()
    assert read_whole(read, {}) == ()
