"""The embeddings of the simulated engine: vectors of the words of a text, without a language model.

Each word has a direction of its own, drawn by its hash and the engine's seed, and a text has the sum of its words' at length 1. So equal
texts have equal vectors, texts with common words are alike, and engines with different seeds do not agree.
"""

import base64
import hashlib
import math
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.simulated_api import FINGERPRINT, BadRequestError

DIMENSIONS = 64


@dataclass(frozen=True)
class EmbeddingRequest:
    """A parsed request: its texts as words, and the form of its vectors."""

    texts: tuple[tuple[str, ...], ...]
    dimensions: int
    encoded: bool

    @property
    def tokens(self) -> int:
        """How many words there are."""
        return sum(map(len, self.texts))


def parse_embedding_request(body: dict[str, Any], model: str, limit: int) -> EmbeddingRequest:
    """Return the request in `body`, to a model whose texts have at most `limit` words.

    Raises:
        BadRequestError: it names another model, has no text, or asks for vectors that this engine does not make.
    """
    if body.get("model") not in (None, model):
        raise BadRequestError(f"the model {body['model']!r} does not exist", HTTPStatus.NOT_FOUND)
    given = body.get("input")
    texts: list[Any] = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) and text.split() for text in texts):
        raise BadRequestError("input must be a text or a list of texts, none of them empty")
    dimensions = body.get("dimensions") or DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= DIMENSIONS:
        raise BadRequestError(f"dimensions must be between 1 and {DIMENSIONS}")
    encoding = body.get("encoding_format") or "float"
    if encoding not in {"float", "base64"}:
        raise BadRequestError("the simulated engine has encoding_format float and base64 only")
    words = tuple(tuple(text.split()) for text in texts)
    if max(map(len, words)) > limit:
        raise BadRequestError(f"the model's context is {limit} tokens")
    return EmbeddingRequest(words, dimensions, encoding == "base64")


def embed_words(words: tuple[str, ...], dimensions: int = DIMENSIONS, seed: int = 0) -> list[float]:
    """Return the vector of a text, of length 1.

    >>> a, b = embed_words(("red", "car")), embed_words(("red", "bus"))
    >>> 0.2 < sum(x * y for x, y in zip(a, b, strict=True)) < 0.8
    True
    """
    total = [0.0] * dimensions
    for word in words:
        drawn = hashlib.sha512(f"{seed}:{word}".encode(errors="surrogatepass")).digest()
        total = [value + byte - 127.5 for value, byte in zip(total, drawn, strict=False)]
    length = math.sqrt(sum(value * value for value in total)) or 1.0
    return [value / length for value in total]


def render_embeddings(request: EmbeddingRequest, model: str, seed: int) -> dict[str, Any]:
    """Return OpenAI's answer."""
    vectors = (embed_words(words, request.dimensions, seed) for words in request.texts)
    rows = (_encode(vector) if request.encoded else vector for vector in vectors)
    return {
        "object": "list",
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "data": [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": request.tokens, "total_tokens": request.tokens},
    }


def _encode(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
