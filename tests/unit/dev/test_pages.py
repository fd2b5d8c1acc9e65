"""The format of the pages: lines that fit, and links that lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = sorted(REPOSITORY.glob("docs/**/*.md"))
README, CONTRIBUTING = REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"
ALL = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "charts/*/*.md", "changelog.d/*.md", ".github/*.md")
    for page in REPOSITORY.glob(pattern)
)
LONGEST = 120


def read_prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of the lines of a page that are prose: no code, table or picture, and links without targets."""
    inside = False
    for number, line in enumerate(page.splitlines(), start=1):
        fence = line.lstrip().startswith("```")
        inside ^= fence
        if not (inside or fence or line.startswith(("|", "    ", "!["))):
            yield number, re.sub(r"\]\([^)]*\)", "]", line)


def list_anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them.

    >>> sorted(list_anchors("# Arms: A/B tests\\n## `status`, and *why*"))
    ['arms-ab-tests', 'status-and-why']
    """
    headings = re.findall(r"^#+ +(.*?) *$", re.sub(r"(?ms)^```.*?^```$", "", page), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def list_links(page: str) -> list[str]:
    """Return the relative links of a page.

    >>> list_links("[a](b.md#c), [d](https://e.example), ![f](g.png), [h](#i)")
    ['b.md#c', 'g.png', '#i']
    """
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def leads_somewhere(page: Path, link: str) -> bool:
    """Say whether a link's file exists and has the link's anchor."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return False
    return not anchor or anchor in list_anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page",
    [*DOCS, README, CONTRIBUTING],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_a_line_of_prose_fits(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [number for number, line in read_prose(text) if len(line) > LONGEST] == []


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_link_leads_somewhere(page: Path) -> None:
    links = list_links(page.read_text(encoding="utf-8"))

    assert [link for link in links if not leads_somewhere(page, link)] == []


def test_a_link_to_nowhere_is_found() -> None:
    assert leads_somewhere(README, "docs/concepts/benchmarks.md#live")
    assert not leads_somewhere(README, "docs/concepts/benchmarks.md#dead")
    assert not leads_somewhere(README, "docs/none.md")


def test_the_links_of_every_kind_of_page_are_checked() -> None:
    names = {str(page.relative_to(REPOSITORY)) for page in ALL}

    assert {
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "changelog.d/README.md",
    } <= names
    assert {"docs/README.md", "charts/llmdeployment-operator/README.md"} <= names
