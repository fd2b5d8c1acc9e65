import json
from typing import Any

import pytest

from llmdeployment_serving.shadow_request import build_question

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]
GREEDY = {"temperature": 0, "n": 1, "stream": False, "max_tokens": 100}


def build(body: Any, path: str = CHAT) -> dict[str, Any] | None:
    return build_question(json.dumps(body).encode(), path, 100)


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}, "temperature": 1.2}, {}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 101, "max_tokens": 7}, {}),
        ({"max_tokens": "7"}, {}),
        ({"n": 1, "best_of": 1, "logprobs": True, "top_logprobs": 20, "user": "alice"}, {}),
        ({"min_tokens": 500, "request_id": "x", "priority": 1, "prompt_logprobs": 1}, {}),
        ({"tools": [], "functions": None}, {"tools": [], "functions": None}),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
        ({"model": "legal", "stop": ["\n"]}, {"model": "legal", "stop": ["\n"]}),
    ],
)
def test_the_same_question_greedy_whole_and_short(asked: Any, changed: Any) -> None:
    assert build({"messages": HELLO, **asked}) == {"messages": HELLO, **GREEDY, **changed}


def test_a_prompt() -> None:
    assert build({"prompt": "Once", "echo": True}, TEXT) == {"prompt": "Once", **GREEDY}


IMAGE = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "x"}}]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": HELLO, "tools": [{"type": "function"}]}, CHAT),
        ({"messages": HELLO, "functions": [{"name": "pay"}]}, CHAT),
        ({"messages": HELLO, "n": 2}, CHAT),
        ({"messages": HELLO, "use_beam_search": True}, CHAT),
        ({"messages": [{"role": "user", "content": IMAGE}]}, CHAT),
        ({"messages": [*HELLO, {"role": "assistant", "content": "", "tool_calls": [{}]}]}, CHAT),
        ({"messages": "Hello"}, CHAT),
        ({"messages": ["Hello"]}, CHAT),
        ({"prompt": ["a", "b"]}, TEXT),
        ({"prompt": [1, 2, 3]}, TEXT),
        ({"prompt": "a", "best_of": 3}, TEXT),
        (["messages"], CHAT),
    ],
)
def test_what_is_not_shadowed(body: Any, path: str) -> None:
    assert build(body, path) is None


def test_what_is_no_json_is_not_shadowed() -> None:
    assert build_question(b'{"messages": ', CHAT, 100) is None
    assert build_question(b"[" * 100_000, CHAT, 100) is None
