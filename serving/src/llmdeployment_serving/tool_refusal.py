"""Refuses requests with tools where nothing would find the tool calls in the answer.

Without a parser vLLM 0.32 answers such a chat or message with the names of its own flags, and such a response with the model's text,
tool calls and all.
"""

import json
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.api_paths import CHAT_PATH, COUNT_PATH, MESSAGE_PATH, RESPONSE_PATH
from llmdeployment_serving.engine import ASGIApp, Message, Receive, Scope, Send
from llmdeployment_serving.errors import build_anthropic_error, build_openai_error, send_error

NO_PARSER = (
    "tools cannot be used, because the engine has no parser for this model's tool calls: "
    "set enable-auto-tool-choice: true and tool-call-parser: NAME in spec.engine.args, "
    "or leave tools out."
)
"""What such a request is told."""
_MARK = b'"tools"'
_FORMS = {
    CHAT_PATH: build_openai_error,
    RESPONSE_PATH: build_openai_error,
    MESSAGE_PATH: build_anthropic_error,
    COUNT_PATH: build_anthropic_error,
}
_CLIENT_TOOLS = ("function", "custom", "namespace")


def refuse_tools(app: ASGIApp) -> ASGIApp:
    """Return an engine's application that refuses requests for tool calls with status 400."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _FORMS:
            await app(scope, receive, send)
            return
        message = await receive()
        if _MARK in message.get("body", b""):
            body = json.loads(message["body"])
            if asks_for_tool_calls(scope["path"], body):
                status = HTTPStatus.BAD_REQUEST
                await send_error(send, status, NO_PARSER, build=_FORMS[scope["path"]])
                return
            if body.get("tools") == [] and _FORMS[scope["path"]] is build_anthropic_error:
                # why: vLLM takes an empty list for tools. Anthropic does not, and its clients send one.
                message = {**message, "body": json.dumps(body | {"tools": None}).encode()}
        await app(scope, _put_back(message, receive), send)

    return answer


def asks_for_tool_calls(path: str, body: dict[str, Any]) -> bool:
    """Say whether a request wants the model to call a tool of the client, now or where it sees fit.

    >>> asks_for_tool_calls("/v1/chat/completions", {"tools": [{"type": "function"}], "tool_choice": "none"})
    False
    """
    tools = body.get("tools")
    if not isinstance(tools, list) or not tools:
        return False
    if path == RESPONSE_PATH and not any(
        isinstance(tool, dict) and tool.get("type") in _CLIENT_TOOLS for tool in tools
    ):
        return False
    choice = body.get("tool_choice")
    return (choice.get("type") if isinstance(choice, dict) else choice) != "none"


def _put_back(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that gives `message` first."""
    kept = [message]

    async def receive_kept() -> Message:
        return kept.pop() if kept else await receive()

    return receive_kept
