"""The API server of the cluster that the console runs in, by the ServiceAccount of its pod."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import urllib3

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.transport import ApiAnswer, ApiRequest
from llmdeployment_console.viewers import Viewer

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts the token and the certificate authority."""
_TOKEN_SECONDS = 60.0
"""The kubelet replaces a token long before it ends, so one of a minute ago is good."""
_CONNECTIONS = 16


class Token:
    """A token in a file, read again once a minute.

    Args:
        path: the file.
        clock: seconds that only grow.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._text = ""
        self._read = float("-inf")

    def read(self) -> str:
        """Return the token."""
        if self._clock() - self._read >= _TOKEN_SECONDS:
            self._text = self._path.read_text(encoding="utf-8").strip()
            self._read = self._clock()
        return self._text


@dataclass(frozen=True)
class AccountTransport:
    """A connection as a ServiceAccount, or by its right as somebody else.

    Attributes:
        host: the API server's address.
        pool: its connections.
        token: of the ServiceAccount.
        headers: sent with each request; several may have one name.
    """

    host: str
    pool: urllib3.PoolManager
    token: Token
    headers: Sequence[tuple[str, str]] = field(default=())

    def send(self, request: ApiRequest, seconds: float | None) -> ApiAnswer:
        """Send a request and return the answer, whatever its status."""
        headers = urllib3.HTTPHeaderDict(
            {"Accept": request.accept, "Authorization": f"Bearer {self.token.read()}"}
        )
        body = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = json.dumps(request.body).encode()
        for name, value in self.headers:
            headers.add(name, value)
        query = urlencode(list(request.query))
        url = f"{self.host}{request.path}{'?' if query else ''}{query}"
        answer = self.pool.request(
            request.method, url, body=body, headers=headers, timeout=seconds, redirect=False
        )
        return ApiAnswer(answer.status, answer.reason or "", answer.data)

    def impersonate(self, viewer: Viewer) -> Self:
        """Return a connection that acts as a viewer.

        Raises:
            ValueError: the viewer has no name, so the requests would be the ServiceAccount's own.
        """
        if not viewer.user:
            raise ValueError("nobody to act as")
        groups = [("Impersonate-Group", group) for group in viewer.groups]
        headers = [("Impersonate-User", viewer.user), *groups]
        return type(self)(self.host, self.pool, self.token, headers)


def open_account(host: str, port: str, folder: Path) -> AccountTransport:
    """Return the connection of a pod.

    Args:
        host: in `KUBERNETES_SERVICE_HOST`.
        port: in `KUBERNETES_SERVICE_PORT`.
        folder: has `token` and `ca.crt`.

    Raises:
        Refusal: this is no pod with a ServiceAccount.
    """
    authority = folder / "ca.crt"
    if not host or not authority.is_file():
        raise Refusal(
            "this is not a pod with a ServiceAccount's token. Use `kubectl llm console` outside of a cluster."
        )
    pool = urllib3.PoolManager(
        maxsize=_CONNECTIONS,
        ca_certs=str(authority),
        retries=urllib3.Retry(1, redirect=0, backoff_factor=0.2),
    )
    address = f"[{host}]" if ":" in host else host
    return AccountTransport(f"https://{address}:{port or '443'}", pool, Token(folder / "token"))
