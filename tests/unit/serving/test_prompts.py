from typing import Any

import pytest

from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.errors import RefusedError
from llmdeployment_serving.prompts import (
    apply_to_chat,
    apply_to_completion,
    apply_to_counted_message,
    apply_to_message,
    apply_to_response,
    apply_to_tokenized,
    count_chat_bytes,
    count_completion_bytes,
    count_message_bytes,
    count_response_bytes,
)

USER = {"role": "user", "content": "hi"}


def chat(*messages: object, **fields: Any) -> dict[str, Any]:
    return {"messages": list(messages), **fields}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([USER], [{"role": "system", "content": "S"}, USER], id="goes first"),
        pytest.param([], [{"role": "system", "content": "S"}], id="even alone"),
        pytest.param(
            [{"role": "system", "content": "C"}, USER],
            [{"role": "system", "content": "S\n\nC"}, USER],
            id="joins the client's, before it",
        ),
        pytest.param(
            [{"role": "developer", "content": "C"}, USER],
            [{"role": "developer", "content": "S\n\nC"}, USER],
            id="joins the client's under its newer name",
        ),
        pytest.param(
            [{"role": "system", "content": [{"type": "text", "text": "C"}]}],
            [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "S"}, {"type": "text", "text": "C"}],
                }
            ],
            id="joins parts as a part",
        ),
        pytest.param(
            [{"role": "system", "content": None}],
            [{"role": "system", "content": "S"}],
            id="fills an empty one",
        ),
    ],
)
def test_the_system_text(given: list[Any], expected: list[Any]) -> None:
    actual = apply_to_chat(chat(*given), PromptConfig(system="S"))

    assert expected == actual["messages"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"temperature": 0.2, "max_tokens": 9}),
        ({"temperature": None}, {"temperature": 0.2, "max_tokens": 9}),
        ({"temperature": 0}, {"temperature": 0, "max_tokens": 9}),
        ({"max_completion_tokens": 5}, {"max_completion_tokens": 5, "temperature": 0.2}),
    ],
)
def test_defaults_fill_in_what_is_missing(given: dict[str, Any], expected: dict[str, Any]) -> None:
    prompt = PromptConfig(defaults={"temperature": 0.2, "max_tokens": 9})

    assert expected == apply_to_completion(given, prompt)


def test_a_completion_gets_no_system_text_and_the_body_is_not_changed_in_place() -> None:
    body = chat(USER)

    assert apply_to_completion(body, PromptConfig(system="S")) == body
    apply_to_chat(body, PromptConfig(system="S"))
    assert body == chat(USER)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [USER, {"role": "assistant", "content": "ja"}]}, 4),
        ({"messages": [{"content": [{"type": "text", "text": "hey"}, {"image_url": "x"}]}]}, 3),
        ({"messages": [{"content": "\ud800"}]}, 3),
        ({"messages": [{"content": None}, "x"]}, 0),
        ({"messages": "x"}, 0),
        ({}, 0),
    ],
)
def test_a_chats_length_is_that_of_its_texts(body: dict[str, Any], expected: int) -> None:
    assert count_chat_bytes(body) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("grüß", 6), (["ab", "c"], 3), ([1, 2], 8), ([[1, 2], [3]], 12), (None, 0), ({}, 0)],
)
def test_a_completions_length_is_that_of_its_prompts(prompt: Any, expected: int) -> None:
    assert count_completion_bytes({"prompt": prompt}) == expected


def test_messages_that_are_no_list_are_left_to_the_engine_to_refuse() -> None:
    assert apply_to_chat({"messages": "x"}, PromptConfig(system="S")) == {"messages": "x"}


BRIEF = PromptConfig(system="S", defaults={"temperature": 0.2, "max_tokens": 9})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"input": "hi"}, {"instructions": "S", "temperature": 0.2, "max_output_tokens": 9}),
        (
            {"input": "hi", "instructions": "C", "temperature": 0, "max_output_tokens": 5},
            {"instructions": "S\n\nC", "temperature": 0, "max_output_tokens": 5},
        ),
    ],
)
def test_a_response_has_the_system_text_in_its_instructions(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert apply_to_response(given, BRIEF) == given | expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"system": "S", "temperature": 0.2, "max_tokens": 5}),
        ({"system": "C"}, {"system": "S\n\nC", "temperature": 0.2, "max_tokens": 9}),
        (
            {"system": [{"type": "text", "text": "C"}]},
            {
                "system": [{"type": "text", "text": "S"}, {"type": "text", "text": "C"}],
                "temperature": 0.2,
                "max_tokens": 9,
            },
        ),
    ],
)
def test_a_message_has_the_system_text_in_its_system_field(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert apply_to_message(given, BRIEF) == expected


@pytest.mark.parametrize(
    ("defaults", "field", "expected"),
    [
        ({"max_completion_tokens": 7}, "max_tokens", 7),
        ({"stop": "END"}, "stop_sequences", ["END"]),
        ({"stop": ["A", "B"]}, "stop_sequences", ["A", "B"]),
    ],
)
def test_defaults_have_the_names_of_the_messages_api(
    defaults: dict[str, Any], field: str, expected: object
) -> None:
    assert apply_to_message({}, PromptConfig(defaults=defaults)) == {field: expected}


@pytest.mark.parametrize(
    ("apply", "path", "field"),
    [
        (apply_to_message, "/v1/messages", "frequency_penalty"),
        (apply_to_response, "/v1/responses", "tools"),
    ],
)
def test_a_path_without_a_place_for_a_default_is_refused(apply: Any, path: str, field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        apply({}, PromptConfig(defaults={field: 1}))
    assert refused.value.status == 400
    assert refused.value.message == (
        f"{path} has no field {field}, which this model sets by spec.prompt.defaults. "
        "Use /v1/chat/completions."
    )


def test_tokens_are_counted_with_the_system_text_and_without_sampling() -> None:
    prompt = PromptConfig(
        system="S", defaults={"temperature": 0, "chat_template_kwargs": {"thinking": False}}
    )
    shaped = {"chat_template_kwargs": {"thinking": False}}
    assert apply_to_counted_message({"messages": []}, prompt) == {
        "messages": [],
        "system": "S",
        **shaped,
    }
    assert apply_to_tokenized(chat(USER), prompt) == {
        **chat({"role": "system", "content": "S"}, USER),
        **shaped,
    }
    assert apply_to_tokenized({"prompt": "hi"}, prompt) == {"prompt": "hi"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": "grüß"}, 6),
        ({"input": [USER], "instructions": "abc"}, 5),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hey"}]}]}, 3),
        ({"input": 7}, 4),
        ({}, 0),
    ],
)
def test_a_responses_length_is_that_of_its_input(body: dict[str, Any], expected: int) -> None:
    assert count_response_bytes(body) == expected


def test_a_messages_length_includes_its_system_text() -> None:
    assert count_message_bytes({"system": "abc", "messages": [USER]}) == 5
