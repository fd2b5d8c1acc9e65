"""Fields of a request that vLLM does not check itself: without these checks it answers 500 instead of 400.

Each was found by Schemathesis (`python -m bench.openapi`) with vLLM 0.32.
"""

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


def _refuse(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"{message}. Correct it.")
