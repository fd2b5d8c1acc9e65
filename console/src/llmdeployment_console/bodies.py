"""Bodies of requests: bounded in size and time, and checked."""

import asyncio
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from llmdeployment_console.guard import BODY_BYTES, explain_size
from llmdeployment_console.refusals import RequestRefused

_SECONDS = 10.0

_Body = TypeVar("_Body", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """Return a body of at most 1 MiB that arrives within 10 s.

    Raises:
        RequestRefused: it is larger or slower.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise explain_size()
    except TimeoutError:
        message = "The request did not arrive within 10 s. Send it again."
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "too_slow", message) from None
    return bytes(body)


def parse_body(kind: type[_Body], raw: bytes) -> _Body:
    """Return what a body says.

    Raises:
        RequestRefused: it is not of this kind; the message names the first field that is wrong.
    """
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        message = f"{where}: {first['msg']}. Reload the page."
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "bad_request", message) from None
