"""Errors, and how users read them.

    ServingError             one sentence that a user can act on
    |- ConfigError           the replica refuses what the operator rendered or the user wrote
    |- FetchError            the model's files could not be downloaded
    |- AdapterError          a LoRA adapter cannot be loaded; everything else works
    |- EngineDeadError       the engine stopped
    |- SelfTestError         the replica computes wrongly
    `- AnswerCutError        an answer that had begun cannot be finished

The message of each is exactly one line, because users see only one line: the last line of the traceback that Ray Serve keeps
(`deployments[].message`), or the whole of a container's termination log.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

type_by_status: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "invalid_request_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_TIMEOUT: "invalid_request_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "invalid_request_error",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_request_error",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_server_error",
    HTTPStatus.BAD_GATEWAY: "upstream_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "service_unavailable_error",
    HTTPStatus.GATEWAY_TIMEOUT: "upstream_timeout_error",
}

ENGINE_STOPPED = (
    "The engine stopped while it worked on this request. Send the request again. "
    "If that stops the engine too, tell the operator of this service."
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class ServingError(Exception):
    """An error with one sentence for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(join_lines(message))


class ConfigError(ServingError):
    """A `ServingConfig`, a `UserConfig` or an engine flag is not valid."""


class FetchError(ServingError):
    """Model files could not be downloaded to this pod."""


class AdapterError(ServingError):
    """A LoRA adapter cannot be loaded."""


class EngineDeadError(ServingError):
    """The engine no longer answers."""


class SelfTestError(ServingError):
    """The replica computes something else than the model does."""


class AnswerCutError(ServingError):
    """An answer ended after the client had got a part of it."""


class RefusedError(Exception):
    """A request that is refused before it reaches the engine."""

    def __init__(
        self, status: int, message: str, headers: tuple[Header, ...] = (), code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.code = code


MODEL_NOT_FOUND = "model_not_found"
"""OpenAI's code of a model that does not exist."""


def join_lines(text: str) -> str:
    """Return `text` in one line: every run of white space becomes one space."""
    return " ".join(text.split())


def build_openai_error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return the body that OpenAI clients expect of a failed request; without a `code` it has the status there."""
    kind = type_by_status.get(status, "internal_server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code or int(status)}}


def build_anthropic_error(status: int, message: str, _code: str | None = None) -> dict[str, Any]:
    """Return the body that Anthropic's clients expect of a failed request. It has no place for a code."""
    kind = (
        "overloaded_error"
        if status == HTTPStatus.SERVICE_UNAVAILABLE
        else type_by_status.get(status)
    )
    return {"type": "error", "error": {"type": kind or "api_error", "message": message}}


async def send_error(
    send: Send,
    status: int,
    message: str,
    headers: Iterable[Header] = (),
    *,
    code: str | None = None,
    build: Callable[[int, str, str | None], dict[str, Any]] = build_openai_error,
) -> None:
    """Answer an ASGI request with an error, in OpenAI's format unless `build` makes another one."""
    body = json.dumps(build(status, message, code)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body})


def write_termination_log(message: str) -> None:
    """Write `message` to the termination log, which Kubernetes copies into the pod's status.

    `LLMD_TERMINATION_LOG` sets the path; the default is that of Kubernetes. Without the file (on a laptop, in a test) nothing is
    written, since the message is on stderr as well.
    """
    path = Path(os.environ.get("LLMD_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):
        if path.exists() or "LLMD_TERMINATION_LOG" in os.environ:
            path.write_text(message, encoding="utf-8")
