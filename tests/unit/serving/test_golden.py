from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llmdeployment_serving import golden
from llmdeployment_serving.golden import GoldenError, parse_golden, read_golden

if TYPE_CHECKING:
    from pathlib import Path

GOOD = '{"prompt": "Hello", "expect": {"exact": "Hi"}}'


def test_a_question_has_all_it_says() -> None:
    rich = {
        "id": "q7",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "expect": {"contains": ["a"], "judge": "is polite"},
        "parameters": {"temperature": 0.5, "max_tokens": 9},
    }
    first, second = parse_golden(f"\n{GOOD}\n\r\n{json.dumps(rich)}\n")
    assert (first.id, first.messages) == ("line 2", [{"role": "user", "content": "Hello"}])
    assert vars(second) == rich


def test_a_line_separator_inside_a_text_ends_no_line() -> None:
    (question,) = parse_golden('{"prompt": "a\u2028b", "expect": {"json": true}}')
    assert question.messages[0]["content"] == "a\u2028b"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "recursion"),
        ('{"prompt": "a"}', "expect must be an object with at least one check"),
        ('{"prompt": "a", "expect": {}}', "expect must be an object with at least one check"),
        ('{"prompt": "a", "expect": {"equal": "a"}}', "expect.equal is not known"),
        ('{"prompt": "a", "expect": {"regex": "["}}', "regex is not valid"),
        ('{"expect": {"json": true}}', "needs either messages or prompt"),
        ('{"prompt": "a", "messages": [], "expect": {"json": true}}', "needs either"),
        ('{"prompt": "", "expect": {"json": true}}', "prompt must be a text"),
        ('{"messages": [], "expect": {"json": true}}', "messages must be a list"),
        ('{"messages": [{"content": "a"}], "expect": {"json": true}}', "messages must be a list"),
        ('{"prompt": "a", "expect": {"json": true}, "parameters": []}', "parameters must be"),
        (
            '{"prompt": "a", "expect": {"json": true}, "parameters": {"model": "b"}}',
            "parameters cannot hold model: the evaluation sets it",
        ),
        ('{"prompt": "a", "expected": "a"}', "expected is not known: use expect, id"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, why: str) -> None:
    with pytest.raises(GoldenError) as error:
        parse_golden(f"{GOOD}\n{line}\n", "key g of ConfigMap c")
    assert str(error.value).startswith("key g of ConfigMap c, line 2: ")
    assert why in str(error.value)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_set_is_refused(text: str) -> None:
    with pytest.raises(GoldenError, match="the golden set holds no question"):
        parse_golden(text)


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "golden.jsonl"
    with pytest.raises(GoldenError, match=r"claim x cannot be read: No such file.*is the key"):
        read_golden(path, "claim x")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GoldenError, match="claim x is not UTF-8"):
        read_golden(path, "claim x")
    path.write_text(f"{GOOD}\n{GOOD}\n", encoding="utf-8")
    assert len(read_golden(path, "claim x")) == 2
    monkeypatch.setattr(golden, "MAX_QUESTIONS", 1)
    with pytest.raises(GoldenError, match="claim x holds 2 questions: at most 1"):
        read_golden(path, "claim x")
    monkeypatch.setattr(golden, "MAX_BYTES", 1)
    with pytest.raises(GoldenError, match="claim x is larger than"):
        read_golden(path, "claim x")
