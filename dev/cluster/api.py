"""Calls to an API server, and the kubeconfig for them."""

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REQUEST_SECONDS = 10
"""Seconds that one request may take."""


@dataclass(frozen=True)
class Access:
    """Address and credentials of an API server.

    Attributes:
        url: its base URL.
        ca: the file with its certificate authority.
        token: a bearer token.
    """

    url: str
    ca: Path
    token: str


class ApiError(Exception):
    """The server refused a request, or could not be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


def call(
    access: Access,
    method: str,
    path: str,
    body: object = None,
    content_type: str = "application/json",
) -> Any:  # noqa: ANN401  # because JSON may be anything
    """Make one request and decode the answer; `/readyz` and the like return text.

    Raises:
        ApiError: the answer is not 2xx, or there is none.
    """
    request = urllib.request.Request(  # noqa: S310  # because the address is our own and https
        access.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {access.token}", "Content-Type": content_type},
    )
    try:
        context = ssl.create_default_context(cafile=str(access.ca))
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=context) as answer:  # noqa: S310  # because the address is our own and https
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise ApiError(error.code, error.read().decode(errors="replace")[:500]) from error
    except OSError as error:
        raise ApiError(0, str(error)) from error
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_ready(access: Access) -> bool:
    """Return whether the server runs and all its checks pass."""
    try:
        return bool(access.ca.exists() and call(access, "GET", "/readyz") == "ok")
    except ApiError:
        return False


def apply(access: Access, path: str, body: dict[str, Any]) -> None:
    """Apply one object server-side, at its own path."""
    query = "?fieldManager=dev-cluster&force=true"
    call(access, "PATCH", path + query, body, "application/apply-patch+yaml")


def write_kubeconfig(path: Path, access: Access, user: str = "admin") -> None:
    """Write a kubeconfig (JSON is YAML) that only its owner can read."""
    name = "llmdeployment"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": access.url, "certificate-authority": str(access.ca)},
            }
        ],
        "users": [{"name": user, "user": {"token": access.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    }
    write_private(path, json.dumps(content, indent=1))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(path)
