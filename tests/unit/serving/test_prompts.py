from typing import Any

import pytest

from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.prompts import apply_prompt, count_prompt_bytes

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
    actual = apply_prompt(chat(*given), PromptConfig(system="S"), chat=True)

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

    assert expected == apply_prompt(given, prompt, chat=False)


def test_a_completion_gets_no_system_text_and_the_body_is_not_changed_in_place() -> None:
    body = chat(USER)

    assert apply_prompt(body, PromptConfig(system="S"), chat=False) == body
    apply_prompt(body, PromptConfig(system="S"), chat=True)
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
    assert count_prompt_bytes(body, chat=True) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("grüß", 6), (["ab", "c"], 3), ([1, 2], 8), ([[1, 2], [3]], 12), (None, 0), ({}, 0)],
)
def test_a_completions_length_is_that_of_its_prompts(prompt: Any, expected: int) -> None:
    assert count_prompt_bytes({"prompt": prompt}, chat=False) == expected


def test_messages_that_are_no_list_are_left_to_the_engine_to_refuse() -> None:
    assert apply_prompt({"messages": "x"}, PromptConfig(system="S"), chat=True) == {"messages": "x"}
