"""A line of the request log: what it holds, what it never holds, and how large it can be."""

import doctest
import json
from typing import Any

import pytest

from llmdeployment_serving import log_entry
from llmdeployment_serving.answer_text import KEPT, AnswerReader, Choice, ToolCall
from llmdeployment_serving.log_entry import (
    KEPT_PROMPT,
    LogEntry,
    Outcome,
    build_record,
    keep_prompt,
    measure,
)
from llmdeployment_serving.redaction import Redactor
from llmdeployment_serving.usage import Usage

PLAIN = Redactor()
CARD = "4111 1111 1111 1111"


def entry(*, content: bool = False, **changes: Any) -> LogEntry:
    headers = {"llmdeployment.request_id": "r-1", "llmdeployment.arm": "a"}
    made = LogEntry(1_700_000_000.25, "chat", "3", headers, content, model="chat")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def read_texts(messages: Any) -> list[str]:
    return [part["content"] for each in messages for part in each["parts"] if "content" in part]


def test_examples_hold() -> None:
    assert doctest.testmod(log_entry).failed == 0


def test_metadata_is_all_that_is_known_and_no_content() -> None:
    done = Outcome(
        status=200,
        seconds=2.5,
        first_chunk_seconds=0.1234567,
        usage=Usage(output_tokens=7, prompt_tokens=9, cached_tokens=4),
        chunks=8,
        found={"refusal": True, "pattern/brand": True, "pattern/other": False},
        choices=(Choice(("hello",), "stop"),),
    )
    assert build_record(entry(), done, PLAIN, 20) == {
        "time": "2023-11-14T22:13:20.250Z",
        "event": "answer",
        "llmdeployment.request_id": "r-1",
        "llmdeployment.arm": "a",
        "llmdeployment.revision": "3",
        "gen_ai.operation.name": "chat",
        "http.response.status_code": 200,
        "llmdeployment.duration_seconds": 2.5,
        "gen_ai.request.model": "chat",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.response.finish_reasons": ["stop"],
        "llmdeployment.time_to_first_chunk_seconds": 0.123457,
        "llmdeployment.patterns": ["brand"],
        "llmdeployment.sample_percent": 20,
    }


@pytest.mark.parametrize(
    ("outcome", "code", "error"),
    [
        (Outcome(200, 1.0), "", None),
        (Outcome(200, 1.0, error="engine_crash"), "", "engine_crash"),
        (Outcome(499, 1.0), "ignored", "client_left"),
        (Outcome(502, 1.0), "answer_cut", "answer_cut"),
        (Outcome(503, 1.0), "", "503"),
        (Outcome(400, 1.0, error="bad_request"), "", "bad_request"),
        (Outcome(404, 1.0), "model_not_found", "model_not_found"),
    ],
)
def test_an_error_has_a_type(outcome: Outcome, code: str, error: str | None) -> None:
    line = build_record(entry(error=code), outcome, PLAIN)
    assert line.get("error.type") == error
    assert line["http.response.status_code"] == outcome.status


def test_tokens_that_nobody_reports_are_chunks_or_absent() -> None:
    assert (
        build_record(entry(), Outcome(200, 1.0, chunks=5), PLAIN)["gen_ai.usage.output_tokens"] == 5
    )
    bare = build_record(entry(), Outcome(200, 1.0), PLAIN)
    assert not [name for name in bare if name.startswith("gen_ai.usage")]
    assert "llmdeployment.sample_percent" not in bare


def test_content_is_messages_with_parts_without_secrets() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            say([{"type": "text", "text": f"My card is {CARD}"}, {"type": "image_url"}]),
            {"role": "robot", "content": None},
            "no message",
        ]
    }
    call = ToolCall("mail", json.dumps({"to": "joe\u0040example.com", "note": "\u00fc"}))
    hidden = call.arguments.replace("@", "\\u0040") if call.arguments else ""
    answer = Choice(("Write to joe@example.com",), "tool_calls", (ToolCall("mail", hidden),))
    logged = entry(content=True, prompt=keep_prompt(body))
    line = build_record(logged, Outcome(200, 1.0, choices=(answer,)), PLAIN)
    assert line["gen_ai.input.messages"] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "My card is [card]"}]},
        {"role": "other", "parts": []},
    ]
    assert line["gen_ai.output.messages"] == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Write to [email]"},
                {"type": "tool_call", "name": "mail", "arguments": '{"to": "[email]", "note": "\u00fc"}'},
            ],
            "finish_reason": "tool_calls",
        }
    ]  # fmt: skip
    assert "llmdeployment.truncated" not in line


def test_a_completion_is_a_message_of_the_user() -> None:
    (message,) = keep_prompt({"prompt": ["one", "two"]}).messages
    assert (message.role, message.texts) == ("user", ("one", "two"))


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"input": "hi", "instructions": "Be brief."}, [("system", ("Be brief.",)), ("user", ("hi",))]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, [("user", ("hi",))]),
        ({"system": [{"type": "text", "text": "Be brief."}], "messages": [say("hi")]}, [("system", ("Be brief.",)), ("user", ("hi",))]),
        ({"input": ["a", "b"]}, [("user", ("a", "b"))]),
        ({"query": "q", "documents": ["a"]}, [("user", ("q",))]),
    ],
)  # fmt: skip
def test_every_api_has_its_prompt_as_messages(body: Any, messages: Any) -> None:
    assert [(each.role, each.texts) for each in keep_prompt(body).messages] == messages


