"""The changelog's fragments are lists that towncrier can render."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dev.release import list_fragments

REPOSITORY = Path(__file__).resolve().parents[3]
TOWNCRIER = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["towncrier"]
KINDS = "|".join(kind["directory"] for kind in TOWNCRIER["type"])
FRAGMENTS = list_fragments(REPOSITORY)


def name_is_right(name: str) -> bool:
    return bool(re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({KINDS})(\.\d+)?\.md", name))


def faults(text: str) -> list[str]:
    found = []
    if not text.startswith("- "):
        found.append("does not begin with a list item")
    if not text.endswith("\n") or text.endswith("\n\n"):
        found.append("does not end with one line break")
    for number, line in enumerate(text.splitlines(), 1):
        if not re.match(r"- \S|  \S", line):
            found.append(f"line {number} is neither an item nor indented by two spaces")
        if len(line) >= 120:
            found.append(f"line {number} has {len(line)} characters")
    return found


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_well_formed(path: Path) -> None:
    assert name_is_right(path.name)
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    "name", ["fix.md", "12.md", "12.bugfix.md", "+Upper.fixed.md", "some-words.fixed.md"]
)
def test_a_name_that_towncrier_would_not_read_is_refused(name: str) -> None:
    assert not name_is_right(name)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Words without a list.\n", "does not begin with a list item"),
        ("- An item.", "does not end with one line break"),
        ("- An item.\nNot indented.\n", "line 2 is neither an item nor indented by two spaces"),
        ("- An item.\n\n- Another.\n", "line 2 is neither an item nor indented by two spaces"),
        (f"- {'long ' * 30}\n", "line 1 has 152 characters"),
    ],
)
def test_a_fragment_that_is_no_list_is_refused(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_the_draft_holds_every_line_of_every_fragment() -> None:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    missing = [
        f"{path.name}: {line}"
        for path in FRAGMENTS
        for line in path.read_text().splitlines()
        if line not in lines
    ]
    assert missing == []
