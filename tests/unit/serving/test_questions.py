"""What a request says its answer is looked at for."""

from collections.abc import Callable
from typing import Any

import pytest

from llmdeployment_serving.questions import (
    Question,
    read_chat_question,
    read_completion_question,
    read_message_question,
    read_response_question,
)

ANY = Question()
RUSSIAN = "Расскажите мне о погоде в Москве"  # noqa: RUF001  # because this is Russian


@pytest.mark.parametrize(
    ("body", "read", "expected"),
    [
        ({}, read_chat_question, ANY),
        ({"messages": 7, "n": "many", "response_format": 7, "tools": 7}, read_chat_question, ANY),
        (
            {"messages": [7, {"role": "user"}], "tools": [7, {"function": {"name": 7}}]},
            read_chat_question,
            ANY,
        ),
        (
            {"n": 3, "response_format": {"type": "json_object"}},
            read_chat_question,
            Question(3, wants_json=True),
        ),
        (
            {"response_format": {"type": "json_schema"}},
            read_chat_question,
            Question(wants_json=True),
        ),
        ({"response_format": {"type": "text"}, "n": 0}, read_chat_question, ANY),
        ({"prompt": RUSSIAN}, read_completion_question, Question(script="cyrillic")),
        (
            {"prompt": [RUSSIAN, RUSSIAN], "n": 2},
            read_completion_question,
            Question(4, script="cyrillic"),
        ),
        ({"prompt": [[1, 2], [3]]}, read_completion_question, Question(2)),
        (
            {"tools": [{"function": {"name": "add"}}]},
            read_chat_question,
            Question(tools=frozenset({"add"})),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "Good morning to all of you."},
                    {"role": "assistant", "content": "Good morning."},
                    {"role": "user", "content": [{"type": "text", "text": RUSSIAN}, {"x": 1}]},
                    {"role": "tool", "content": "Some text in Latin letters."},
                ]
            },
            read_chat_question,
            Question(script="cyrillic"),
        ),
        ({}, read_response_question, ANY),
        ({"input": 7, "text": 7, "tools": 7}, read_response_question, ANY),
        ({"input": RUSSIAN}, read_response_question, Question(script="cyrillic")),
        (
            {
                "input": [{"role": "user", "content": [{"type": "input_text", "text": RUSSIAN}]}],
                "text": {"format": {"type": "json_schema"}},
                "tools": [{"type": "function", "name": "add"}],
            },
            read_response_question,
            Question(1, True, frozenset({"add"}), "cyrillic"),
        ),
        ({}, read_message_question, ANY),
        ({"messages": 7, "output_config": 7, "tools": [7]}, read_message_question, ANY),
        (
            {
                "messages": [{"role": "user", "content": RUSSIAN}],
                "output_config": {"format": {"type": "json_schema"}},
                "tools": [{"name": "add", "input_schema": {}}],
            },
            read_message_question,
            Question(1, True, frozenset({"add"}), "cyrillic"),
        ),
    ],
)
def test_a_request_says_what_its_answer_is_looked_at_for(
    read: Callable[[dict[str, Any]], Question], body: dict[str, Any], expected: Question
) -> None:
    assert read(body) == expected
