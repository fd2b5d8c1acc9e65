"""Signs of life of a long build."""

import threading
from pathlib import Path

import pytest
from dev.cluster import go_builds
from dev.cluster.go_builds import count_packages, show_packages


def test_packages_are_counted_from_where_the_build_began(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    before = b"an/older/build\n"
    log.write_bytes(before + b"$ go build -v\ngo: downloading a/b v1\na/b\na/c\n# a warning\n")

    assert count_packages(log, len(before)) == 2
    assert count_packages(tmp_path / "none", 0) == 0


def test_a_build_that_lasts_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(go_builds, "PROGRESS_SECONDS", 0.01)
    said = threading.Event()
    counted = go_builds.count_packages

    def count(log: Path, begin: int) -> int:
        said.set()
        return counted(log, begin)

    monkeypatch.setattr(go_builds, "count_packages", count)
    log = tmp_path / "build.log"
    with show_packages(log):
        log.write_text("a/b\n")
        assert said.wait(10)

    assert " packages, " in capsys.readouterr().err
