"""A folder on a web server, with the list that `sha256sum` writes of it."""

import hashlib
from collections.abc import Mapping
from urllib.parse import unquote

from tests.support.file_server import FileAnswer, FileServer
from typing_extensions import override


class WebFolder(FileServer):
    """Holds files below `/models/`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(_Answer)
        rows = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
        self.list = "".join(rows).encode()
        self.content = {**files, "SHA256SUMS": self.list}
        self.token = ""
        """With it, only requests that carry it are answered."""

    @property
    def source(self) -> str:
        return f"{self.url}/models/SHA256SUMS"

    @property
    def sha256(self) -> str:
        """Of the list, as in `spec.model.sha256`."""
        return hashlib.sha256(self.list).hexdigest()


class _Answer(FileAnswer):
    @override
    def answer(self) -> None:
        folder = self.server
        assert isinstance(folder, WebFolder)
        if folder.token and self.headers.get("authorization") != f"Bearer {folder.token}":
            return self.send_head(401, 0, {})
        name = unquote(self.path).removeprefix("/models/")
        if name not in folder.content:
            return self.send_head(404, 0, {})
        return self.send_file(name, folder.content[name], {})
