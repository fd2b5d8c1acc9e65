"""A conversation through the gateway, answers as they come."""

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
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from llmdeployment_cli.errors import Refusal

KEY_VARIABLE = "LLMD_API_KEY"
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:([0-9]+) ")
_SECONDS = 600
"""How long the gateway may stay silent: it holds requests while no replica is ready."""
_UNAUTHORIZED = 401

Message = dict[str, str]
"""`role` and `content`, as OpenAI has it."""


@dataclass(frozen=True)
class Endpoint:
    """Where and as whom one asks.

    Attributes:
        url: base URL, without `/v1`.
        model: what goes into `model`.
        key: API key, or None.
        user: value of `x-user`, by which the gateway chooses the revision, or None.
    """

    url: str
    model: str
    key: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer on its way: who gives it, and its text piece by piece."""

    revision: str | None
    arm: str | None
    pieces: Iterator[str]


def build_request(endpoint: Endpoint, messages: Sequence[Message]) -> urllib.request.Request:
    """Return the request of the next answer."""
    if not endpoint.url.startswith(("http://", "https://")):
        raise Refusal(f"--url {endpoint.url}: it must begin with http:// or https://")
    body = {"model": endpoint.model, "messages": list(messages), "stream": True}
    base = endpoint.url.rstrip("/").removesuffix("/v1")
    asked = urllib.request.Request(  # noqa: S310  because the scheme was looked at above
        f"{base}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": "text/event-stream"},
    )
    if endpoint.user is not None:
        asked.add_header("x-user", endpoint.user)
    if endpoint.key is not None:
        # Unredirected: it is this server's, and no other one's.
        asked.add_unredirected_header("authorization", f"Bearer {endpoint.key}")
    return asked


def parse_stream(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the text of a stream of server-sent events, as chat completions come.

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
    raise Refusal("the answer broke off: its replica ended, or the connection")


def ask(endpoint: Endpoint, messages: Sequence[Message]) -> Answer:
    """Send a conversation and return its answer, whose text may still be on its way.

    Raises:
        Refusal: the gateway does not answer, or refuses.
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
        raise Refusal(f"{endpoint.url} does not answer: {error}") from error
    return Answer(
        answer.headers.get("x-llm-revision"), answer.headers.get("x-llm-arm"), _read_answer(answer)
    )


def read_key(file: Path | None) -> str | None:
    """Return the API key of a file, else of the environment; never of an argument, which every user of the machine sees.

    Raises:
        Refusal: the file cannot be read, or holds none.
    """
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"--key-file {file}: {error}") from error
    if not found:
        raise Refusal(f"--key-file {file} is empty")
    return found


@contextmanager
def forward_port(name: str, namespace: str, context: str | None) -> Iterator[str]:
    """Forward a free port of 127.0.0.1 to the gateway's Service while this is open; gives the base URL.

    Raises:
        Refusal: kubectl is not there, or cannot forward.
    """
    chosen = ["--context", context] if context is not None else []
    command = ["kubectl", *chosen, "-n", namespace, "port-forward", f"svc/{name}", ":80"]
    try:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise Refusal(f"kubectl cannot be started ({error}): say where with --url") from error
    with child:
        lines = child.stdout or ()
        # kubectl says a line for each connection: a pipe that nobody reads would stop it in the end.
        drain = threading.Thread(target=deque, args=(lines, 0), daemon=True)
        try:
            port = _read_port(lines)
            drain.start()
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            if drain.is_alive():
                drain.join()


def _read_port(lines: Iterable[str]) -> str:
    said: list[str] = []
    for line in lines:
        if found := _FORWARDING.match(line):
            return found.group(1)
        said.append(line.strip())
    raise Refusal(f"kubectl port-forward ended: {' '.join(said) or 'it said nothing'}")


def _read_answer(answer: HTTPResponse) -> Iterator[str]:
    with answer:
        try:
            yield from parse_stream(answer)
        except (OSError, HTTPException) as error:
            raise Refusal(f"the answer broke off: {error}") from error


def _parse_event(data: str) -> Iterator[str]:
    try:
        event: Any = json.loads(data)
        if "error" in event:
            raise Refusal(f"the model's server says: {_extract_message(event)}")
        for choice in event.get("choices") or ():
            if content := (choice.get("delta") or {}).get("content"):
                yield str(content)
    except (ValueError, TypeError, AttributeError) as error:
        raise Refusal(f"this is no chat completion: {data[:200]}") from error


def _explain_refusal(status: int, body: bytes, *, has_key: bool) -> Refusal:
    try:
        message = _extract_message(json.loads(body))
    except (ValueError, TypeError):
        message = body[:200].decode("utf-8", "replace")
    if status == _UNAUTHORIZED:
        how = (
            "is not one of the gateway's" if has_key else f"is needed: --key-file or {KEY_VARIABLE}"
        )
        return Refusal(f"an API key {how} ({message})")
    return Refusal(f"the gateway answers {status}: {message}")


def _extract_message(event: object) -> str:
    found = event.get("error") if isinstance(event, dict) else None
    return str(found.get("message", found)) if isinstance(found, dict) else str(found or event)
