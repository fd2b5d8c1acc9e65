"""The archive of `kubectl llm` and krew's manifest. tests/chart/test_release.py builds and runs the program itself."""

import hashlib
import tarfile
from pathlib import Path

import pytest
import yaml
from dev.plugin import (
    ARCHIVE,
    MANIFEST,
    PROGRAM,
    PYTHONS,
    REPOSITORY,
    write_archive,
    write_manifest,
)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    program = tmp_path / PROGRAM
    program.write_text("#!/usr/bin/env python3\n")
    program.chmod(0o755)
    write_archive(REPOSITORY, tmp_path)
    return tmp_path


def test_the_archive_has_the_program_and_the_licence(dist: Path) -> None:
    with tarfile.open(dist / ARCHIVE) as archive:
        members = {member.name: member.mode & 0o111 for member in archive.getmembers()}

    assert members == {PROGRAM: 0o111, "LICENSE": 0}


def test_the_same_content_gives_the_same_archive(dist: Path) -> None:
    before = (dist / ARCHIVE).read_bytes()
    (dist / PROGRAM).touch()
    write_archive(REPOSITORY, dist)

    assert (dist / ARCHIVE).read_bytes() == before


@pytest.mark.parametrize(
    "downloads", ["https://files.example/v0.1.0", "https://files.example/v0.1.0/"]
)
def test_the_manifest_is_one_that_krew_reads(dist: Path, downloads: str) -> None:
    write_manifest(dist, "0.1.0", downloads)

    manifest = yaml.safe_load((dist / MANIFEST).read_text())
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "llm")
    assert manifest["spec"]["version"] == "v0.1.0"
    assert len(manifest["spec"]["shortDescription"]) <= 60
    (platform,) = manifest["spec"]["platforms"]
    assert platform == {
        "selector": {"matchLabels": {"os": "linux", "arch": "amd64"}},
        "uri": f"https://files.example/v0.1.0/{ARCHIVE}",
        "sha256": hashlib.sha256((dist / ARCHIVE).read_bytes()).hexdigest(),
        "bin": PROGRAM,
        "files": [{"from": PROGRAM, "to": "."}, {"from": "LICENSE", "to": "."}],
    }


def test_the_lock_has_the_pythons_of_the_program() -> None:
    """The hashes of other versions are not in requirements/cli.txt."""
    text = (REPOSITORY / "pyproject.toml").read_text()

    assert 'requires-python = ">=3.11,<3.14"' in text
    assert PYTHONS == ("3.11", "3.12", "3.13")
