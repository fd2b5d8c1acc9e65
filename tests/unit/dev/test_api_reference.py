"""The page of the fields is made from today's CRD; LLMD_UPDATE_GOLDEN=1 writes it anew, as `make crds` does."""

import os

import pytest
from dev import api_reference

PAGE = api_reference.PAGE


def test_the_page_is_the_one_of_the_crd() -> None:
    text = api_reference.draw()
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run `make crds`"


@pytest.mark.parametrize(
    "line",
    [
        "| `tensor` | integer, 1 to 64 | `1` | Accelerators that share each layer. |",
        "## spec.rollout.steps[]",
        "## status.revisions[]",
    ],
)
def test_the_page_has(line: str) -> None:
    assert line in api_reference.draw().splitlines()
