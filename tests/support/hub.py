"""A stand-in for a model hub, as far as `huggingface_hub` looks: listings with sizes and digests, files by revision, error headers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.file_server import FileAnswer, FileServer
from typing_extensions import override

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEXT_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
REPOSITORY = "acme/tiny"
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": bytes(range(256)) * 4096,
    "tokenizer.json": b"{}",
    "README.md": b"not wanted",
}


class Hub(FileServer):
    """Holds files as `REPOSITORY`, at `main` and at the commit that this is now."""

    def __init__(self, files: Mapping[str, bytes] = FILES) -> None:
        super().__init__(_Answer)
        self.content = dict(files)
        self.main = COMMIT
        """The newest commit; each commit holds the same files."""
        self.token: str | None = None
        """With it, only requests that carry it are answered."""
        self.gated = False
        """Refuses with the hub's words for "accept the licence first"."""
        self.sizes = True
        """Without, lists tell no sizes and no digests, as those of some mirrors."""
        self.measurable = True
        """Without, HEAD tells no sizes either."""
        self.changes: dict[str, dict[str, Any]] = {}
        """What a list says of a file instead of the truth."""
        self.listed = 0
        """How often somebody asked for a list of files."""


class _Answer(FileAnswer):
    @override
    def answer(self) -> None:
        hub = self.server
        assert isinstance(hub, Hub)
        path = unquote(urlsplit(self.path).path)
        if hub.gated:
            return self._refuse(401, "GatedRepo", "Access to this model is restricted.")
        allowed = not hub.token or self.headers.get("authorization") == f"Bearer {hub.token}"
        if not allowed or not path.startswith((f"/api/models/{REPOSITORY}/", f"/{REPOSITORY}/")):
            return self._refuse(404 if allowed else 401, "RepoNotFound", "Repository Not Found")
        commits = (COMMIT, NEXT_COMMIT)
        revision = path.removeprefix(f"/api/models/{REPOSITORY}/revision/")
        if revision in ("main", *commits):
            hub.listed += 1
            commit = hub.main if revision == "main" else revision
            return self.send_text(json.dumps(_describe(hub, commit)), "application/json")
        for commit in commits:
            name = path.removeprefix(f"/{REPOSITORY}/resolve/{commit}/")
            if name in hub.content:
                data = hub.content[name]
                if self.command == "HEAD" and not hub.measurable:
                    return self._send_head_without_length()
                etag = f'"{hashlib.sha256(data).hexdigest()}"'
                return self.send_file(name, data, {"etag": etag, "x-repo-commit": commit})
        return self._refuse(404, "RevisionNotFound", "Invalid rev id")

    def _send_head_without_length(self) -> None:
        self.send_response(200)
        self.send_header("connection", "close")
        self.end_headers()

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_head(status, 0, {"x-error-code": code, "x-error-message": message})


def _describe(hub: Hub, commit: str) -> dict[str, Any]:
    siblings = []
    for name, data in hub.content.items():
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        row: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
        if name.endswith((".safetensors", ".bin")):
            sha256 = hashlib.sha256(data).hexdigest()
            row["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 135}
        row |= hub.changes.get(name, {})
        siblings.append(row if hub.sizes else {"rfilename": name})
    return {
        "id": REPOSITORY,
        "modelId": REPOSITORY,
        "sha": commit,
        "siblings": siblings,
        "tags": [],
        "private": False,
    }
