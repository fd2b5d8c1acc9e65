"""A model hub on this machine, as far as `huggingface_hub` looks: listings with sizes, files by revision, the hub's error headers."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from typing_extensions import override

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "acme/tiny"
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": bytes(range(256)) * 4096,
    "tokenizer.json": b"{}",
    "README.md": b"not wanted",
}

_INFO = {
    "id": REPOSITORY,
    "modelId": REPOSITORY,
    "sha": COMMIT,
    "siblings": [{"rfilename": name, "size": len(data)} for name, data in FILES.items()],
    "tags": [],
    "private": False,
}
_TREE = [
    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha256(data).hexdigest()[:40]}
    for name, data in FILES.items()
]


class Hub(ThreadingHTTPServer):
    """Holds `FILES` as `REPOSITORY` at `main` and `COMMIT`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.token: str | None = None
        """With it, only requests that carry it are answered."""
        self.gated = False
        """Refuses with the hub's words for "accept the licence first"."""
        self.cut: str | None = None
        """The file whose second half never arrives."""
        self.downloads: list[str] = []

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.server_port}"

    @override
    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server
        if not isinstance(hub, Hub):
            raise TypeError(hub)
        path = urlsplit(self.path).path
        if hub.gated:
            return self._refuse(401, "GatedRepo", "Access to this model is restricted.")
        allowed = not hub.token or self.headers.get("authorization") == f"Bearer {hub.token}"
        if not allowed or not path.startswith((f"/api/models/{REPOSITORY}/", f"/{REPOSITORY}/")):
            return self._refuse(404 if allowed else 401, "RepoNotFound", "Repository Not Found")
        api = f"/api/models/{REPOSITORY}"
        if path in (f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            return self._json(_INFO)
        if path == f"{api}/tree/{COMMIT}":
            return self._json(_TREE)
        prefix = f"/{REPOSITORY}/resolve/{COMMIT}/"
        if path.startswith(prefix) and (name := path.removeprefix(prefix)) in FILES:
            return self._file(hub, name, with_body=with_body)
        return self._refuse(404, "RevisionNotFound", "Invalid rev id")

    def _json(self, document: object) -> None:
        body = json.dumps(document).encode()
        self._head(200, len(body), {"content-type": "application/json"})
        self.wfile.write(body)

    def _file(self, hub: Hub, name: str, *, with_body: bool) -> None:
        data = FILES[name]
        headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"', "x-repo-commit": COMMIT}
        self._head(200, len(data), headers)
        if not with_body:
            return
        hub.downloads.append(name)
        if hub.cut == name:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._head(status, 0, {"x-error-code": code, "x-error-message": message})

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
