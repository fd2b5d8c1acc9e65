"""The request log on a claim: folders, rotation, compression, retention, and a claim that is full, slow or gone.

A full disk is an OSError that is raised in the place of the write: nothing here has a disk of its own that could be filled.
"""

import errno
import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmdeployment_serving import log_files
from llmdeployment_serving.log_files import (
    DAY_SECONDS,
    FILE_SECONDS,
    REMOVE_SECONDS,
    FileSink,
    Retention,
)
from llmdeployment_serving.log_queue import SinkError
from llmdeployment_serving.log_stdout import write_all

FOLDER = Path("team/chat/chat-0")
KEEP = Retention(days=30, most_bytes=10**9)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """Writes, unless it is told what to raise; then it writes a part of the text first."""

    def __init__(self) -> None:
        self.trouble: int | None = None

    def __call__(self, file: int, text: bytes) -> None:
        if self.trouble is not None:
            os.write(file, text[: len(text) // 2])
            raise OSError(self.trouble, os.strerror(self.trouble))
        write_all(file, text)


def read(folder: Path) -> list[int]:
    """Return the numbers of all lines, by file."""
    found = []
    for path in sorted(folder.glob("*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [json.loads(line)["n"] for line in text.splitlines()]
    return found


def lines(*numbers: int, size: int = 0) -> list[dict[str, Any]]:
    return [{"n": number, "text": "x" * size} for number in numbers]


def test_lines_are_in_a_folder_of_the_pod_that_nobody_else_reads(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, FOLDER, KEEP, Clock())
    sink.write(lines(1, 2))
    sink.write(lines(3))
    (path,) = (tmp_path / FOLDER).iterdir()
    assert path.name == "requests-20231114T221320.000000Z.jsonl"
    assert path.stat().st_mode & 0o777 & 0o007 == 0
    assert read(tmp_path / FOLDER) == [1, 2, 3]
    sink.close()


@pytest.mark.parametrize("why", ["size", "age"])
def test_a_file_that_is_complete_is_compressed(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "FILE_BYTES", 1000)
    clock = Clock()
    sink = FileSink(tmp_path, FOLDER, KEEP, clock)
    sink.write(lines(1))
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".jsonl"]
    clock.now += FILE_SECONDS if why == "age" else 1
    sink.write(lines(2, size=1000 if why == "size" else 0))
    (path,) = (tmp_path / FOLDER).iterdir()
    assert path.name.endswith(".jsonl.gz")
    sink.write(lines(3))
    assert len(list((tmp_path / FOLDER).iterdir())) == 2
    assert read(tmp_path / FOLDER) == [1, 2, 3]
    sink.close()


def test_a_file_that_nobody_writes_to_is_compressed_when_it_is_tended(tmp_path: Path) -> None:
    clock = Clock()
    sink = FileSink(tmp_path, FOLDER, KEEP, clock)
    sink.write(lines(1))
    sink.tend()
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".jsonl"]
    clock.now += FILE_SECONDS
    sink.tend()
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".gz"]


def test_what_the_containers_last_process_left_is_compressed(tmp_path: Path) -> None:
    clock = Clock()
    first = FileSink(tmp_path, FOLDER, KEEP, clock)
    first.write(lines(1))
    first.close()
    (tmp_path / FOLDER / "requests-0.jsonl.gz.part").write_bytes(b"half")
    clock.now += 1
    second = FileSink(tmp_path, FOLDER, KEEP, clock)
    second.write(lines(2))
    second.tend()
    names = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert [name.partition(".jsonl")[2] for name in names] == [".gz", ""]
    assert read(tmp_path / FOLDER) == [1, 2]
    second.close()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EIO, "failed"),
        (errno.EROFS, "failed"),
    ],
)
def test_a_claim_that_refuses_a_write_has_no_half_lines(
    number: int, reason: str, tmp_path: Path
) -> None:
    disk, clock = Disk(), Clock()
    sink = FileSink(tmp_path, FOLDER, KEEP, clock, disk)
    sink.write(lines(1))
    disk.trouble = number
    for _ in range(2):
        clock.now += 1
        with pytest.raises(SinkError) as caught:
            sink.write(lines(2, 3))
        assert caught.value.reason == reason
    disk.trouble = None
    sink.write(lines(4))
    assert read(tmp_path / FOLDER) == [1, 4]
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    sink.close()


