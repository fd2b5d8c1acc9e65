"""The API keys, as hashes: a key itself is never kept, written or logged."""

import hashlib
from pathlib import Path


class KeysError(Exception):
    """Clients must bring a key, and the keys cannot be read or there is none to begin with."""


def read_keys(folder: Path) -> dict[str, str]:
    """Return sha256 (hex) of each key to its name.

    Files whose name starts with a dot are the kubelet's own. White space around a key is not part of it, because
    `echo key > file` adds some; an empty file is no key.

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
        raise KeysError(f"API keys cannot be read: {error}") from error
    return found
