"""Adds a revision's prompt to a request's body, by the form of the body.

The system text goes *before* the client's own, in one with it: many chat templates accept a single system message, at the start only.
A default never overrides what a client sent; null counts as not sent.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.errors import RefusedError

Body = dict[str, Any]

_system_roles = ("system", "developer")
_one_limit = ("max_tokens", "max_completion_tokens")
_bytes_per_token = 4

_LIKE_CHAT = frozenset(
    {
        "cache_salt",
        "chat_template_kwargs",
        "kv_transfer_params",
        "metadata",
        "mm_processor_kwargs",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "vllm_xargs",
        "watermarking",
    }
)
_RESPONSE_NAMES = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
RESPONSE_FIELDS = frozenset(
    {
        *(_LIKE_CHAT - {"tools", "tool_choice"}),
        "frequency_penalty",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "logit_bias",
        "max_output_tokens",
        "min_p",
        "parallel_tool_calls",
        "presence_penalty",
        "priority",
        "prompt_cache_key",
        "reasoning",
        "repetition_penalty",
        "seed",
        "service_tier",
        "skip_special_tokens",
        "stop",
        "stop_token_ids",
        "structured_outputs",
        "text",
        "truncation",
        "user",
    }
)
"""Fields of `/v1/responses` that a default may set: those of vLLM that mean there what they mean in a chat, and its own."""
_MESSAGE_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
MESSAGE_FIELDS = frozenset(
    {
        *(_LIKE_CHAT - {"tools", "tool_choice", "mm_processor_kwargs"}),
        "max_tokens",
        "output_config",
        "stop_sequences",
        "thinking",
    }
)
"""Fields of `/v1/messages` that a default may set."""
COUNTED_FIELDS = frozenset(
    {"chat_template", "chat_template_kwargs", "mm_processor_kwargs", "thinking"}
)
"""Fields that change how many tokens a prompt has. The others have no effect where tokens are only counted."""


def apply_to_chat(body: Body, prompt: PromptConfig) -> Body:
    """Return a chat with the revision's system text and defaults."""
    return _add_system_message(add_defaults(body, prompt.defaults), prompt.system)


def apply_to_completion(body: Body, prompt: PromptConfig) -> Body:
    """Return a completion with the revision's defaults; it has no place for a system text."""
    return add_defaults(body, prompt.defaults)


def apply_to_response(body: Body, prompt: PromptConfig) -> Body:
    """Return a body of `/v1/responses` with the revision's system text in its `instructions`.

    >>> apply_to_response({"input": "Hi"}, PromptConfig(system="Be brief.", defaults={"max_tokens": 9}))
    {'input': 'Hi', 'max_output_tokens': 9, 'instructions': 'Be brief.'}

    Raises:
        RefusedError: it has no place for one of the defaults.
    """
    named = _rename(prompt.defaults, _RESPONSE_NAMES, RESPONSE_FIELDS, "/v1/responses")
    merged = add_defaults(body, named)
    if prompt.system:
        merged["instructions"] = _join(prompt.system, merged.get("instructions"))
    return merged


def apply_to_message(body: Body, prompt: PromptConfig) -> Body:
    """Return a body of `/v1/messages` with the revision's system text in its `system`.

    Raises:
        RefusedError: it has no place for one of the defaults.
    """
    named = _rename(prompt.defaults, _MESSAGE_NAMES, MESSAGE_FIELDS, "/v1/messages")
    if isinstance(stop := named.get("stop_sequences"), str):
        named["stop_sequences"] = [stop]
    return _add_system_field(add_defaults(body, named), prompt.system)


def apply_to_counted_message(body: Body, prompt: PromptConfig) -> Body:
    """Return a body of `/v1/messages/count_tokens` with the revision's system text."""
    return _add_system_field(add_defaults(body, _keep_counted(prompt.defaults)), prompt.system)


def apply_to_tokenized(body: Body, prompt: PromptConfig) -> Body:
    """Return a body of `/tokenize`; only one with messages has a place for the system text."""
    merged = add_defaults(body, _keep_counted(prompt.defaults)) if "messages" in body else body
    return _add_system_message(merged, prompt.system)


def apply_nothing(body: Body, _: PromptConfig) -> Body:
    """Return a body that has no prompt."""
    return body


def count_chat_bytes(body: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes of the client's own messages, without the revision's text.

    This measure is the same for every engine and known before any answer. It leaves out images, tools and the template.

    >>> count_chat_bytes({"messages": [{"role": "user", "content": "gr\u00fc\u00df"}]})
    6
    """
    return _count_message_bytes(body.get("messages"))


def count_completion_bytes(body: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes of the prompt; the number of a token counts as 4 bytes.

    >>> count_completion_bytes({"prompt": [[11, 12, 13]]})
    12
    """
    return count_bytes(body.get("prompt"))


def count_response_bytes(body: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes of `input` and `instructions`."""
    given = body.get("input")
    said = _count_message_bytes(given) if isinstance(given, list) else count_bytes(given)
    return said + count_bytes(body.get("instructions"))


def count_message_bytes(body: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes of `messages` and `system`."""
    return _count_message_bytes(body.get("messages")) + count_bytes(body.get("system"))


def _count_message_bytes(messages: object) -> int:
    if not isinstance(messages, list):
        return 0
    return sum(count_bytes(item.get("content")) for item in messages if isinstance(item, dict))


def count_bytes(content: Any) -> int:  # noqa: ANN401  # because a client's JSON may be anything
    """Return the UTF-8 bytes of a text, of texts or of tokens."""
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


def add_defaults(body: Body, defaults: Mapping[str, Any]) -> Body:
    """Return a body with these fields where the client left them out."""
    merged = dict(body)
    for name, value in defaults.items():
        # why: OpenAI renamed max_tokens, and a client may set the limit by either name.
        names = _one_limit if name in _one_limit else (name,)
        if all(merged.get(alias) is None for alias in names):
            merged[name] = value
    return merged


def _rename(
    defaults: Mapping[str, Any], names: Mapping[str, str], known: frozenset[str], path: str
) -> Body:
    renamed = {names.get(field, field): value for field, value in defaults.items()}
    if others := sorted(set(renamed) - known):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            f"{path} has no field {others[0]}, which this model sets by spec.prompt.defaults. "
            "Use /v1/chat/completions.",
        )
    return renamed


def _keep_counted(defaults: Mapping[str, Any]) -> Body:
    return {field: value for field, value in defaults.items() if field in COUNTED_FIELDS}


def _add_system_message(body: Body, system: str | None) -> Body:
    messages = body.get("messages")
    if not system or not isinstance(messages, list):
        return body
    first = messages[0] if messages else None
    if not isinstance(first, dict) or first.get("role") not in _system_roles:
        return {**body, "messages": [{"role": "system", "content": system}, *messages]}
    joined = {**first, "content": _join(system, first.get("content"))}
    return {**body, "messages": [joined, *messages[1:]]}


def _add_system_field(body: Body, system: str | None) -> Body:
    return {**body, "system": _join(system, body.get("system"))} if system else body


def _join(system: str, content: Any) -> Any:  # noqa: ANN401  # because a client's JSON may be anything
    if isinstance(content, list):
        return [{"type": "text", "text": system}, *content]
    return f"{system}\n\n{content}" if content else system
