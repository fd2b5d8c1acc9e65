"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for package in ("operator", "gateway", "serving", "cli")
    for path in (ROOT / package / "src").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[parts.index("src") + 1 :])


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_examples(path: Path) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module_name(path)))
    assert tried
    assert failed == 0
