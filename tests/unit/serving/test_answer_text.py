"""What a model said is read out of bytes that come in any pieces."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.answer_text import (
    KEPT,
    MOST_ARGUMENTS,
    MOST_CALLS,
    MOST_CHOICES,
    MOST_WAITING,
    AnswerReader,
    Choice,
    TextEnds,
    ToolCall,
)


def event(*choices: dict[str, Any], **fields: Any) -> bytes:
    document = {"id": "c", "object": "chat.completion.chunk", "choices": list(choices), **fields}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(text: str, index: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "finish_reason": reason}


def read(*pieces: bytes, streams: bool = True, choices: int = 1) -> tuple[Choice, ...]:
    reader = AnswerReader(streams=streams, choices=choices)
    for piece in pieces:
        reader.add(piece)
    return reader.read()


STREAM = b"".join(
    (
        b": a comment\n\n",
        event({"index": 0, "delta": {"role": "assistant", "content": ""}}),
        event(delta("Grüße, ")),
        event(delta("世界 \U0001f30d")),
        event(delta("!", reason="stop")),
        event(usage={"completion_tokens": 3}),
        b"data: [DONE]\n\n",
    )
)
EXPECTED = (Choice(("Grüße, 世界 \U0001f30d!",), "stop"),)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(ends))) == EXPECTED


def test_a_stream_may_come_byte_by_byte_with_other_line_ends_and_without_the_last() -> None:
    text = STREAM.replace(b"\n", b"\r\n")
    assert read(*(text[i : i + 1] for i in range(len(text)))) == EXPECTED
    assert read(event(delta("all", reason="stop")).rstrip()) == (Choice(("all",), "stop"),)


def test_several_choices_are_told_apart() -> None:
    found = read(event(delta("a", 1), delta("b", 0)), event(delta("c", 1, "length")), choices=2)
    assert found == (Choice(("b",), ""), Choice(("ac",), "length"))


def test_choices_beyond_the_first_eight_or_those_asked_for_are_not_kept() -> None:
    many = [delta(str(index), index) for index in range(MOST_CHOICES + 2)]
    assert [c.texts for c in read(event(*many), choices=99)] == [(str(i),) for i in range(8)]
    assert len(read(event(*many))) == 1


@pytest.mark.parametrize("streams", [True, False])
def test_completions_have_their_text_in_the_choice(streams: bool) -> None:  # noqa: FBT001  # because pytest passes it
    document = {"choices": [{"index": 0, "text": "once", "finish_reason": "stop"}]}
    body = json.dumps(document).encode()
    pieces = (b"data:" + body + b"\n\n",) if streams else (body[:9], body[9:])
    assert read(*pieces, streams=streams) == (Choice(("once",), "stop"),)


def test_a_whole_chat_answer_has_messages_tool_calls_and_refusals() -> None:
    calls = [{"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}, {"id": "2"}]
    choices = [
        {"index": 0, "message": {"content": None, "tool_calls": calls}, "finish_reason": "x"},
        {"index": 1, "message": {"content": None, "refusal": "I would rather not."}},
    ]
    body = json.dumps({"choices": choices}).encode()
    assert read(body, streams=False, choices=2) == (
        Choice(("",), "x", (ToolCall("add", '{"a": 1}'), ToolCall("", ""))),
        Choice(("I would rather not.",), declined=True),
    )


def test_the_pieces_of_streamed_tool_calls_are_put_together() -> None:
    def call(index: int, **function: str) -> bytes:
        return event(
            {"index": 0, "delta": {"tool_calls": [{"index": index, "function": function}]}}
        )

    found = read(
        call(0, name="add", arguments=""),
        call(1, name="sub", arguments="{"),
        call(0, arguments='{"a"'),
        call(0, arguments=": 1}"),
    )
    assert found[0].calls == (ToolCall("add", '{"a": 1}'), ToolCall("sub", "{"))


def test_long_arguments_and_many_calls_are_not_kept() -> None:
    def body(count: int, arguments: str) -> bytes:
        calls = [{"function": {"name": "f", "arguments": arguments}}] * count
        return json.dumps({"choices": [{"message": {"tool_calls": calls}}]}).encode()

    (fits,) = read(body(1, "x" * MOST_ARGUMENTS), streams=False)
    assert fits.calls[0].arguments == "x" * MOST_ARGUMENTS
    (long,) = read(body(1, "x" * (MOST_ARGUMENTS + 1)), streams=False)
    assert long.calls == (ToolCall("f", None),)
    (many,) = read(body(MOST_CALLS + 1, "1"), streams=False)
    assert len(many.calls) == MOST_CALLS


@pytest.mark.parametrize(
    "piece",
    [
        b"data: {\n\n",
        b"data: 7\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [7, {"delta": 7}, {"delta": {"tool_calls": 7}}]}\n\n',
        b'data: {"choices": [{"index": -1, "delta": {}}]}\n\n',
        b"event: ping\n\n",
        b"\xff\xfe\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_what_is_not_of_openais_form_is_passed_over(piece: bytes) -> None:
    assert read(piece, event(delta("fine")), piece) == (Choice(("fine",)),)


def test_half_a_surrogate_pair_is_read() -> None:
    found = read(b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n')
    assert found == (Choice(("\ud83d",)),)


def test_an_answer_that_ends_in_an_error_is_none() -> None:
    assert read(event(delta("half ")), event(error={"message": "died"}), event(delta("x"))) == ()
    assert read(b'{"error": {"message": "no"}}', streams=False) == ()


def test_an_event_or_a_document_that_is_too_large_makes_an_answer_that_nobody_reads() -> None:
    large = b"x" * (MOST_WAITING // 2 + 1)
    assert read(event(delta("a")), large, large, b"\n", event(delta("b"))) == ()
    padded = json.dumps({"choices": [{"text": "a"}]}).encode()
    assert len(read(padded, b" " * (MOST_WAITING - len(padded)), streams=False)) == 1
    assert read(padded, b" " * (MOST_WAITING - len(padded) + 1), streams=False) == ()


@given(st.lists(st.text(max_size=9), max_size=40), st.integers(1, 24))
def test_a_text_keeps_its_ends(pieces: list[str], kept: int) -> None:
    ends, whole = TextEnds(kept), "".join(pieces)
    for piece in pieces:
        ends.append(piece)
    short = len(whole) <= 2 * kept
    assert ends.read() == ((whole,) if short else (whole[:kept], whole[-kept:]))


def test_many_small_pieces_take_no_more_room_than_their_text() -> None:
    ends = TextEnds(100)
    for _ in range(5000):
        ends.append("")
        ends.append("x")
    assert len(ends._head) + len(ends._tail) < 1100
    assert ends.read() == ("x" * 100, "x" * 100)


def test_a_long_answer_keeps_32_ki_characters_of_each_end_divided_by_the_choices() -> None:
    text = "a" * KEPT + "b" * 10 + "c" * KEPT
    assert read(event(delta(text)))[0].texts == ("a" * KEPT, "c" * KEPT)
    assert [len(t) for t in read(event(delta(text)), choices=4)[0].texts] == [KEPT // 4] * 2
    assert KEPT == 32 * 1024
