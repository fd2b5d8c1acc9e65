"""Two revisions on the same questions: the evidence of a fall, the interval, and that both keep their promises."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.analysis.paired import (
    ALPHA,
    FEWEST,
    Interval,
    Pairs,
    find_interval,
    is_fall,
    log_e_fall,
)


def expect(pairs: Pairs, fall: float) -> float:
    return math.exp(log_e_fall(pairs, fall))


def test_the_worked_example_by_other_means() -> None:
    """docs/concepts/golden-sets.md: 9 lost, 1 won of 100. With f = 0 the integral has a closed form, in fractions."""
    lost, won = 9, 1
    pairs = lost + won
    # The mean of (1+x)^9 (1-x) over 0..1 is the sum of C(11, j) for j up to 9, divided by 11 C(10, 9).
    exact = Fraction(
        sum(math.comb(pairs + 1, j) for j in range(lost + 1)),
        (pairs + 1) * math.comb(pairs, lost),
    )
    assert exact == Fraction(2036, 110)
    assert expect(Pairs(100, lost, won), 0.0) == pytest.approx(float(exact), rel=1e-3)
    assert not is_fall(Pairs(100, 9, 1))
    assert is_fall(Pairs(100, 10, 1))


@pytest.mark.parametrize(
    ("lost", "won", "fall"), [(5, 1, 0.02), (3, 3, -0.05), (0, 4, 0.3), (12, 0, 0.1)]
)
def test_the_evidence_is_the_mean_over_bets(lost: int, won: int, fall: float) -> None:
    total, steps = 40, 5_000
    found = 0.0
    for step in range(steps):
        x = (step + 0.5) / steps / (1 + fall)
        same = total - lost - won
        found += (1 + x * (1 - fall)) ** lost * (1 - x * (1 + fall)) ** won * (1 - x * fall) ** same
    assert expect(Pairs(total, lost, won), fall) == pytest.approx(found / steps, rel=5e-3)


@pytest.mark.parametrize("fall", [-0.3, 0.0, 0.02, 0.2])
@pytest.mark.parametrize("apart", [0.35, 0.6])
def test_the_expected_evidence_of_what_is_not_so_is_one(fall: float, apart: float) -> None:
    """Whatever the share of questions that differ: an e-value's defining property, summed over all outcomes of 12 questions."""
    total = 12
    lose, win = (apart + fall) / 2, (apart - fall) / 2
    mean = sum(
        math.comb(total, lost)
        * math.comb(total - lost, won)
        * lose**lost
        * win**won
        * (1 - apart) ** (total - lost - won)
        * expect(Pairs(total, lost, won), fall)
        for lost in range(total + 1)
        for won in range(total + 1 - lost)
    )
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_a_set_that_grows_until_it_shows_a_fall_shows_none_that_is_not_there() -> None:
    """The exact probability that E ever reaches 1/alpha in 100 questions that differ, when losses are as likely as wins."""
    alive, crossed = {(0, 0): 1.0}, 0.0
    for _ in range(100):
        after: dict[tuple[int, int], float] = {}
        for (lost, won), chance in alive.items():
            for state in ((lost + 1, won), (lost, won + 1)):
                if is_fall(Pairs(1000, *state)):
                    crossed += chance / 2
                else:
                    after[state] = after.get(state, 0.0) + chance / 2
        alive = after
    assert 0.01 < crossed <= ALPHA


def test_how_many_questions_it_takes() -> None:
    assert is_fall(Pairs(FEWEST, FEWEST, 0))
    assert not is_fall(Pairs(FEWEST - 1, FEWEST - 1, 0))
    assert not is_fall(Pairs(1, 1, 0))
    assert not is_fall(Pairs(100, 7, 1))
    assert not is_fall(Pairs(100, 0, 50))
    assert not is_fall(Pairs(100, 7, 0), alpha=0.01)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.data())
def test_an_interval_holds_what_was_seen_and_agrees_with_the_evidence(
    sizes: tuple[int, int], data: st.DataObject
) -> None:
    total, lost = sizes
    pairs = Pairs(total, lost, data.draw(st.integers(0, total - lost)))
    found = find_interval(pairs)
    assert -1 <= found.low <= pairs.difference <= found.high <= 1
    assert (found.high < 0) == is_fall(pairs) or abs(found.high) < 1e-4
    mirrored = find_interval(Pairs(total, pairs.won, lost))
    assert (mirrored.low, mirrored.high) == (-found.high, -found.low)


def test_an_interval_in_numbers() -> None:
    assert find_interval(Pairs(1, 0, 0)) == Interval(
        pytest.approx(-0.974, abs=0.001), pytest.approx(0.974, abs=0.001)
    )
    wide, narrow = find_interval(Pairs(100, 10, 1)), find_interval(Pairs(1000, 100, 10))
    assert (wide.low, wide.high) == (
        pytest.approx(-0.1979, abs=0.0005),
        pytest.approx(-0.0062, abs=0.0005),
    )
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    assert find_interval(Pairs(100, 10, 1), alpha=0.01).low < wide.low


def test_ten_thousand_questions_are_no_trouble() -> None:
    found = find_interval(Pairs(10_000, 300, 200))
    assert -0.02 < found.low < -0.01 < found.high < -0.002


@pytest.mark.parametrize("numbers", [(0, 0, 0), (5, -1, 0), (5, 0, -1), (5, 3, 3)])
def test_impossible_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="lost and"):
        Pairs(*numbers)
