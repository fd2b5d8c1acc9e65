"""One file on its way from its source to a folder: resumed where it stopped, and checked before it has its name."""

import errno
import hashlib
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import requests
import urllib3

from llmdeployment_serving.errors import FetchError, join_lines
from llmdeployment_serving.weights.files import Digest, RemoteFile, Request

CHUNK_BYTES = 1024 * 1024
MOST_TRIES = 1000
"""Connections for one file at most, each of which must have brought something."""
_timeout_seconds = (10, 60)
"""Until a connection, and between two pieces of data."""
_full = (errno.ENOSPC, errno.EDQUOT)

Explain = Callable[[int, str], str]
"""The sentence for a status of the source, and the words of its header `x-error-code`."""


def build_hash(kind: str, size: int) -> "hashlib._Hash":
    """Return an empty hash of a kind of `Digest`, for a file of `size` bytes.

    Source of git's: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects ("blob", the length, a zero byte, the content).

    >>> build_hash("git", 0).hexdigest()
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    if kind == "git":
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return hashlib.new(kind, usedforsecurity=kind == "sha256")


def hash_file(path: Path, kind: str) -> str:
    """Return the digest of a file that is there."""
    made = build_hash(kind, path.stat().st_size)
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            made.update(chunk)
    return made.hexdigest()


class PartialFile:
    """A file that is being written, with the hashes of what it holds."""

    def __init__(self, path: Path, file: RemoteFile, open_file: Callable[..., IO[bytes]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            # No earlier try left it, and what it leads to is not ours to write.
            path.unlink()
        self._path = path
        self._file = file
        self._handle = open_file(path, "ab", buffering=0)
        self._kinds = {"sha256", file.digest.kind if file.digest else "sha256"}
        self._hashes = self._start_hashes()
        self.size = 0
        if path.stat().st_size > file.size:
            self.restart()
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK_BYTES):
                self._count(chunk)

    def append(self, chunk: bytes) -> None:
        """Write a piece at the end."""
        left = memoryview(chunk)
        while left:
            # A volume that is nearly full takes a part.
            left = left[self._handle.write(left) :]
        self._count(chunk)

    def restart(self) -> None:
        """Forget what there is."""
        self._handle.truncate(0)
        self._hashes = self._start_hashes()
        self.size = 0

    def digest(self, kind: str) -> str:
        """Return the digest of what there is."""
        return str(self._hashes[kind].hexdigest())

    def finish(self, final: Path) -> None:
        """Give the file its name, after it is on the disk: a name that outlives a power cut stands for a whole file."""
        os.fsync(self._handle.fileno())
        final.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(final)

    def close(self) -> None:
        """Let go of it; what there is stays for the next try."""
        self._handle.close()

    def _start_hashes(self) -> dict[str, Any]:
        return {kind: build_hash(kind, self._file.size) for kind in self._kinds}

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        for each in self._hashes.values():
            each.update(chunk)


def receive(
    file: RemoteFile,
    locate: Callable[[RemoteFile], Request],
    explain: Explain,
    source: str,
    *,
    partial: Path,
    final: Path,
    open_file: Callable[..., IO[bytes]] = Path.open,
) -> str:
    """Bring a file to `final`, and return its SHA-256.

    Args:
        file: what is expected.
        locate: how it is asked for.
        explain: the sentence for an error of the source.
        source: for messages.
        partial: where it grows; what is there from an earlier try is kept.
        final: where it lies once it is whole and checked.
        open_file: opens the partial file; a test's own can fail.

    Raises:
        FetchError: one sentence. What arrived stays in `partial`, unless it is not what was expected.
    """
    writer = None
    try:
        writer = PartialFile(partial, file, open_file)
        checked = _fill(writer, file, locate, explain, source)
        if checked is not None and (found := writer.digest(checked.kind)) != checked.hex:
            writer.restart()
            raise FetchError(
                f"{file.name} of {source} is not what it should be ({checked.kind} {found[:12]} instead of "
                f"{checked.hex[:12]}): it is downloaded again"
            )
        writer.finish(final)
        return writer.digest("sha256")
    except OSError as error:
        raise FetchError(describe_disk_error(error, f"{file.name} of {source}")) from error
    finally:
        if writer is not None:
            writer.close()


def describe_disk_error(error: OSError, what: str) -> str:
    """Return the sentence for a volume that refuses a write."""
    if error.errno in _full:
        return f"the volume is full, so {what} cannot be written: give the volume more room"
    told = error.strerror or type(error).__name__
    return f"{what} cannot be written ({told}): check the volume"


def _fill(
    writer: PartialFile,
    file: RemoteFile,
    locate: Callable[[RemoteFile], Request],
    explain: Explain,
    source: str,
) -> Digest | None:
    """Receive what is missing, and return what the content has to be."""
    checked = file.digest
    for _ in range(MOST_TRIES):
        before = writer.size
        if before == file.size:
            return checked
        try:
            checked = _receive_some(writer, file, locate(file), explain, source)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # A connection that brought something may break: the next one goes on.
            if writer.size <= before:
                raise FetchError(_describe_break(error, source)) from error
            continue
        if writer.size == file.size:
            return checked
        if writer.size > file.size or writer.size <= before:
            found = writer.size
            writer.restart()
            raise FetchError(
                f"{file.name} of {source} arrived with {found} of {file.size} bytes: the download is tried again"
            )
    raise FetchError(f"{file.name} of {source} arrives in too many pieces: check the network")


def _receive_some(
    writer: PartialFile, file: RemoteFile, request: Request, explain: Explain, source: str
) -> Digest | None:
    headers = {**request.headers, "accept-encoding": "identity"}
    if writer.size:
        headers["range"] = f"bytes={writer.size}-"
    if file.etag:
        headers["if-match"] = f'"{file.etag}"'
    with requests.get(
        request.url, headers=headers, stream=True, timeout=_timeout_seconds
    ) as response:
        status = response.status_code
        if status == HTTPStatus.PRECONDITION_FAILED:
            raise FetchError(f"{file.name} of {source} has changed since it was listed: try again")
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What is here is longer than what is there.
            writer.restart()
            raise FetchError(
                f"{file.name} of {source} is shorter than was said: the download is tried again"
            )
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise FetchError(explain(status, response.headers.get("x-error-code", "")))
        if status == HTTPStatus.OK:
            # A server that knows no ranges begins anew.
            writer.restart()
        # What has arrived, not a full chunk: a connection that breaks loses nothing.
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
            if writer.size + len(chunk) > file.size:
                writer.restart()
                raise FetchError(
                    f"{file.name} of {source} is longer than was said ({file.size} bytes): the download is tried again"
                )
            writer.append(chunk)
        return _choose_check(file.digest, response.headers)


def _choose_check(digest: Digest | None, headers: Any) -> Digest | None:  # noqa: ANN401  # because requests has no public type of headers
    """Return what the content has to be. An encrypted object's ETag looks like an MD5 and is none."""
    encrypted = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    encrypted |= "x-amz-server-side-encryption-customer-algorithm" in headers
    return None if digest is not None and digest.kind == "md5" and encrypted else digest


def _describe_break(error: Exception, source: str) -> str:
    # The text of the library names the URL, which may be signed.
    kind = type(error).__name__
    return join_lines(
        f"{source} could not be downloaded ({kind}): check the network from this pod to the source"
    )
