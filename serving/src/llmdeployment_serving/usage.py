"""Reads the tokens that an answer reports: `usage`, as OpenAI's APIs and Anthropic's have it."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """The tokens of one answer."""

    output_tokens: int
    prompt_tokens: int
    cached_tokens: int | None
    """Prompt tokens that were in the prefix cache; None if the engine does not report it (vLLM: `enable-prompt-tokens-details`)."""


_pooled_usage = re.compile(rb'"usage"\s*:\s*\{([^{}]*)\}')
_KEPT_BYTES = 1024


def find_pooled_usage(body: bytes) -> Usage | None:
    """Return the usage of vectors, scores or labels: an answer of megabytes is not parsed for it.

    Engines write it at the end, and rerankers at the beginning. In a document that the answer repeats, quotes have a backslash.

    >>> find_pooled_usage(b'{"data":[],"usage":{"prompt_tokens":9,"total_tokens":9}}')
    Usage(output_tokens=0, prompt_tokens=9, cached_tokens=None)
    """
    for part in (body[-_KEPT_BYTES:], body[:_KEPT_BYTES]):
        if found := _pooled_usage.search(part):
            # Rerankers do not report the tokens that they do not write.
            return _parse_usage(b'{"usage":{"completion_tokens":0,' + found[1] + b"}}")
    return None


def find_usage(body: bytes) -> Usage | None:
    """Return the last usage in a whole answer or in server-sent events, or None if there is none that can be read.

    >>> find_usage(b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}')
    Usage(output_tokens=5, prompt_tokens=9, cached_tokens=None)
    >>> find_usage(b'data: {"usage":{"input_tokens":7,"cache_read_input_tokens":2,"output_tokens":5}}')
    Usage(output_tokens=5, prompt_tokens=9, cached_tokens=2)
    """
    # why: parsing every chunk of every stream is expensive. In a model's text the quotes of this word are escaped.
    if b'"usage"' not in body:
        return None
    found = None
    for line in [body] if body.startswith(b"{") else body.splitlines():
        found = _parse_usage(line.removeprefix(b"data:")) or found
    return found


def _parse_usage(document: bytes) -> Usage | None:
    try:
        parsed = json.loads(document)
        # why: `/v1/responses` reports it in the event of the whole response.
        usage = (parsed.get("response") or parsed)["usage"]
        return _read_usage(usage) if "prompt_tokens" in usage else _read_input_usage(usage)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _read_usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        _read_count(usage["completion_tokens"]),
        _read_count(usage["prompt_tokens"]),
        _read_optional(details.get("cached_tokens")),
    )


def _read_input_usage(usage: dict[str, Any]) -> Usage:
    """Return the usage of `/v1/responses`, or of `/v1/messages`, whose `input_tokens` leaves out those of the cache."""
    outside = [
        _read_optional(usage.get(field))
        for field in ("cache_read_input_tokens", "cache_creation_input_tokens")
    ]
    details = usage.get("input_tokens_details") or {}
    inside = _read_optional(details.get("cached_tokens"))
    return Usage(
        _read_count(usage["output_tokens"]),
        _read_count(usage["input_tokens"]) + sum(count or 0 for count in outside),
        outside[0] if inside is None else inside,
    )


def _read_optional(value: Any) -> int | None:  # noqa: ANN401  # because an engine's JSON may be anything
    return None if value is None else _read_count(value)


def _read_count(value: Any) -> int:  # noqa: ANN401  # because an engine's JSON may be anything
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of tokens")
    return value
