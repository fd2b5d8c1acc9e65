import hashlib
from pathlib import Path

import pytest

from llmdeployment_gateway.keys import KeysError, read_keys


def sha(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        ({"alice": b"sk-1", "bob": b"sk-2"}, {sha(b"sk-1"): "alice", sha(b"sk-2"): "bob"}),
        ({"alice": b"sk-1\n"}, {sha(b"sk-1"): "alice"}),
        ({"alice": b" sk-1\r\n"}, {sha(b"sk-1"): "alice"}),
        ({"alice": b"sk-1", "empty": b"\n"}, {sha(b"sk-1"): "alice"}),
        ({"a": b"same", "b": b"same"}, {sha(b"same"): "a"}),
        ({".hidden": b"sk-1"}, {}),
        ({}, {}),
    ],
    ids=["two", "newline", "windows", "empty-file", "twice", "kubelets-own", "none"],
)
def test_keys_are_kept_as_hashes(
    tmp_path: Path, files: dict[str, bytes], keys: dict[str, str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    assert read_keys(tmp_path) == keys


def test_a_mounted_secret_is_read_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "alice").write_text("sk-1")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "alice").symlink_to("..data/alice")

    assert read_keys(tmp_path) == {sha(b"sk-1"): "alice"}


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read"):
        read_keys(tmp_path / "none")
