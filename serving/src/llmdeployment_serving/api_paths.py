"""The paths of the API that lead to the engine, by engine."""

from collections.abc import Callable
from dataclasses import dataclass

from llmdeployment_serving.body_forms import (
    CHAT,
    COMPLETION,
    COUNTED_MESSAGE,
    DETOKENIZED,
    MESSAGE,
    RESPONSE,
    TEXT,
    TOKENIZED,
    BodyForm,
)
from llmdeployment_serving.engine import Send
from llmdeployment_serving.plain_text import make_text_send

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"
RESPONSE_PATH = "/v1/responses"
MESSAGE_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
TEXT_PATH = "/generate_text"


@dataclass(frozen=True)
class ApiPath:
    """A path that takes POST, and the form of its bodies."""

    path: str
    form: BodyForm
    engine_path: str
    """Where the engine takes it."""
    wrap: Callable[[Send], Send] | None = None
    """Returns a `send` that changes the engine's answer."""


_GENERATION = (
    ApiPath(CHAT_PATH, CHAT, CHAT_PATH),
    ApiPath(COMPLETION_PATH, COMPLETION, COMPLETION_PATH),
    ApiPath(TEXT_PATH, TEXT, COMPLETION_PATH, make_text_send),
)
_MORE = (
    ApiPath(RESPONSE_PATH, RESPONSE, RESPONSE_PATH),
    ApiPath(MESSAGE_PATH, MESSAGE, MESSAGE_PATH),
    ApiPath(COUNT_PATH, COUNTED_MESSAGE, COUNT_PATH),
    ApiPath("/tokenize", TOKENIZED, "/tokenize"),
    ApiPath("/detokenize", DETOKENIZED, "/detokenize"),
)
SHADOWED = (CHAT_PATH, COMPLETION_PATH)
"""Paths whose requests can be repeated at another revision."""


def list_paths(engine: str) -> dict[str, ApiPath]:
    """Return the paths that an engine answers.

    >>> list(list_paths("simulated"))
    ['/v1/chat/completions', '/v1/completions', '/generate_text']
    """
    known = (*_GENERATION, *_MORE) if engine == "vllm" else _GENERATION
    return {each.path: each for each in known}
