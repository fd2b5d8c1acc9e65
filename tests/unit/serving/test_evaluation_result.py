"""The result of an evaluation: what it says, and that it always fits."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.evaluation_result import Failure, format_result, pack_answers
from llmdeployment_serving.golden import MAX_QUESTIONS, hash_questions, parse_golden

SIX = [Failure(number, f"q{number}", "is wrong") for number in range(1, 7)]


@pytest.mark.parametrize("total", [500, MAX_QUESTIONS])
def test_a_result_always_fits_the_termination_log(total: int) -> None:
    failures = [Failure(number, "\u20ac" * 900, "\U0001f600 \n" * 900) for number in range(1, 501)]
    text = format_result(total, failures, "f" * 16, "x")
    assert len(text.encode()) <= 4096
    found = json.loads(text)
    assert (found["passed"], found["total"]) == (total - 500, total)
    assert len(found["failures"]) > 0
    assert len(found["wrong"]) > 3
    assert len(base64.b64decode(found["answers"])) == (total + 7) // 8


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_there_is_one_bit_a_question(passed: list[bool]) -> None:
    packed = base64.b64decode(pack_answers(passed))
    bits = "".join(f"{byte:08b}" for byte in packed)
    assert [bit == "1" for bit in bits[: len(passed)]] == passed
    assert set(bits[len(passed) :]) <= {"0"}
    assert len(packed) == (len(passed) + 7) // 8


@pytest.mark.parametrize(
    ("baseline", "first"),
    [
        ("", 1),
        ("5ee:BA==", 6),
        ("other:BA==", 1),
        ("5ee:BAA=", 1),
        ("5ee:not base64", 1),
        ("5ee:\u20ac", 1),
        ("5ee", 1),
    ],
)
def test_a_baseline_that_is_none_of_these_questions_is_left_aside(
    baseline: str, first: int
) -> None:
    found = json.loads(format_result(6, SIX, "5ee", baseline))
    assert found["wrong"][0] == [first, f"q{first}"]
    assert len(found["wrong"]) == 6


def test_at_most_twenty_questions_are_named() -> None:
    many = [Failure(number, f"q{number}", "no") for number in range(1, 100)]
    found = json.loads(format_result(100, many, "5ee", ""))
    assert [number for number, _ in found["wrong"]] == [*range(1, 21)]


def test_other_questions_have_another_hash() -> None:
    rows = [
        '{"prompt": "a", "expect": {"json": true}}',
        '{"prompt": "b", "expect": {"json": true}}',
    ]
    one, other = parse_golden("\n".join(rows)), parse_golden("\n".join(reversed(rows)))
    assert len(hash_questions(one)) == 16
    assert hash_questions(one) != hash_questions(other)
    assert hash_questions(one) != hash_questions(one[:1])
