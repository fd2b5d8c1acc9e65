"""Reads the tokens that an answer reports: OpenAI's `usage`."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """The tokens of one answer."""

    output_tokens: int
    prompt_tokens: int
    cached_tokens: int | None
    """Prompt tokens that were in the prefix cache; None if the engine does not report it (vLLM: `enable-prompt-tokens-details`)."""


def find_usage(body: bytes) -> Usage | None:
    """Return the last usage in a whole answer or in server-sent events, or None if there is none that can be read.

    >>> find_usage(b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}')
    Usage(output_tokens=5, prompt_tokens=9, cached_tokens=None)
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
        usage = json.loads(document)["usage"]
        details = usage.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens")
        return Usage(
            _read_count(usage["completion_tokens"]),
            _read_count(usage["prompt_tokens"]),
            None if cached is None else _read_count(cached),
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _read_count(value: Any) -> int:  # noqa: ANN401  # because an engine's JSON may be anything
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of tokens")
    return value
