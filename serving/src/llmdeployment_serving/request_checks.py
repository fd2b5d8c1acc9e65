"""What is refused of a request's body: what is no JSON object, and fields that vLLM does not check itself.

Without these checks vLLM answers 500 instead of 400. Each was found by Schemathesis (`python -m bench.openapi`) with vLLM 0.32.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.errors import RefusedError

LONGEST_PENALTY = 50
"""vLLM raises a length to the power of `length_penalty`, at most 131,072 ** 50 = 1e255 here, which a double still holds."""


def check_request(body: Mapping[str, Any]) -> None:
    """Refuse what would end in a fault of the server.

    >>> check_request({"structured_outputs": {"choice": ["yes", "no"]}, "length_penalty": 0.5})

    Raises:
        RefusedError: the field and what it may be, with status 400.
    """
    for field in ("structured_outputs", "response_format"):
        if body.get(field) is not None and not isinstance(body[field], dict):
            raise _refuse(f"{field} must be an object")
    penalty = body.get("length_penalty")
    if isinstance(penalty, int | float) and not -LONGEST_PENALTY <= penalty <= LONGEST_PENALTY:
        raise _refuse(f"length_penalty must be between -{LONGEST_PENALTY} and {LONGEST_PENALTY}")


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return a request's body.

    Raises:
        RefusedError: it is no JSON object, with status 400.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "the request body is not valid JSON. Correct it."
        ) from None
    if not isinstance(body, dict):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "the request body is not a JSON object. Send an object with model and messages.",
        )
    return body


def _refuse(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"{message}. Correct it.")
