"""What can go wrong, and how it is told.

    ServingError             one sentence that a user can act on
    |- ConfigError           the operator rendered, or the user wrote, something this replica refuses
    |- FetchError            the model's files could not be brought here
    |- AdapterError          a LoRA adapter that cannot be loaded; all else works on
    |- EngineDeadError       the engine stopped; only a new replica helps
    `- AnswerCutError        an answer that had begun cannot be ended

Every one of them is raised with exactly one line of text, because that line is all that travels: it is the last line
of the traceback Ray Serve keeps (`deployments[].message`) and the whole of a container's termination log.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

type_by_status = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "invalid_request_error",
    500: "internal_server_error",
    502: "upstream_error",
    503: "service_unavailable_error",
    504: "upstream_timeout_error",
}

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class ServingError(Exception):
    """An error with one sentence for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(join_lines(message))


class ConfigError(ServingError):
    """A `ServingConfig`, a `UserConfig` or an engine flag that is refused."""


class FetchError(ServingError):
    """Model files that could not be brought to this pod."""


class AdapterError(ServingError):
    """A LoRA adapter that cannot be loaded."""


class EngineDeadError(ServingError):
    """An engine that does not answer any more."""


class AnswerCutError(ServingError):
    """An answer of which the client has a part, and whose rest never came."""


def join_lines(text: str) -> str:
    """Return `text` with every run of white space, line ends included, made one space."""
    return " ".join(text.split())


def build_openai_error(status: int, message: str) -> dict[str, Any]:
    """Return the body OpenAI clients expect of a failed request."""
    kind = type_by_status.get(status, "internal_server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


async def send_error(send: Send, status: int, message: str, headers: Iterable[Header] = ()) -> None:
    """Answer an ASGI request with an OpenAI-style error."""
    body = json.dumps(build_openai_error(status, message)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body})


def write_termination_log(message: str) -> None:
    """Leave `message` where Kubernetes copies it from into the pod's status.

    The path is `LLMD_TERMINATION_LOG`, default Kubernetes' own. A machine without it (a laptop, a test) loses nothing: the
    message is on stderr as well.
    """
    path = Path(os.environ.get("LLMD_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):
        if path.exists() or "LLMD_TERMINATION_LOG" in os.environ:
            path.write_text(message, encoding="utf-8")
