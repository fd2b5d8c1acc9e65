"""What a contributor is told to type exists, and CI types the same."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "changelog.d/*.md", ".github/*.md")
    for page in REPOSITORY.glob(pattern)
)


def code(markdown: str) -> Iterator[str]:
    """The lines of code blocks, and the spans of code between them."""
    for index, part in enumerate(re.split(r"^```.*$", markdown, flags=re.MULTILINE)):
        if index % 2:
            yield from part.splitlines()
        else:
            yield from re.findall(r"`([^`\n]+)`", part)


def targets(command: str) -> list[str]:
    """The targets that a command line asks make for."""
    call = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*make ((?:[a-z][a-z-]*(?: |$))+)", command.strip())
    return call[1].split() if call else []


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("make check", ["check"]),
        ("$ make demo    # minutes", ["demo"]),
        ("LLMD_TEST_STAGES=unit make test", ["test"]),
        ('make release VERSION="1"', ["release"]),
        ("make format check", ["format", "check"]),
        ("helm install llm chart", []),
    ],
)
def test_targets_are_read_from_a_command(command: str, expected: list[str]) -> None:
    assert targets(command) == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_names_targets_that_exist(page: Path) -> None:
    named = {target for line in code(page.read_text()) for target in targets(line)}

    assert named - TARGETS == set()


def test_the_pages_name_targets_at_all() -> None:
    named = {
        str(page.relative_to(REPOSITORY)): {
            target for line in code(page.read_text()) for target in targets(line)
        }
        for page in PAGES
    }

    assert named["CONTRIBUTING.md"] >= {"check", "test", "changelog", "crds", "lock"}
    assert named["README.md"] >= {"demo"}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name in {"design", "changelog.d", ".github"}]
    + [REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_paths_that_contributing_names_exist() -> None:
    spans = " ".join(code((REPOSITORY / "CONTRIBUTING.md").read_text())).split()
    roots = ("tests/", "dev/", "docs/", "requirements/", "charts/", "manifests/", "bench/")

    named = {span for span in spans if span.startswith(roots)}
    assert {name for name in named if not list(REPOSITORY.glob(name))} == set()
    assert "tests/component" in named


def test_contributing_says_what_is_in_each_room_of_the_operator() -> None:
    package = REPOSITORY / "operator/src/llmdeployment_operator"
    rooms = {
        f"`{path.parent.relative_to(package)}/`"
        for path in package.glob("*/**/*.py")
        if path.name != "__init__.py"
    }

    rows = re.findall(
        r"^\| (`[^`]+`) \|", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert rooms - set(rows) == set()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_a_contributor_can_run(path: Path) -> None:
    for step in steps(path):
        for line in step.get("run", "").splitlines():
            program = line.split()[0]
            known = targets(line) and set(targets(line)) <= TARGETS
            assert known or os.access(REPOSITORY / program, os.X_OK), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_trusts_no_tag_and_takes_few_rights(path: Path) -> None:
    document = yaml.safe_load(path.read_text())

    assert document["permissions"] == {"contents": "read"}
    assert document["concurrency"]["group"]
    for name, job in jobs(path).items():
        assert "uses" in job or job["timeout-minutes"] <= 120, name
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert not writes or (path.name, name) == ("release.yml", "publish")
    for line in path.read_text().splitlines():
        if action := re.search(r"uses: ([^.\s].*)", line):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action[1]), line


def test_the_release_names_no_registry() -> None:
    text = (REPOSITORY / ".github/workflows/release.yml").read_text()
    text += (REPOSITORY / "dev/publish.sh").read_text().replace("registry.example/", "")

    assert re.findall(r"\b[a-z0-9-]+\.(?:io|com|net|org|dev)\b", text) == []
