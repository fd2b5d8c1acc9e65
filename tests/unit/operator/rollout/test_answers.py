"""Which questions passed: what of a result is believed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.evaluations import build_result

from llmdeployment_operator.plan.rollout.answers import (
    Answers,
    are_same_questions,
    count_pairs,
    name_lost,
    read_answers,
)

GOOD = build_result("1101")


def answer(good: str) -> Answers:
    found = read_answers(build_result(good), good.count("1"), len(good))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "changed",
    [
        {"contents": None},
        {"contents": ""},
        {"contents": "NOT A HASH"},
        {"contents": "a" * 65},
        {"answers": None},
        {"answers": 7},
        {"answers": "???"},
        {"answers": ""},
        {"answers": "0AA="},
        {"answers": "2A=="},
        {"answers": "8A=="},
    ],
    ids=str,
)
def test_answers_that_do_not_agree_with_the_counts_are_none(changed: dict[str, Any]) -> None:
    assert read_answers(GOOD, 3, 4) is not None
    assert read_answers({**GOOD, **changed}, 3, 4) is None


def test_more_questions_than_a_set_may_have_are_none() -> None:
    assert read_answers(build_result("1" * 10_001), 10_001, 10_001) is None


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ([[3, "q3"]], ((3, "q3"),)),
        ([[3, "x" * 100]], ((3, "x" * 60),)),
        ([[1, "was right"]], ()),
        ([[9, "beyond"]], ()),
        ([[0, "below"]], ()),
        ([[3, ""]], ()),
        ([[3]], ()),
        (["q3"], ()),
        ("q3", ()),
        (None, ()),
    ],
)
def test_names_are_believed_of_questions_that_failed(wrong: object, found: object) -> None:
    answers = read_answers({**GOOD, "wrong": wrong}, 3, 4)
    assert answers is not None
    assert answers.wrong == found


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_pairs_are_counted_and_named(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (
        answer("".join("01"[one] for one in side)) for side in zip(*pairs, strict=True)
    )
    found = count_pairs(before, after)
    assert found.total == len(pairs)
    assert found.lost == sum(old and not new for old, new in pairs)
    assert found.won == sum(new and not old for old, new in pairs)
    lost = [place for place, (old, new) in enumerate(pairs, 1) if old and not new]
    named = dict(after.wrong)
    assert name_lost(before, after) == tuple(
        named.get(place, f"question {place}") for place in lost[:20]
    )


def test_questions_are_the_same_by_hash_and_number() -> None:
    assert are_same_questions(Answers("a", 8, "/w=="), Answers("a", 8, "AA=="))
    assert not are_same_questions(Answers("a", 8, "/w=="), Answers("b", 8, "/w=="))
    assert not are_same_questions(Answers("a", 8, "/w=="), Answers("a", 7, "/g=="))
