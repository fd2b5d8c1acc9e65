"""API keys as hashes. A key itself is never kept, written or logged."""

import hashlib
from pathlib import Path


class KeysError(Exception):
    """The API keys cannot be read, or there is none at the start."""


def read_keys(folder: Path) -> dict[str, str]:
    """Return the sha256 (hex) of each key, mapped to the key's name.

    Files whose name starts with a dot belong to kubelet. White space around a key is ignored, because `echo key > file`
    adds some. An empty file is no key.

    Raises:
        KeysError: the folder cannot be read.
    """
    found: dict[str, str] = {}
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for path in files:
            if path.is_file() and (key := path.read_bytes().strip()):
                found.setdefault(hashlib.sha256(key).hexdigest(), path.name)
    except OSError as error:
        raise KeysError(f"the API keys cannot be read: {error}") from error
    return found