def test_a_claim_that_is_not_mounted_is_missing_until_it_is(tmp_path: Path) -> None:
    mount = tmp_path / "claim"
    sink = FileSink(mount, FOLDER, KEEP, Clock())
    with pytest.raises(SinkError, match="is not mounted") as caught:
        sink.write(lines(1))
    assert caught.value.reason == "missing"
    assert not mount.exists()
    sink.tend()
    mount.mkdir()
    sink.write(lines(2))
    assert read(mount / FOLDER) == [2]
    sink.close()


def leave(path: Path, days: float, size: int, clock: Clock) -> Path:
    """Make a file of a pod that is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    at = clock.now - days * DAY_SECONDS
    os.utime(path, (at, at))
    return path


def test_files_of_all_pods_are_removed_when_they_are_too_old(tmp_path: Path) -> None:
    clock = Clock()
    chat = tmp_path / "team" / "chat"
    gone = leave(chat / "chat-9" / "a.jsonl.gz", 30.001, 10, clock)
    left = leave(chat / "chat-8" / "a.jsonl", 29.9, 10, clock)
    other = leave(tmp_path / "team" / "other" / "pod" / "a.jsonl.gz", 400, 10, clock)
    sink = FileSink(tmp_path, FOLDER, KEEP, clock)
    sink.write(lines(1))
    sink.tend()
    assert not gone.parent.exists()
    assert left.exists()
    assert other.exists()
    sink.close()


def test_the_oldest_files_are_removed_until_the_others_fit(tmp_path: Path) -> None:
    clock = Clock()
    chat = tmp_path / "team" / "chat"
    days = (5.0, 4.0, 3.0, 2.0)
    files = [leave(chat / f"chat-{day}" / "a.jsonl.gz", day, 100, clock) for day in days]
    written = leave(chat / "chat-7" / "a.jsonl", 0.01, 10_000, clock)
    sink = FileSink(tmp_path, FOLDER, Retention(30, 250), clock)
    sink.write(lines(1))
    sink.tend()
    assert [path.exists() for path in files] == [False, False, True, True]
    assert written.exists(), "another pod writes it"
    assert read(tmp_path / FOLDER) == [1]
    sink.close()


def test_a_full_claim_does_not_stay_full(tmp_path: Path) -> None:
    clock, disk = Clock(), Disk()
    sink = FileSink(tmp_path, FOLDER, KEEP, clock, disk)
    sink.write(lines(1))
    disk.trouble = errno.ENOSPC
    gone = tmp_path / "team" / "chat" / "chat-9"
    for expected, seconds in ((False, 0.0), (True, REMOVE_SECONDS - 1), (False, 1.0)):
        clock.now += seconds
        old = leave(gone / "a.jsonl.gz", 31, 100, clock)
        with pytest.raises(SinkError):
            sink.write(lines(2))
        assert old.exists() is expected, "at most once a minute"
    sink.close()


def refuse_to_pack(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_compressed_keeps_nothing_from_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "FILE_BYTES", 1000)
    monkeypatch.setattr(shutil, "copyfileobj", refuse_to_pack)
    clock = Clock()
    old = leave(tmp_path / "team" / "chat" / "chat-9" / "a.jsonl.gz", 31, 100, clock)
    sink = FileSink(tmp_path, FOLDER, KEEP, clock)
    sink.write(lines(1, size=1000))
    assert not old.exists()
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".jsonl"], "no half remains"
    sink.close()


def test_a_file_that_cannot_be_compressed_is_tried_again_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "FILE_BYTES", 1000)
    tries = []

    def refuse(*_: object) -> None:
        tries.append(1)
        refuse_to_pack()

    clock = Clock()
    sink = FileSink(tmp_path, FOLDER, Retention(30, 1500), clock)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", refuse)
        sink.write(lines(1, size=1000))
        for number in (2, 3):
            clock.now += 1
            sink.write(lines(number))
        assert len(tries) == 1
        assert len(list((tmp_path / FOLDER).iterdir())) == 2
        sink.write(lines(4, size=1000))
        assert len(tries) == 2
    assert read(tmp_path / FOLDER) == [2, 3, 4], (
        "the oldest is removed, though it is not compressed"
    )
    sink.tend()
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".gz"]
    assert read(tmp_path / FOLDER) == [2, 3, 4]
    sink.close()
