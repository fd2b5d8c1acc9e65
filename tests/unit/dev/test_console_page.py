"""The console's page is built when its source changed, by a Node.js that can."""

from pathlib import Path

import pytest
from dev import browser, console_page
from dev.cluster.stages import StageError


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("v18.20.4", False),
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.0", True),
        ("nonsense", False),
        ("", False),
    ],
)
def test_a_node_is_new_enough_for_vite(version: str, usable: bool) -> None:  # noqa: FBT001  # because it is a row of the table
    assert console_page.is_new_enough(version) is usable


@pytest.mark.parametrize(("version", "found"), [("v18.20.4", False), ("v24.1.0", True)])
def test_an_old_node_of_the_machine_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, found: bool
) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert console_page.find_node() == (console_page.Node(tmp_path) if found else None)


def test_a_machine_without_node_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert console_page.find_node() is None


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.ts").write_text("a", encoding="utf-8")
    return folder


def test_the_hash_follows_contents_and_names(web: Path) -> None:
    before = console_page.hash_source(web)
    assert console_page.hash_source(web) == before
    (web / "src" / "a.ts").write_text("b", encoding="utf-8")
    changed = console_page.hash_source(web)
    (web / "src" / "a.ts").write_text("a", encoding="utf-8")
    (web / "src" / "a.ts").rename(web / "src" / "b.ts")
    assert len({before, changed, console_page.hash_source(web)}) == 3


def test_what_is_made_there_is_no_source(web: Path) -> None:
    before = console_page.hash_source(web)
    for name in console_page.MADE:
        (web / name).mkdir()
        (web / name / "x.js").write_text("x", encoding="utf-8")
    assert console_page.hash_source(web) == before


def test_a_page_of_the_same_source_is_not_built_again(
    tmp_path: Path, web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []

    def build() -> console_page.Node:
        built.append(1)
        (web / "dist").mkdir(exist_ok=True)
        (web / "dist" / "index.html").write_text(f"page {len(built)}", encoding="utf-8")
        return console_page.Node(tmp_path)

    monkeypatch.setenv("LLMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(console_page, "WEB", web)
    monkeypatch.setattr(console_page, "PAGE", tmp_path / "page")
    monkeypatch.setattr(console_page, "RUNBOOKS", tmp_path / "runbooks")
    (tmp_path / "runbooks").mkdir()
    runbook = tmp_path / "runbooks" / "OutOfMemory.md"
    runbook.write_text("one", encoding="utf-8")
    monkeypatch.setattr(console_page, "ensure_packages", build)
    monkeypatch.setattr(console_page, "run_logged", lambda *_, **__: None)
    console_page.ensure()
    page = console_page.ensure() / "index.html"
    assert page.read_text(encoding="utf-8") == "page 1"
    (page.parent / "old.js").write_text("old", encoding="utf-8")
    (web / "src" / "a.ts").write_text("b", encoding="utf-8")
    console_page.ensure()
    assert page.read_text(encoding="utf-8") == "page 2"
    assert not (page.parent / "old.js").exists()
    runbook.write_text("two", encoding="utf-8")
    copied = console_page.ensure() / "runbooks" / runbook.name
    assert copied.read_text(encoding="utf-8") == "two"


def test_without_a_browser_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StageError) as refused:
        browser.ensure_chromium()
    assert "there is no Chromium" in refused.value.explain()
    assert "chromium fonts-dejavu-core" in refused.value.explain()


def test_a_browser_of_the_machine_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "google-chrome"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.ensure_chromium() == program
