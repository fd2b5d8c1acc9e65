from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from llmdeployment_serving.checks import RegexTimeoutError, check_answer, check_expectation, search

PARIS = "The capital is Paris."


@pytest.mark.parametrize(
    ("expect", "answer", "why"),
    [
        ({"exact": PARIS}, PARIS, None),
        ({"exact": "Paris"}, " Paris\n", None),
        ({"exact": "Paris"}, "paris", "is 'paris', not 'Paris'"),
        ({"regex": r"Par[ia]s\.$"}, PARIS, None),
        ({"regex": r"^Paris"}, PARIS, "does not match '^Paris'"),
        ({"json": True}, '{"a": [1]}', None),
        ({"json": True}, '```json\n{"a": 1}\n```', "is not JSON"),
        ({"json": True}, "[" * 100_000, "is not JSON"),
        ({"contains": ["Paris", "capital"]}, PARIS, None),
        ({"contains": ["Paris", "France"]}, PARIS, "has no 'France' in it"),
        ({"notContains": ["London"]}, PARIS, None),
        ({"notContains": ["London", "Paris"]}, PARIS, "has 'Paris' in it"),
        ({"contains": ["Paris"], "notContains": ["capital"]}, PARIS, "has 'capital' in it"),
        ({"contains": ["Rome"], "notContains": ["London"]}, PARIS, "has no 'Rome' in it"),
        ({"judge": "is polite"}, "Go away.", None),
        ({"contains": ["x"]}, "", "has no 'x' in it: ''"),
    ],
)
def test_a_check(expect: dict[str, Any], answer: str, why: str | None) -> None:
    said = check_answer(expect, answer)
    assert said is None if why is None else said is not None and why in said
    assert said is None or len(said) < 200


@pytest.mark.parametrize(
    ("kind", "wanted", "why"),
    [
        ("exact", "a", None),
        ("exact", "", "exact must be a text"),
        ("exact", 3, "exact must be a text"),
        ("regex", "(", "regex is not valid: missing )"),
        ("regex", "a" * 3 + "{2}", None),
        ("json", True, None),
        ("json", False, "json must be true"),
        ("json", 1, "json must be true"),
        ("contains", ["a"], None),
        ("contains", [], "contains must be a list of texts"),
        ("contains", "a", "contains must be a list of texts"),
        ("notContains", [""], "notContains must be a list of texts"),
        ("judge", "is polite", None),
        ("judge", None, "judge must be a text"),
        ("equals", "a", "expect.equals is not known: use exact, regex"),
    ],
)
def test_what_can_be_expected(kind: str, wanted: object, why: str | None) -> None:
    said = check_expectation(kind, wanted)
    assert said is None if why is None else said is not None and why in said


def test_a_search_without_end_is_ended_and_counts_as_wrong() -> None:
    before, started = signal.getsignal(signal.SIGVTALRM), time.process_time()
    with pytest.raises(RegexTimeoutError):
        search(r"(a+)+$", "a" * 60 + "b", cpu_seconds=0.1)
    assert time.process_time() - started < 5
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    said = check_answer({"regex": r"(a+)+$"}, "a" * 60 + "b")
    assert said is not None
    assert "took over 1 s: make it simpler" in said
