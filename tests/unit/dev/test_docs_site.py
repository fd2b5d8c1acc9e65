"""The site has every page, and its links lead to the copies that it has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev import docs_site

PAGE = docs_site.DOCS / "start" / "on-kind.md"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name functions of Python."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def list_pages(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(value, list):
            yield from list_pages(value)
        else:
            yield value


def test_the_site_lists_every_page_once() -> None:
    text = (docs_site.REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    listed = list(list_pages(yaml.load(text, Loader)["nav"]))  # noqa: S506  # because the loader is a safe one

    there = {str(page.relative_to(docs_site.DOCS)) for page in docs_site.DOCS.rglob("*.md")}
    assert sorted(listed) == sorted(there)


def test_the_map_links_every_page() -> None:
    text = (docs_site.DOCS / "README.md").read_text(encoding="utf-8")
    linked = {
        *docs_site.list_linked(text, docs_site.DOCS / "README.md"),
        docs_site.DOCS / "README.md",
    }

    listed = {
        page for room in ("design", "runbooks") for page in docs_site.DOCS.rglob(f"{room}/*.md")
    }
    there = set(docs_site.DOCS.rglob("*.md")) - {page for page in listed if page.stem != "README"}
    assert there - linked == set()


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](../reference/cli.md#undo)", "[a](../reference/cli.md#undo)"),
        ("[a](../../CONTRIBUTING.md#review)", "[a](../repository/CONTRIBUTING.md#review)"),
        ("[a](../../.github/CODEOWNERS)", "[a](../repository/github/CODEOWNERS)"),
        ("[a](../../manifests/samples) b", "[a] b"),
        ("[a](https://example.com/x.md)", "[a](https://example.com/x.md)"),
    ],
)
def test_a_link_leads_to_the_copy(link: str, expected: str) -> None:
    assert docs_site.rewrite_links(link, PAGE) == expected


def test_the_files_that_a_page_links_to_are_found() -> None:
    text = "[a](first-canary.md), [b](../../SECURITY.md), [c](https://example.com)"

    found = docs_site.list_linked(text, PAGE)
    assert found == [PAGE.parent / "first-canary.md", Path(docs_site.REPOSITORY / "SECURITY.md")]
