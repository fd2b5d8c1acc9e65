"""Requests with tools where the engine has no parser for tool calls."""

import json
from typing import Any

import pytest

from llmdeployment_serving.engine import Message, Scope
from llmdeployment_serving.tool_refusal import NO_PARSER, asks_for_tool_calls, refuse_tools

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
FUNCTION = {"type": "function", "name": "find_city"}


async def ask(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the answer of an application that echoes."""
    inbox = [
        {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return inbox.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def echo(_: Scope, receive: Any, send: Any) -> None:
        message = await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    await refuse_tools(echo)({"type": "http", "path": path}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, COUNT])
@pytest.mark.parametrize(
    "choice",
    [None, "auto", "required", {"type": "any"}, {"type": "function", "name": "find_city"}],
)
async def test_tools_are_refused_with_the_flags_that_help(path: str, choice: Any) -> None:
    given = {} if choice is None else {"tool_choice": choice}
    status, body = await ask(path, {"tools": [FUNCTION], **given})
    assert status == 400
    assert body["error"]["message"] == NO_PARSER
    assert body["error"]["type"] == "invalid_request_error"
    assert (body.get("type") == "error") == (path in (MESSAGES, COUNT))
    assert "enable-auto-tool-choice: true and tool-call-parser: NAME" in NO_PARSER


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {}),
        (CHAT, {"messages": [{"role": "user", "content": '"tools"'}]}),
        (CHAT, {"tools": None}),
        (CHAT, {"tools": []}),
        (CHAT, {"tools": "find_city"}),
        (CHAT, {"tools": [FUNCTION], "tool_choice": "none"}),
        (MESSAGES, {"tools": [FUNCTION], "tool_choice": {"type": "none"}}),
        (RESPONSES, {"tools": [FUNCTION], "tool_choice": "none"}),
        (RESPONSES, {"tools": [{"type": "web_search_preview"}]}),
        (RESPONSES, {"tools": [], "input": "Hello"}),
        ("/v1/completions", {"tools": [FUNCTION]}),
        ("/tokenize", {"tools": [FUNCTION]}),
    ],
)
async def test_the_rest_passes_unchanged(path: str, body: dict[str, Any]) -> None:
    assert await ask(path, body) == (200, body)


@pytest.mark.parametrize("path", [MESSAGES, COUNT])
async def test_an_empty_list_of_tools_is_none_for_anthropics_clients(path: str) -> None:
    assert await ask(path, {"tools": [], "max_tokens": 3}) == (
        200,
        {"tools": None, "max_tokens": 3},
    )


@pytest.mark.parametrize("kind", ["function", "custom", "namespace"])
def test_tools_of_the_client_need_a_parser(kind: str) -> None:
    assert asks_for_tool_calls(RESPONSES, {"tools": [{"type": "web_search"}, {"type": kind}]})
