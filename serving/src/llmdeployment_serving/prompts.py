"""Adds a revision's prompt to a request."""

from typing import Any

from llmdeployment_serving.config import PromptConfig

_system_roles = ("system", "developer")
_one_limit = ("max_tokens", "max_completion_tokens")
_bytes_per_token = 4


def count_prompt_bytes(body: dict[str, Any], *, chat: bool) -> int:
    """Return the UTF-8 bytes of the client's own prompt, without the revision's; the number of a token counts as 4 bytes.

    This measure is the same for every engine and known before any answer. It leaves out images, tools and the template.

    >>> count_prompt_bytes({"messages": [{"role": "user", "content": "gr\u00fc\u00df"}]}, chat=True)
    6
    >>> count_prompt_bytes({"prompt": [[11, 12, 13]]}, chat=False)
    12
    """
    if not chat:
        return _count_bytes(body.get("prompt"))
    messages = body.get("messages")
    if not isinstance(messages, list):
        return 0
    return sum(_count_bytes(item.get("content")) for item in messages if isinstance(item, dict))


def _count_bytes(content: Any) -> int:  # noqa: ANN401  # because a client's JSON may be anything
    parts = content if isinstance(content, list) else [content]
    total = 0
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            # why: JSON can hold half a surrogate pair, which UTF-8 cannot encode.
            total += len(text.encode(errors="surrogatepass"))
        elif isinstance(text, int):
            total += _bytes_per_token
        elif isinstance(text, list):
            total += _bytes_per_token * len(text)
    return total


def apply_prompt(body: dict[str, Any], prompt: PromptConfig, *, chat: bool) -> dict[str, Any]:
    """Return `body` with the revision's system text and defaults.

    The system text goes *before* the client's own system message, in one message with it: many chat templates accept a single
    system message, at the start only. A default never overrides what a client sent; null counts as not sent.
    `/v1/completions` has no roles, so it gets the defaults alone.
    """
    merged = dict(body)
    for name, value in prompt.defaults.items():
        # why: OpenAI renamed max_tokens, and a client may set the limit by either name.
        names = _one_limit if name in _one_limit else (name,)
        if all(merged.get(alias) is None for alias in names):
            merged[name] = value
    messages = merged.get("messages")
    if chat and prompt.system and isinstance(messages, list):
        merged["messages"] = _add_system(messages, prompt.system)
    return merged


def _add_system(messages: list[Any], system: str) -> list[Any]:
    first = messages[0] if messages else None
    if not isinstance(first, dict) or first.get("role") not in _system_roles:
        return [{"role": "system", "content": system}, *messages]
    content = first.get("content")
    if isinstance(content, list):
        joined: Any = [{"type": "text", "text": system}, *content]
    else:
        joined = f"{system}\n\n{content}" if content else system
    return [{**first, "content": joined}, *messages[1:]]
