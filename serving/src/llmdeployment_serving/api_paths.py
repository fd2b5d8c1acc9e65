"""The paths of the API that lead to the engine, by engine and task."""

from collections.abc import Callable
from dataclasses import dataclass

from llmdeployment_serving.body_forms import (
    CHAT,
    COMPLETION,
    COUNTED_MESSAGE,
    DETOKENIZED,
    MESSAGE,
    POOLED,
    RESPONSE,
    TEXT,
    TOKENIZED,
    BodyForm,
)
from llmdeployment_serving.engine import Send
from llmdeployment_serving.model_tasks import EMBEDDING_PATH, GENERATES, ModelTask, Task
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
_TOKENS = (
    ApiPath("/tokenize", TOKENIZED, "/tokenize"),
    ApiPath("/detokenize", DETOKENIZED, "/detokenize"),
)
_MORE = (
    ApiPath(RESPONSE_PATH, RESPONSE, RESPONSE_PATH),
    ApiPath(MESSAGE_PATH, MESSAGE, MESSAGE_PATH),
    ApiPath(COUNT_PATH, COUNTED_MESSAGE, COUNT_PATH),
    *_TOKENS,
)
SHADOWED = (CHAT_PATH, COMPLETION_PATH, EMBEDDING_PATH)
"""Paths whose requests can be repeated at another revision."""

OWN_PATHS = ("/v1/models", "/health", "/stats")
"""Paths that every replica answers to GET."""


def list_paths(engine: str, model: ModelTask = GENERATES) -> dict[str, ApiPath]:
    """Return the paths that an engine answers with a model.

    >>> list(list_paths("simulated"))
    ['/v1/chat/completions', '/v1/completions', '/generate_text']
    """
    if model.task == Task.GENERATE:
        known = (*_GENERATION, *_MORE) if engine == "vllm" else _GENERATION
    else:
        pooled = (ApiPath(path, POOLED[path], path) for path in model.paths)
        known = (*pooled, *(_TOKENS if engine == "vllm" else ()))
    return {each.path: each for each in known}


def explain_absence(method: str, path: str, engine: str, model: ModelTask) -> str:
    """Return the message for a path that a replica does not answer.

    >>> explain_absence("POST", "/v1/embeddings", "simulated", GENERATES)
    'this model generates text and has no /v1/embeddings. Use one of: /v1/chat/completions, /v1/completions, /generate_text.'
    """
    known = list_paths(engine, model)
    generates = model.task == Task.GENERATE
    if path not in known and (path in POOLED or (not generates and path in list_paths("vllm"))):
        return f"this model {model.verb} and has no {path}. Use one of: {', '.join(known)}."
    served = ", ".join((*known, *OWN_PATHS))
    return f"{method} {path} is not served here. This replica serves {served}."
