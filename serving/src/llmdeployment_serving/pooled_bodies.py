"""The bodies of requests that ask for vectors, scores or labels: what they may hold, and what a revision adds to them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.errors import RefusedError
from llmdeployment_serving.prompts import add_defaults, count_bytes, count_message_bytes

MOST_INPUTS = 2048
"""Texts in one request, at most: the limit of OpenAI's API for `input`, and of Jina's for `documents`."""
ENCODINGS = ("float", "base64", "bytes", "bytes_only")
"""vLLM's formats of vectors."""

_TEXTS = ("input", "query", "queries", "documents", "items", "data", "data_1", "data_2")
_INPUT_FIELDS = (*_TEXTS, "text_1", "text_2", "messages")
_COMMON = frozenset(
    {
        "cache_salt",
        "mm_processor_kwargs",
        "padding",
        "priority",
        "truncate_prompt_tokens",
        "truncation_side",
        "use_activation",
        "user",
    }
)
_ENCODED = frozenset({"add_special_tokens", "embed_dtype", "encoding_format", "endianness"})
EMBEDDING_FIELDS = _COMMON | _ENCODED | {"dimensions"}
"""Fields of `/v1/embeddings` that a default may set."""
POOLING_FIELDS = _COMMON | _ENCODED | {"task"}
"""Those of `/pooling`; vLLM refuses `dimensions` there."""
SCORING_FIELDS = _COMMON | {
    "chat_template_kwargs",
    "instruction",
    "max_tokens_per_doc",
    "max_tokens_per_query",
}
"""Those of `/v1/score`."""
RERANK_FIELDS = SCORING_FIELDS | {"top_n"}
"""Those of `/v1/rerank` and `/v2/rerank`."""
CLASSIFY_FIELDS = _COMMON | {"add_special_tokens"}
"""Those of `/classify`."""


def count_input_bytes(body: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes of all texts; the number of a token counts as 4 bytes.

    >>> count_input_bytes({"query": "abc", "documents": ["de", {"text": "f"}]})
    6
    """
    texts = sum(count_bytes(body.get(field)) for field in (*_TEXTS, "text_1", "text_2"))
    return texts + count_message_bytes(body)


def check_inputs(body: Mapping[str, Any]) -> None:
    """Refuse more texts than one request may hold, and a format that no engine has.

    >>> check_inputs({"input": ["a"] * MOST_INPUTS, "encoding_format": "base64"})

    Raises:
        RefusedError: the field and what it may be, with status 400.
    """
    for field in _INPUT_FIELDS:
        if (count := _count_inputs(body.get(field))) > MOST_INPUTS:
            raise _refuse(
                f"{field} has {count:,} entries, and a request may have {MOST_INPUTS:,}. "
                "Send several requests."
            )
    wanted = body.get("encoding_format")
    if wanted is not None and wanted not in ENCODINGS:
        raise _refuse(f"encoding_format must be one of {', '.join(ENCODINGS)}. Correct it.")


def _count_inputs(given: object) -> int:
    """Return how many texts there are: a list of numbers is the tokens of one."""
    if not isinstance(given, list) or (given and isinstance(given[0], int)):
        return 1
    return len(given)


def add_pooled_defaults(
    body: dict[str, Any], prompt: PromptConfig, path: str, known: frozenset[str]
) -> dict[str, Any]:
    """Return a body with the revision's defaults.

    >>> add_pooled_defaults({"input": "a"}, PromptConfig(defaults={"dimensions": 8}), "/v1/embeddings", EMBEDDING_FIELDS)
    {'input': 'a', 'dimensions': 8}

    Raises:
        RefusedError: the path has no place for a default, or for the revision's system text.
    """
    if prompt.system:
        raise _refuse(
            f"{path} has no place for a system text, and this model has one. "
            "Remove spec.prompt.system."
        )
    if others := sorted(set(prompt.defaults) - known):
        raise _refuse(
            f"{path} has no field {others[0]}, which this model sets by spec.prompt.defaults. "
            "Remove it there."
        )
    return add_defaults(body, prompt.defaults)


def _refuse(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, message)
