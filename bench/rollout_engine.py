"""What a version is to each engine of the rollout matrix, and how an answer tells which version gave it.

The simulated engine repeats its prompt, so a version's system prompt is a word that comes back. A real model does not, but it counts: each
version's system prompt is ten tokens longer than the one before, and the `usage` of an answer says how long its prompt was.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

Object = dict[str, Any]

TOKENS_PER_SECOND = 5
"""Of the simulated engine; few, so that twenty long streams cost a small machine little."""
VLLM_TOKENS_PER_SECOND = 25
"""About what each of four streams gets of SmolLM2 on two cores while nothing else runs."""
VERSION = "version-"
"""Begins the one word of a version's system prompt."""
LENGTHENED = 10
"""Tokens by which a version's prompt is longer than that of the version before, with a real model."""


class Engine(Protocol):
    """What the matrix has to know of an engine."""

    tokens_per_second: int
    """Of one of several streams."""
    stream_options: Object
    """What a stream asks for beside its tokens."""

    def version(self, letter: str) -> Object:
        """Return what a version changes: the prompt, by which its answers are known, and an engine argument, which takes other pods."""

    def find_version(self, documents: Sequence[str]) -> str:
        """Return the letter of the version that gave an answer, from its bodies; several, when it tells several; or nothing."""

    def whole(self, events: Sequence[str], tokens: int) -> bool:
        """Return whether a stream of so many tokens came to its end; `events` with the last one, `[DONE]`."""


class Simulated:
    """The product's simulated engine."""

    tokens_per_second = TOKENS_PER_SECOND
    stream_options: Object = {}  # noqa: RUF012  # because nobody writes to it

    def version(self, letter: str) -> Object:
        """Return a word for a prompt, and a seed of its own."""
        args = {"decode-tokens-per-second": TOKENS_PER_SECOND, "seed": ord(letter)}
        return {
            "engine": {"name": "simulated", "args": args},
            "prompt": {"system": f"{VERSION}{letter}"},
        }

    def find_version(self, documents: Sequence[str]) -> str:
        """Return the letters in the text."""
        pieces = []
        for text in documents:
            with suppress(ValueError, KeyError, IndexError, TypeError):
                choice = json.loads(text)["choices"][0]
                pieces.append((choice.get("message") or choice["delta"]).get("content", ""))
        return letters_in("".join(pieces))

    def whole(self, events: Sequence[str], tokens: int) -> bool:
        """Count the events: one for each token, and the last."""
        return bool(events) and events[-1] == "[DONE]" and len(events) > tokens


class Vllm:
    """vLLM with a real model on a CPU."""

    tokens_per_second = VLLM_TOKENS_PER_SECOND
    stream_options: Object = {"stream_options": {"include_usage": True}}  # noqa: RUF012  # because nobody writes to it

    def __init__(self) -> None:
        self.first: int | None = None
        """Tokens of the prompt of version A, once it has answered alone."""

    def version(self, letter: str) -> Object:
        """Return a longer prompt, and a batch of another size."""
        number = ord(letter) - ord("A")
        args = {"max-model-len": 2048, "max-num-seqs": 32 + number}
        env = [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}]
        return {
            "engine": {"name": "vllm", "args": args, "env": env},
            "prompt": {"system": "Count" + " the" * LENGTHENED * (number + 1)},
        }

    def find_version(self, documents: Sequence[str]) -> str:
        """Return the letter of the prompt's length.

        >>> engine = Vllm()
        >>> documents = ['{"usage": {"prompt_tokens": 41, "completion_tokens": 3}}']
        >>> engine.find_version(documents)  # the first answer is of version A
        'A'
        >>> engine.find_version(['{"usage": {"prompt_tokens": 61}}']), engine.find_version(['{"usage": {"prompt_tokens": 62}}'])
        ('C', '?')
        """
        tokens = _usage(documents).get("prompt_tokens")
        if tokens is None:
            return ""
        if self.first is None:
            self.first = tokens
        number, rest = divmod(tokens - self.first, LENGTHENED)
        return chr(ord("A") + number) if rest == 0 and number >= 0 else "?"

    def whole(self, events: Sequence[str], tokens: int) -> bool:
        """Ask the usage: vLLM sends several tokens in one event when it is busy."""
        ended = bool(events) and events[-1] == "[DONE]"
        return ended and _usage(events).get("completion_tokens") == tokens


def letters_in(text: str) -> str:
    """Return the letters of the versions a text names, once each.

    >>> letters_in("[simulated] version-A hello version-A"), letters_in("hello")
    ('A', '')
    """
    words = (word.strip('",.') for word in text.split())
    return "".join(sorted({w.removeprefix(VERSION) for w in words if w.startswith(VERSION)}))


def _usage(documents: Iterable[str]) -> Object:
    found: Object = {}
    for text in documents:
        with suppress(ValueError, TypeError, AttributeError):
            found = json.loads(text).get("usage") or found
    return found
