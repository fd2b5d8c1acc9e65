"""The request log on a PersistentVolumeClaim: a folder for each pod, files that are closed after a while and compressed, and retention.

    <mount>/<namespace>/<LLMDeployment>/<pod>/requests-<time>.jsonl        is being written
    <mount>/<namespace>/<LLMDeployment>/<pod>/requests-<time>.jsonl.gz     is complete

Each pod writes its own folder alone. Retention is of all folders of the LLMDeployment, because pods that are gone remove nothing.
"""

import errno
import gzip
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmdeployment_serving.log_queue import Reason, SinkError
from llmdeployment_serving.log_stdout import encode, write_all

logger = logging.getLogger(__name__)

MOUNT = Path("/var/log/llmdeployment")
"""Where the operator mounts the claim."""
FILE_BYTES = 64 * 1024 * 1024
"""Bytes after which a file is closed and compressed."""
FILE_SECONDS = 3600.0
"""Seconds after which it is, however small."""
OTHERS_SECONDS = 2 * FILE_SECONDS
"""Seconds that another pod's file must not have changed for, before retention may remove it uncompressed."""
REMOVE_SECONDS = 60.0
"""Seconds between two removals because of writes that are refused."""
COMPRESSION = 3
"""Level of gzip: more takes twice the time for a tenth of the size."""
DAY_SECONDS = 86_400
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_WRITE = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_PLAIN, _PACKED, _HALF = ".jsonl", ".gz", ".part"

Write = Callable[[int, bytes], None]


@dataclass(frozen=True)
class Retention:
    """How long lines are kept: days, and bytes of all files of the LLMDeployment."""

    days: int
    most_bytes: int


class FileSink:
    """Writes lines to files.

    Args:
        mount: where the claim is mounted.
        folder: of this pod, below it: namespace, LLMDeployment and pod.
        retention: how long lines are kept.
        read_time: seconds since 1970.
        write: writes bytes to a file descriptor.
    """

    def __init__(
        self,
        mount: Path,
        folder: Path,
        retention: Retention,
        read_time: Callable[[], float] = time.time,
        write: Write = write_all,
    ) -> None:
        self._mount = mount
        self._folder = mount / folder
        self._retention = retention
        self._read_time = read_time
        self._write = write
        self._file: int | None = None
        self._path = Path()
        self._size = 0
        self._opened_at = 0.0
        self._removed_at: float | None = None

    def write(self, records: list[dict[str, Any]]) -> None:
        """Write lines.

        Raises:
            SinkError: the claim is not mounted, full, or refuses a write.
        """
        try:
            self._append(b"".join(encode(record) for record in records))
        except OSError as error:
            self._make_room()
            raise SinkError(
                self._name_trouble(error), f"{self._folder}: {error.strerror}"
            ) from None
        if self._is_due():
            self.tend()

    def tend(self) -> None:
        """Remove what is too old or too much, and compress what is complete."""
        if self._is_due():
            self._close_file()
            # The next lines get a file of their own, also if this one cannot be compressed: else each write would try that again.
            self._path = Path()
        # First, because compression needs room, and each for itself, because a full claim would stay full.
        for step in (self._remove, self._pack):
            try:
                step()
            except OSError as error:
                # The lines are written; the next turn tries again.
                logger.warning("the request log cannot be tended: %s", error.strerror)

    def close(self) -> None:
        """Close the file. It is compressed by the container's next process, or removed when it is too old."""
        self._close_file()

    def _make_room(self) -> None:
        """Remove what is too old or too much, at most once in `REMOVE_SECONDS`: writes come many times a second."""
        now = self._read_time()
        if self._removed_at is None or not 0 <= now - self._removed_at < REMOVE_SECONDS:
            self._removed_at = now
            with suppress(OSError):
                self._remove()

    def _name_trouble(self, error: OSError) -> Reason:
        if not self._mount.is_dir():
            return "missing"
        return "full" if error.errno in _FULL else "failed"

    def _append(self, text: bytes) -> None:
        if self._file is None:
            self._open()
        file = self._file
        if file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        try:
            self._write(file, text)
        except OSError:
            # A line that was written in part would make the next one unreadable.
            with suppress(OSError):
                os.ftruncate(file, self._size)
            self._close_file()
            raise
        self._size += len(text)

    def _open(self) -> None:
        if not self._mount.is_dir():
            raise OSError(errno.ENOENT, f"{self._mount} is not mounted")
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        now = self._read_time()
        # After a write that was refused, the file goes on: a claim that stays full would get an empty file at each try.
        if now - self._opened_at >= FILE_SECONDS or not self._path.is_file():
            self._opened_at = now
            stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            self._path = self._folder / f"requests-{stamp}{_PLAIN}"
        self._file = os.open(self._path, _WRITE, 0o640)
        self._size = os.fstat(self._file).st_size

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _is_due(self) -> bool:
        age = self._read_time() - self._opened_at
        return self._file is not None and (self._size >= FILE_BYTES or age >= FILE_SECONDS)

    def _pack(self) -> None:
        """Compress the files of this pod that are complete, those of a process before this one too."""
        for half in self._folder.glob(f"*{_HALF}"):
            half.unlink()
        for path in sorted(self._folder.glob(f"*{_PLAIN}")):
            if self._file is not None and path == self._path:
                continue
            half = path.with_name(path.name + _PACKED + _HALF)
            try:
                with path.open("rb") as plain, gzip.open(half, "wb", COMPRESSION) as packed:
                    shutil.copyfileobj(plain, packed, 256 * 1024)
            except OSError:
                # The half would keep the room that the next lines need.
                half.unlink(missing_ok=True)
                raise
            half.rename(path.with_name(path.name + _PACKED))
            path.unlink()

    def _remove(self) -> None:
        """Remove files that are older than the retention, and then the oldest until the others are small enough."""
        now = self._read_time()
        found = sorted(self._list_files(now))
        total = sum(size for _, size, _ in found)
        for at, size, path in found:
            if (
                now - at < self._retention.days * DAY_SECONDS
                and total <= self._retention.most_bytes
            ):
                break
            path.unlink(missing_ok=True)
            total -= size
            # A pod that is gone leaves its folder; that of one that writes is not empty.
            with suppress(OSError):
                path.parent.rmdir()

    def _list_files(self, now: float) -> Iterator[tuple[float, int, Path]]:
        """Yield when it was written last, size and path of each file that nobody writes."""
        for path in self._folder.parent.glob(f"*/*{_PLAIN}*"):
            try:
                seen = path.stat()
            except FileNotFoundError:
                continue
            # Of its own files, a pod writes one at most. Others' are known by their time alone.
            is_others = path.suffix == _PLAIN and path.parent != self._folder
            is_open = is_others and now - seen.st_mtime < OTHERS_SECONDS
            if not is_open and path != self._path:
                yield seen.st_mtime, seen.st_size, path
