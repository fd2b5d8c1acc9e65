"""`make release`: what it refuses, and what it does to the changelog. tests/chart/test_release.py runs it whole."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dev import images
from dev.cluster.stages import StageError
from dev.release import (
    REPOSITORY,
    build_release_notes,
    check_tree,
    check_versions,
    find_section,
    list_fragments,
    read_versions,
    write_changelog,
    write_checksums,
)
from dev.release_chart import CHART, PLACES, pin_images


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a changelog and one fragment."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (tmp_path / "changelog.d").mkdir()
    for name in ("README.md", "template.md.jinja"):
        shutil.copy(REPOSITORY / "changelog.d" / name, tmp_path / "changelog.d")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n<!-- towncrier release notes start -->\n\n## 0.1.0 (2026-11-27)\n\n- Old.\n"
    )
    (tmp_path / "changelog.d/7.fixed.md").write_text("- A fix.\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=first")
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    person = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", str(root), *person, *arguments], check=True, timeout=60)


def test_every_place_states_one_version() -> None:
    found = read_versions(REPOSITORY)

    assert set(found.values()) == {images.VERSION}
    assert {place.rpartition("/")[2] for place in found} == {
        "pyproject.toml",
        "Chart.yaml version",
        "Chart.yaml appVersion",
    }
    assert len(found) == 8


def test_another_version_is_refused_with_the_places_that_differ() -> None:
    with pytest.raises(StageError, match=r"this is not 9\.9\.9: .*gateway/pyproject.toml says"):
        check_versions(REPOSITORY, "9.9.9")


def test_a_tree_with_changes_is_refused(checkout: Path) -> None:
    check_tree(checkout)
    (checkout / "new.txt").touch()

    with pytest.raises(StageError, match=r"new\.txt"):
        check_tree(checkout)


def test_the_notes_come_from_the_fragments_and_the_changelog_stays(checkout: Path) -> None:
    before = (checkout / "CHANGELOG.md").read_text()

    notes = build_release_notes(checkout, "0.2.0")

    assert "## 0.2.0 (" in notes
    assert "### Fixed\n\n- A fix.\n" in notes
    assert (checkout / "CHANGELOG.md").read_text() == before


def test_fragments_move_into_the_changelog_once(checkout: Path) -> None:
    write_changelog(checkout, "0.2.0")
    written = (checkout / "CHANGELOG.md").read_text()
    write_changelog(checkout, "0.2.0")

    assert list_fragments(checkout) == []
    assert (checkout / "CHANGELOG.md").read_text() == written
    assert "### Fixed\n\n- A fix.\n" in find_section(written, "0.2.0")
    assert find_section(written, "0.1.0") == "## 0.1.0 (2026-11-27)\n\n- Old.\n"
    assert build_release_notes(checkout, "0.2.0") == find_section(written, "0.2.0")


def test_a_fragment_after_the_release_asks_for_another_version(checkout: Path) -> None:
    with pytest.raises(StageError, match=r"has 0\.1\.0 already, without 7\.fixed\.md"):
        build_release_notes(checkout, "0.1.0")


def test_nothing_to_say_is_nothing_to_release(checkout: Path) -> None:
    (checkout / "changelog.d/7.fixed.md").unlink()

    with pytest.raises(StageError, match="no changelog fragment"):
        build_release_notes(checkout, "0.2.0")


def test_the_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")

    write_checksums(tmp_path)

    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "a.txt: OK\nb.txt: OK\n"


DIGEST = f"sha256:{'a1' * 32}"


def test_digests_that_are_known_become_values() -> None:
    before = (REPOSITORY / CHART / "values.yaml").read_text()

    text = pin_images(before, "registry.example/team", dict.fromkeys(PLACES, DIGEST))

    image = yaml.safe_load(text)["image"]
    assert image["operator"]["digest"] == image["gateway"]["digest"] == DIGEST
    assert image["serving"]["digests"] == dict.fromkeys(("gpu", "cpu", "simulated"), DIGEST)
    assert image["serving"]["repository"] == "registry.example/team/serving"
    changed = zip(before.splitlines(), text.splitlines(), strict=True)
    assert sum(old != new for old, new in changed) == len(PLACES) + 4


@pytest.mark.parametrize(
    "digests", [{"operator": "latest"}, {"serving": DIGEST}], ids=["a tag", "no flavor"]
)
def test_what_is_no_digest_of_an_image_is_refused(digests: dict[str, str]) -> None:
    values = (REPOSITORY / CHART / "values.yaml").read_text()

    with pytest.raises(StageError, match="is not the digest of an image"):
        pin_images(values, "registry.example/team", digests)
