"""Bodies of answers, read within a bound: whoever answers may be anybody."""

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
