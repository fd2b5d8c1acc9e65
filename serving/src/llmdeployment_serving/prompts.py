"""How a revision's prompt gets into a request."""

from typing import Any

from llmdeployment_serving.config import PromptConfig

_system_roles = ("system", "developer")
_one_limit = ("max_tokens", "max_completion_tokens")


def apply_prompt(body: dict[str, Any], prompt: PromptConfig, *, chat: bool) -> dict[str, Any]:
    """Returns `body` with the revision's system text and defaults.

    The system text goes *before* the client's own system message, in one message with it: many chat templates accept a single
    system message, at the start only. A default never overrides what a client sent; null counts as not sent.
    `/v1/completions` has no roles, so it gets the defaults alone.
    """
    merged = dict(body)
    for name, value in prompt.defaults.items():
        # why: OpenAI renamed max_tokens; a client that uses the other name has set the limit.
        names = _one_limit if name in _one_limit else (name,)
        if all(merged.get(alias) is None for alias in names):
            merged[name] = value
    messages = merged.get("messages")
    if chat and prompt.system and isinstance(messages, list):
        merged["messages"] = _with_system(messages, prompt.system)
    return merged


def _with_system(messages: list[Any], system: str) -> list[Any]:
    first = messages[0] if messages else None
    if not isinstance(first, dict) or first.get("role") not in _system_roles:
        return [{"role": "system", "content": system}, *messages]
    content = first.get("content")
    if isinstance(content, list):
        joined: Any = [{"type": "text", "text": system}, *content]
    else:
        joined = f"{system}\n\n{content}" if content else system
    return [{**first, "content": joined}, *messages[1:]]
