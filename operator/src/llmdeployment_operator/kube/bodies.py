"""What others send: bodies of answers, read within a bound, since whoever answers may be anybody; and texts of Secrets."""

import base64
from collections.abc import Mapping
from typing import Any

import aiohttp


async def read_bounded(content: aiohttp.StreamReader, most: int) -> bytes:
    """Return a whole body.

    Raises:
        ValueError: it has more than `most` bytes.
    """
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > most:
            raise ValueError(f"the answer has more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def read_secret(secret: Mapping[str, Any], key: str) -> str:
    """Return the text of one key of a Secret, empty if it has none."""
    encoded = (secret.get("data") or {}).get(key, "")
    return base64.b64decode(encoded).decode(errors="replace")
