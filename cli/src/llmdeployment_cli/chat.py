"""A conversation through the gateway, with streamed answers."""

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags, list_kubectl_flags

KEY_VARIABLE = "LLMD_API_KEY"
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:([0-9]+) ")
_SECONDS = 600
"""How long the gateway may send nothing, in seconds: it holds requests while no replica is ready."""

Message = dict[str, str]
"""`role` and `content`, as in OpenAI's API."""


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and who sends them.

    Attributes:
        url: base URL, without `/v1`.
        model: value of the field `model`.
        key: API key, or None.
        user: value of `x-user`, by which the gateway chooses the revision, or None.
    """

    url: str
    model: str
    key: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer that is being streamed: the revision and arm that give it, and its text piece by piece."""

    revision: str | None
    arm: str | None
    pieces: Iterator[str]


def build_request(endpoint: Endpoint, messages: Sequence[Message]) -> urllib.request.Request:
    """Return the request of the next answer."""
    if not endpoint.url.startswith(("http://", "https://")):
        raise Refusal(f"--url is {endpoint.url}. It must begin with http:// or https://.")
    body = {"model": endpoint.model, "messages": list(messages), "stream": True}
    base = endpoint.url.rstrip("/").removesuffix("/v1")
    request = urllib.request.Request(  # noqa: S310  # because the scheme is checked above
        f"{base}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": "text/event-stream"},
    )
    if endpoint.user is not None:
        request.add_header("x-user", endpoint.user)
    if endpoint.key is not None:
        # Unredirected: the key is for this server and no other.
        request.add_unredirected_header("authorization", f"Bearer {endpoint.key}")
    return request


def parse_stream(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the text of a chat completion that is streamed as server-sent events.

    Raises:
        Refusal: the stream holds an error, or ends before it says that it is done.

    >>> list(parse_stream([b'data: {"choices": [{"delta": {"content": "Hi"}}]}', b"", b"data: [DONE]"]))
    ['Hi']
    """
    for line in lines:
        text = line.decode("utf-8", "replace").strip()
        if not text.startswith("data:"):
            continue
        data = text.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        yield from _parse_event(data)
    raise Refusal("the answer was cut off: the replica or the connection ended. Ask again.")


def ask(endpoint: Endpoint, messages: Sequence[Message]) -> Answer:
    """Send a conversation and return its answer, whose text may still be on its way.

    Raises:
        Refusal: the gateway does not answer, or refuses the request.
    """
    # A proxy for the outer world does not lead to a port of this machine.
    local = endpoint.url.startswith("http://127.0.0.1:")
    handlers = [urllib.request.ProxyHandler({})] if local else []
    try:
        answer: HTTPResponse = urllib.request.build_opener(*handlers).open(
            build_request(endpoint, messages), timeout=_SECONDS
        )
    except urllib.error.HTTPError as error:
        with error:
            raise _explain_refusal(
                error.code, error.read(), has_key=endpoint.key is not None
            ) from error
    except (OSError, HTTPException) as error:
        raise Refusal(
            f"{endpoint.url} does not answer ({error}). Check --url and whether the gateway runs."
        ) from error
    return Answer(
        answer.headers.get("x-llm-revision"), answer.headers.get("x-llm-arm"), _read_answer(answer)
    )


def read_key(file: Path | None) -> str | None:
    """Return the API key from a file, else from the environment.

    There is no argument for the key: every user of the machine sees the arguments of a process.

    Raises:
        Refusal: the file cannot be read, or holds no key.
    """
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"--key-file {file} cannot be read: {error}") from error
    if not found:
        raise Refusal(f"--key-file {file} is empty. Write the API key into it.")
    return found


@contextmanager
def forward_port(target: str, port: int, namespace: str, flags: Flags) -> Iterator[str]:
    """Forward a free port of 127.0.0.1 to a port of a Service or Deployment (`svc/chat`), and yield the base URL.

    Raises:
        Refusal: kubectl is missing, or cannot forward.
    """
    chosen = [*list_kubectl_flags(flags), "-n", namespace]
    command = ["kubectl", *chosen, "port-forward", target, f":{port}"]
    try:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise Refusal(
            f"kubectl cannot be started ({error}). Install it, or give the gateway's address with --url."
        ) from error
    with child:
        lines = child.stdout or ()
        # kubectl prints a line for each connection, and blocks once the pipe is full.
        drain = threading.Thread(target=deque, args=(lines, 0), daemon=True)
        try:
            local = _read_port(lines)
            drain.start()
            yield f"http://127.0.0.1:{local}"
        finally:
            child.terminate()
            if drain.is_alive():
                drain.join()


def _read_port(lines: Iterable[str]) -> str:
    printed: list[str] = []
    for line in lines:
        if found := _FORWARDING.match(line):
            return found.group(1)
        printed.append(line.strip())
    reason = " ".join(printed) or "it printed nothing"
    raise Refusal(f"kubectl port-forward ended: {reason}. --url reaches the gateway without it.")


def _read_answer(answer: HTTPResponse) -> Iterator[str]:
    with answer:
        try:
            yield from parse_stream(answer)
        except (OSError, HTTPException) as error:
            raise Refusal(f"the answer was cut off ({error}). Ask again.") from error


def _parse_event(data: str) -> Iterator[str]:
    try:
        event: Any = json.loads(data)
        if "error" in event:
            raise Refusal(f"the model's server failed: {_extract_message(event)}")
        for choice in event.get("choices") or ():
            if content := (choice.get("delta") or {}).get("content"):
                yield str(content)
    except (ValueError, TypeError, AttributeError) as error:
        raise Refusal(
            f"the answer is not a chat completion: {data[:200]}. Check that the URL is that of a gateway."
        ) from error


def _explain_refusal(status: int, body: bytes, *, has_key: bool) -> Refusal:
    try:
        message = _extract_message(json.loads(body))
    except (ValueError, TypeError):
        message = body[:200].decode("utf-8", "replace")
    if status == HTTPStatus.UNAUTHORIZED:
        if has_key:
            return Refusal(f"the gateway does not know this API key ({message})")
        return Refusal(
            f"the gateway requires an API key. Give it with --key-file or {KEY_VARIABLE} ({message})"
        )
    return Refusal(f"the gateway answered {status}: {message}")


def _extract_message(event: object) -> str:
    found = event.get("error") if isinstance(event, dict) else None
    return str(found.get("message", found)) if isinstance(found, dict) else str(found or event)