@pytest.mark.parametrize("role", [["user"], {"a": 1}, 7, None, "robot"])
def test_a_role_that_is_none_is_another_one(role: object) -> None:
    (message,) = keep_prompt({"messages": [{"role": role, "content": "hi"}]}).messages
    assert (message.role, message.texts) == ("other", ("hi",))


@pytest.mark.parametrize("messages", [None, 7, "text", [], [None], [{"content": {"a": 1}}]])
def test_what_is_no_prompt_is_an_empty_one(messages: Any) -> None:
    prompt = keep_prompt({"messages": messages})
    assert not prompt.was_cut
    assert [text for each in prompt.messages for text in each.texts] == []


@pytest.mark.parametrize(
    "messages",
    [
        [say("a " * KEPT_PROMPT)],
        [say("x " * 1000) for _ in range(200)],
        [say("") for _ in range(10_000)],
        [say([{"type": "text", "text": "y " * 100} for _ in range(1000)])],
    ],
)
def test_a_long_prompt_keeps_its_last_characters(messages: list[Any]) -> None:
    last = say("the question")
    prompt = keep_prompt({"messages": [*messages, last]})
    texts = [text for each in prompt.messages for text in each.texts]
    assert prompt.was_cut
    assert texts[-1] == "the question"
    assert sum(map(len, texts)) <= KEPT_PROMPT
    assert len(prompt.messages) <= KEPT_PROMPT // 32
    line = build_record(entry(content=True, prompt=prompt), Outcome(200, 1.0), PLAIN)
    assert line["llmdeployment.truncated"] is True
    assert len(json.dumps(line)) < 4 * KEPT_PROMPT
    assert measure(entry(prompt=prompt), Outcome(200, 1.0)) >= sum(map(len, texts))


def test_a_prompt_that_just_fits_is_whole() -> None:
    text = "a" * (KEPT_PROMPT - 32 - 1)
    assert keep_prompt({"messages": [say(text)]}).messages[0].texts == (text,)
    assert keep_prompt({"messages": [say(text + "a")]}).was_cut


@pytest.mark.parametrize("place", range(KEPT - 20, KEPT + 1))
def test_a_secret_at_the_cut_of_a_long_answer_leaves_no_part(place: int) -> None:
    text = "b " * (place // 2) + "b" * (place % 2) + f" {CARD} " + "c " * KEPT
    reader = AnswerReader(streams=False)
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    reader.add(json.dumps({"choices": [choice]}).encode())
    outcome = Outcome(200, 1.0, choices=reader.read())
    line = build_record(entry(content=True), outcome, PLAIN)
    assert line["llmdeployment.truncated"] is True
    kept = "".join(read_texts(line["gen_ai.output.messages"]))
    assert "1" not in kept
    assert KEPT < len(kept) <= 2 * KEPT


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_a_secret_that_comes_in_pieces_is_removed(size: int) -> None:
    """Whatever the borders of a stream's chunks: the text is joined before it is searched."""
    said = f"Card {CARD}, GB82 WEST 1234 5698 7654 32, joe@example.com, Bearer abcdefgh12345678!"
    reader = AnswerReader(streams=True)
    for at in range(0, len(said), size):
        choice = {"index": 0, "delta": {"content": said[at : at + size]}}
        reader.add(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    line = build_record(entry(content=True), Outcome(200, 1.0, choices=reader.read()), PLAIN)
    assert read_texts(line["gen_ai.output.messages"]) == [
        "Card [card], [iban], [email], Bearer [token]!"
    ]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"code": "engine_crash"}, "engine_crash"),
        ({"code": None, "type": "server_error"}, "server_error"),
        ({"code": 503}, "503"),
        ({"code": ["x"]}, "error"),
        ("text", "error"),
        ({"code": "x" * 100}, "x" * 64),
        ({"code": "x\ud800"}, "x?"),
    ],
)
def test_an_answer_that_reports_an_error_says_which(error: Any, name: str) -> None:
    reader = AnswerReader(streams=True)
    reader.add(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
    reader.add(f"data: {json.dumps({'error': error})}\n\n".encode())
    assert reader.read() == ()
    assert reader.error == name


def test_calls_of_tools_take_room_while_they_wait() -> None:
    calls = (ToolCall("n" * 100, "a" * 1000), ToolCall("n" * 100, None))
    with_calls = Outcome(200, 1.0, choices=(Choice(("t" * 10,), "tool_calls", calls),))
    assert measure(entry(), with_calls) == measure(entry(), Outcome(200, 1.0)) + 1210


def test_a_reason_that_cannot_be_encoded_is_one_that_can_be() -> None:
    reader = AnswerReader(streams=True)
    for reason in ("\ud800", "a\udfff" * 999):
        choice = {"delta": {"content": "a"}, "finish_reason": reason}
        reader.add(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    (choice,) = reader.read()
    assert choice.finish_reason == "a?" * 32
