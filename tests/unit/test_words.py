"""One word per thing, and it is the field's: words that were the project's own are in no name any more."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("operator/src", "gateway/src", "serving/src", "cli/src", "console/src", "bench", "dev")

BANNED = {
    "eyes": "clients",
    "sight": "signals",
    "seeing": "observation",
    "scene": "inputs",
    "recall": "cache",
    "collector": "cache",
    "wish": "options or desired state",
    "wishes": "options or desired state",
    "aims": "desired state",
    "gathered": "collect",
    "judged": "compare",
    "warmed": "add_warm",
    "awaited": "await or wait_for",
    "noted": "record",
    "spoken": "report",
    "stranger": "foreign",
    "strangers": "foreign",
}
"""Parts of names, and what to write instead: the table of the project's words."""

PARTICIPLES = {
    "told": "report",
    "said": "report",
    "moved": "plan",
    "scaled": "plan",
    "taken": "take",
    "given": "give",
    "made": "make",
    "described": "describe",
    "merged": "merge",
    "checked": "check",
    "overlaid": "apply_overlay",
    "inherited": "inherit",
    "measured": "measure",
    "compared": "compare",
    "recorded": "read_recorded or record",
    "settled": "is_settled",
    "asked": "ask",
    "answered": "answer",
    "counted": "count",
    "planned": "plan",
    "finished": "read_finished or finish",
    "reached": "wait_until",
    "replayed": "replay",
    "restarted": "restart",
}
"""Whole names of functions: functions are verbs."""


def parts(name: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for each in (*node.args.args, *node.args.kwonlyargs):
                yield each.lineno, each.arg
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.lineno, field.target.id


def functions_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name


def files(*sources: str) -> list[Path]:
    return sorted(path for source in sources for path in (ROOT / source).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES)
def test_no_name_holds_a_word_of_our_own(source: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}: write {BANNED[part]}"
        for path in files(source)
        for line, name in names_in(ast.parse(path.read_text(encoding="utf-8")))
        for part in parts(name)
        if part in BANNED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", SOURCES)
def test_functions_are_verbs(source: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}: write a verb, such as {PARTICIPLES[name.strip('_')]}"
        for path in files(source)
        for line, name in functions_in(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_") in PARTICIPLES
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ClusterState", ["cluster", "state"]),
        ("read_rollout_state", ["read", "rollout", "state"]),
        ("_Eyes", ["eyes"]),
        ("HTTPRoute", ["http", "route"]),
        ("x", ["x"]),
    ],
)
def test_a_name_comes_apart_into_its_words(name: str, expected: list[str]) -> None:
    assert parts(name) == expected


def test_suppressions_say_why_in_one_form() -> None:
    form = re.compile(
        r"# (?:noqa: [A-Z0-9]+(?:, [A-Z0-9]+)*|type: ignore\[[a-z-, ]+\])  # because \S"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: write `# noqa: X  # because ...`"
        for path in files(*SOURCES, "tests")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# (?:noqa|type: ignore)\b", line) and not form.search(line)
    ]
    assert not found, "\n".join(found)
