"""How well two revisions' vectors of the same texts agree, for the shadow of a model that embeds."""

import json
import math
from collections.abc import Sequence
from typing import Any

SAME_COSINE = 0.99
"""Two vectors of a text are alike from this cosine on: rounding and other kernels cost some thousandths, other weights far more."""
MOST_TEXTS = 8
"""Texts of a request that are compared, the first ones: so many vectors of 4,096 numbers fit into a shadow's 1 MiB."""

Vectors = Sequence[Sequence[float]]


def build_vector_question(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the body to ask two revisions for vectors, or None without texts: numbers instead of base64, and nobody's name.

    >>> build_vector_question({"input": ["a"] * 99, "user": "ann"}) == {"input": ["a"] * 8, "encoding_format": "float"}
    True
    """
    given = body.get("input")
    if not isinstance(given, str | list):
        return None
    if isinstance(given, list) and not (given and isinstance(given[0], int)):
        body = {**body, "input": given[:MOST_TEXTS]}
    kept = {field: value for field, value in body.items() if field not in {"user", "request_id"}}
    return {**kept, "encoding_format": "float"}


def read_vectors(answer: bytes) -> Vectors | None:
    """Return the vectors of an answer in the order of their texts, or None if it has none that can be compared.

    >>> read_vectors(b'{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [1, 0]}]}')
    [[1, 0], [0, 2]]
    >>> read_vectors(b'{"data": [{"index": 0, "embedding": "AAAA"}]}') is None
    True
    """
    try:
        rows = sorted(json.loads(answer)["data"], key=lambda row: row["index"])
        vectors = [row["embedding"] for row in rows]
        # What has no length cannot be compared, and NaN has none.
        is_plain = bool(vectors) and all(math.isfinite(math.hypot(*vector)) for vector in vectors)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return vectors if is_plain else None


def measure_vector_agreement(ones: Vectors, others: Vectors) -> float:
    """Return the share of texts whose two vectors have a cosine of at least `SAME_COSINE`.

        cosine(a, b) = a . b / (|a| |b|)

    Here the first pair has a cosine of 1 and the second one of 0.6: half of the texts agree.

    >>> measure_vector_agreement([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [3.0, 4.0]])
    0.5
    """
    if len(ones) != len(others):
        return 0.0
    pairs = zip(ones, others, strict=True)
    return sum(measure_cosine(*pair) >= SAME_COSINE for pair in pairs) / len(ones)


def measure_cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors; 0 for those of unlike dimensions, and of no length.

    >>> measure_cosine([3.0, 4.0], [4.0, 3.0]), measure_cosine([1.0], [1.0, 0.0])
    (0.96, 0.0)
    """
    length = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not length:
        return 0.0
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / length
