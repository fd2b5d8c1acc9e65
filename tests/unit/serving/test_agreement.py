import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.agreement import MOST_WORDS, count_common, measure_agreement

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def find_longest(words: list[str], others: list[str]) -> int:
    """Return the same as `count_common` by the table of Wagner and Fischer."""
    row = [0] * (len(others) + 1)
    for word in words:
        before = row
        row = [0]
        for place, other in enumerate(others):
            longest = max(row[place], before[place + 1])
            row.append(before[place] + 1 if word == other else longest)
    return row[-1]


@given(WORDS, WORDS)
def test_the_common_words_are_those_of_the_table(words: list[str], others: list[str]) -> None:
    assert count_common(words, others) == find_longest(words, others)


@given(WORDS, WORDS)
def test_agreement_has_no_direction_and_is_whole_for_the_same_words(
    words: list[str], others: list[str]
) -> None:
    one, other = " ".join(words), "\n".join(others)
    found = measure_agreement(one, other)
    assert found == measure_agreement(other, one)
    assert 0 <= found <= 1
    assert (found == 1) == (words == others)


@pytest.mark.parametrize(
    ("one", "other", "agreement"),
    [
        ("Paris", "Paris.", 0.0),
        ("a b c d", "a b", 4 / 6),
        ("東京です", "東京だ", 4 / 7),
        ("東京 is big", "東京 is small", 6 / 8),
    ],
)
def test_words(one: str, other: str, agreement: float) -> None:
    assert measure_agreement(one, other) == agreement


def test_what_comes_after_the_first_words_does_not_count() -> None:
    same = "word " * MOST_WORDS
    assert measure_agreement(same + "x", same + "y") == 1.0
    assert measure_agreement("x " + same, "y " + same) == 2 * (MOST_WORDS - 1) / (2 * MOST_WORDS)
