from __future__ import annotations

import errno
import hashlib
import os
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.support.web_folder import WebFolder

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights.files import Digest, RemoteFile, Request
from llmdeployment_serving.weights.transfer import describe_disk_error, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "w.safetensors"
DATA = bytes(range(251)) * 4000
SUM = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[WebFolder]:
    with WebFolder({NAME: DATA}) as folder:
        yield folder


def bring(
    server: WebFolder,
    folder: Path,
    file: RemoteFile | None = None,
    open_file: Callable[..., IO[bytes]] | None = None,
) -> str:
    given: dict[str, Any] = {} if open_file is None else {"open_file": open_file}
    return receive(
        file or RemoteFile(NAME, len(DATA), Digest("sha256", SUM)),
        lambda file: Request(f"{server.url}/models/{file.name}"),
        lambda status, _: f"status {status}",
        "s3://a/b",
        partial=folder / "part",
        final=folder / "final",
        **given,
    )


def test_a_file_arrives_whole_and_under_its_name(server: WebFolder, tmp_path: Path) -> None:
    assert bring(server, tmp_path) == SUM
    assert (tmp_path / "final").read_bytes() == DATA
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("held", [1, len(DATA) // 2, len(DATA) - 1, len(DATA)])
def test_what_is_here_is_not_asked_for_again(server: WebFolder, tmp_path: Path, held: int) -> None:
    (tmp_path / "part").write_bytes(DATA[:held])
    assert bring(server, tmp_path) == SUM
    assert server.sent.bytes == len(DATA) - held


def test_a_connection_that_breaks_is_followed_by_one_that_goes_on(
    server: WebFolder, tmp_path: Path
) -> None:
    server.cut = NAME
    assert bring(server, tmp_path) == SUM
    assert server.sent.bytes == len(DATA)
    assert len(server.sent.names) > 2


def test_a_partial_file_of_something_else_is_found_out_and_begun_anew(
    server: WebFolder, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(b"x" * 1000)
    with pytest.raises(FetchError, match="is not what it should be"):
        bring(server, tmp_path)
    assert bring(server, tmp_path) == SUM


def test_a_partial_file_that_is_too_long_is_begun_anew(server: WebFolder, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(DATA + b"x")
    assert bring(server, tmp_path) == SUM


def test_a_link_in_place_of_a_partial_file_is_not_followed(
    server: WebFolder, tmp_path: Path
) -> None:
    other = DATA + b"x"
    (tmp_path / "outside").write_bytes(other)
    (tmp_path / "part").symlink_to(tmp_path / "outside")
    assert bring(server, tmp_path) == SUM
    assert (tmp_path / "outside").read_bytes() == other
    assert not (tmp_path / "final").is_symlink()


def test_a_damaged_file_gets_no_name(server: WebFolder, tmp_path: Path) -> None:
    server.damaged = NAME
    with pytest.raises(FetchError) as told:
        bring(server, tmp_path)
    assert f"{NAME} of s3://a/b is not what it should be (sha256 " in str(told.value)
    assert f"instead of {SUM[:12]}): it is downloaded again" in str(told.value)
    assert not (tmp_path / "final").exists()


def test_a_file_that_is_shorter_than_was_said(server: WebFolder, tmp_path: Path) -> None:
    server.short = NAME
    half = len(DATA) // 2
    with pytest.raises(FetchError) as told:
        bring(server, tmp_path)
    expected = (
        f"{NAME} of s3://a/b arrived with {half} of {len(DATA)} bytes: the download is tried again"
    )
    assert str(told.value) == expected


def test_a_file_that_is_longer_than_was_said(server: WebFolder, tmp_path: Path) -> None:
    short = RemoteFile(NAME, len(DATA) - 1, Digest("sha256", SUM))
    with pytest.raises(FetchError, match="is longer than was said"):
        bring(server, tmp_path, short)


def test_an_object_that_changed_since_it_was_listed(server: WebFolder, tmp_path: Path) -> None:
    changed = RemoteFile(NAME, len(DATA), None, "v1")
    with pytest.raises(FetchError, match="has changed since it was listed"):
        bring(server, tmp_path, changed)


def test_a_refusal_is_told_in_the_words_of_the_source(server: WebFolder, tmp_path: Path) -> None:
    server.refused[NAME] = 403
    with pytest.raises(FetchError, match=r"^status 403$"):
        bring(server, tmp_path)


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as told:
        receive(
            RemoteFile(NAME, 1),
            lambda _: Request("http://127.0.0.1:9/secret-signature"),
            lambda status, _: f"status {status}",
            "s3://a/b",
            partial=tmp_path / "part",
            final=tmp_path / "final",
        )
    assert "check the network from this pod to the source" in str(told.value)
    assert "signature" not in str(told.value)


class FullVolume:
    """A file on a volume with room for `room` bytes."""

    def __init__(self, handle: IO[bytes], room: int) -> None:
        self._handle = handle
        self._room = room

    def write(self, data: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._handle.write(data[: self._room])
        self._room -= written
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self._handle, name)


def test_a_full_volume_is_told_and_what_arrived_stays(server: WebFolder, tmp_path: Path) -> None:
    def open_full(path: Path, mode: str, **options: Any) -> Any:
        return FullVolume(path.open(mode, **options), len(DATA) // 2)

    (tmp_path / "part").write_bytes(DATA[:10])
    with pytest.raises(FetchError) as told:
        bring(server, tmp_path, open_file=open_full)
    assert str(told.value) == (
        f"the volume is full, so {NAME} of s3://a/b cannot be written: give the volume more room"
    )
    assert not (tmp_path / "final").exists()
    held = (tmp_path / "part").stat().st_size
    assert held == 10 + len(DATA) // 2
    assert bring(server, tmp_path) == SUM
    assert server.sent.starts == [10, held]


def test_another_error_of_the_volume_names_its_reason() -> None:
    told = describe_disk_error(OSError(errno.EIO, "Input/output error"), "w")
    assert told == "w cannot be written (Input/output error): check the volume"


def test_a_hash_of_git_and_of_an_object_are_checked_too(server: WebFolder, tmp_path: Path) -> None:
    git = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA, usedforsecurity=False).hexdigest()
    assert bring(server, tmp_path, RemoteFile(NAME, len(DATA), Digest("git", git))) == SUM
    with pytest.raises(FetchError, match="is not what it should be"):
        bring(server, tmp_path, RemoteFile(NAME, len(DATA), Digest("md5", "0" * 32)))
