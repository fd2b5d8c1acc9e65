"""What is asked of two revisions when a live request is shadowed: the client's request, greedy, whole and short."""

import json
from collections.abc import Mapping
from typing import Any

from llmdeployment_serving.model_tasks import EMBEDDING_PATH
from llmdeployment_serving.vector_agreement import build_vector_question

_DROPPED = frozenset(
    {
        "best_of",
        "echo",
        "kv_transfer_params",
        "logprobs",
        "max_completion_tokens",
        "min_tokens",
        "priority",
        "prompt_logprobs",
        "request_id",
        "stream_options",
        "top_logprobs",
        "user",
    }
)
"""Fields that say how a client wants its answer, or who it is: nothing that a comparison needs, and some of it costs much."""
_TOOLS = ("tools", "functions")


def build_question(raw: bytes, path: str, max_tokens: int) -> dict[str, Any] | None:
    """Return the body to ask two revisions, or None if the request is one that is not shadowed.

    Left out are requests with tools, whose answers may make somebody act, with anything but text, and with several answers.

    Args:
        raw: the client's body.
        path: of its request.
        max_tokens: limit of the answer's tokens; a lower one of the client stays.
    """
    try:
        body = json.loads(raw)
    except (RecursionError, ValueError):
        return None
    if isinstance(body, dict) and path == EMBEDDING_PATH:
        return build_vector_question(body)
    if not isinstance(body, dict) or not _is_suited(body, chat=is_chat(path)):
        return None
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    limit = min(asked, max_tokens) if isinstance(asked, int) and asked > 0 else max_tokens
    kept = {field: value for field, value in body.items() if field not in _DROPPED}
    return {**kept, "temperature": 0, "n": 1, "stream": False, "max_tokens": limit}


def is_chat(path: str) -> bool:
    """Say whether a request has messages; one that has not has a prompt."""
    return path.endswith("/chat/completions")


def _is_suited(body: Mapping[str, Any], *, chat: bool) -> bool:
    if any(body.get(field) for field in _TOOLS) or body.get("use_beam_search"):
        return False
    if any(body.get(field) not in (None, 1) for field in ("n", "best_of")):
        return False
    if not chat:
        return isinstance(body.get("prompt"), str)
    messages = body.get("messages")
    return isinstance(messages, list) and all(map(_is_text, messages))


def _is_text(message: object) -> bool:
    if not isinstance(message, dict) or message.get("tool_calls"):
        return False
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    return all(
        isinstance(part, str) or (isinstance(part, dict) and part.get("type") == "text")
        for part in parts
    )


def build_scope(path: str) -> dict[str, Any]:
    """Return the ASGI scope of a request that comes from no client."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
        "server": None,
    }
