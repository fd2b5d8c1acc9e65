"""The equations of docs/concepts/verdict.md for requests that are alike, by other means."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.analysis.counts import Counts, DesignEffect
from llmdeployment_operator.analysis.design_effect import (
    PRIOR_CORRELATION,
    PRIOR_MINUTES,
    Minutes,
    Users,
    estimate_design_effect,
)
from llmdeployment_operator.analysis.e_values import Stratum

NOBODY = Counts()
GROUP = st.tuples(st.integers(0, 50), st.floats(0, 1)).map(
    lambda pair: Counts(pair[0], round(pair[0] * pair[1]))
)
GROUPS = st.dictionaries(st.integers(0, 63), st.builds(Stratum, GROUP, GROUP), max_size=12)


def estimate(
    groups: dict[int, Stratum],
    minutes: Minutes | None = None,
    users: Users = Users(),  # noqa: B008  # because it is immutable
    *,
    expects_clumps: bool = False,
) -> DesignEffect:
    return estimate_design_effect(
        groups, minutes or Minutes(), users, expects_clumps=expects_clumps
    )


def test_the_worked_example_by_other_means() -> None:
    """Two users of 10 requests each; all 4 bad ones are of one of them."""
    groups = {0: Stratum(NOBODY, Counts(10, 4)), 1: Stratum(NOBODY, Counts(10))}
    p = Fraction(4 * 4 + 1, 4 * 21)
    squares = (4 - 10 * p) ** 2 + (10 * p) ** 2
    users = Fraction(2, 1) * squares / (20 * p * (1 - p))
    assert float(users) == pytest.approx(4.956, abs=1e-3)
    # 20^2 / (10^2 + 10^2) = 2 groups of equal size.
    expected = 1 + (users - 1) * (1 + Fraction(2, 2))
    assert float(expected) == pytest.approx(8.913, abs=1e-3)
    assert estimate(groups).canary == pytest.approx(float(expected))
    assert estimate(groups).stable == 1


def test_groups_of_unequal_size_are_worth_fewer() -> None:
    """A group of 10 requests and one of 30: m is (100 + 900) / 40 = 25, so they are as telling as 1.6 equal groups."""
    groups = {0: Stratum(NOBODY, Counts(10, 8)), 1: Stratum(NOBODY, Counts(30, 4))}
    p = (12 + 0.25) / 41
    squares = (8 - 10 * p) ** 2 + (4 - 30 * p) ** 2
    users = 2 * squares / (40 * p * (1 - p))
    assert estimate(groups).canary == pytest.approx(1 + (users - 1) * (1 + 2 / 1.6))


def test_a_canary_of_few_users_is_as_alike_as_the_stable_revision() -> None:
    """The stable revision's 8 users answer all or nothing; the canary's two have not shown it."""
    groups = {g: Stratum(Counts(10, 10 * (g % 2)), NOBODY) for g in range(8)}
    groups |= {g: Stratum(groups[g].stable, Counts(10, 5)) for g in (0, 1)}
    n, p = 80, (40 + 0.25) / 81
    effect = 8 / 7 * sum((10 * (g % 2) - 10 * p) ** 2 for g in range(8)) / (n * p * (1 - p))
    correlation = min(1, (effect - 1) / (10 - 1))
    found = estimate(groups, users=Users(8, 2))
    assert found.canary == pytest.approx(1 + correlation * 9 * (1 + 2 / 2))
    assert found.stable == pytest.approx(1 + (effect - 1) * (1 + 2 / 8))


def test_a_group_of_many_users_is_less_alike_than_a_group_of_one() -> None:
    groups = {g: Stratum(Counts(40, 8 * (g % 2)), Counts(10, 1)) for g in range(32)}
    alone, crowded = (estimate(groups, users=Users(users, 32)).canary for users in (32, 320))
    assert crowded > alone + 0.2


def test_the_minutes_by_other_means() -> None:
    minutes = Minutes()
    shares = [(0.1, 0.1), (0.1, 0.5), (0.2, 0.2), (0.3, 0.1)]
    for stable, canary in shares:
        current = Stratum(Counts(100, 100 * stable), Counts(20, 20 * canary))
        minutes = Minutes(**{**vars(minutes), "current": current}).close()
    total = Stratum(Counts(400, 70), Counts(80, 18))
    differences = [canary - stable for stable, canary in shares]
    mean = sum(differences) / 4
    variance = 4 / 3 * sum((20 * (d - mean)) ** 2 for d in differences) / 80**2
    p, q = 70.25 / 401, 18.25 / 81
    effect = variance / (p * (1 - p) / 400 + q * (1 - q) / 80)
    assert effect > 1
    assert estimate({0: total}, minutes).canary == pytest.approx(effect)
    drawn = (PRIOR_MINUTES * PRIOR_CORRELATION + 3 * (effect - 1) / 19) / (PRIOR_MINUTES + 3)
    assert (PRIOR_CORRELATION, PRIOR_MINUTES) == (0.05, 3)
    assert estimate({0: total}, minutes, expects_clumps=True).canary == pytest.approx(
        1 + 19 * drawn
    )


def test_what_both_share_in_a_minute_cancels_out() -> None:
    minutes = Minutes()
    for share in (0.1, 0.4, 0.1, 0.4):
        both = Stratum(Counts(100, 100 * share), Counts(20, 20 * share))
        minutes = Minutes(**{**vars(minutes), "current": both}).close()
    assert estimate({0: Stratum(Counts(400, 100), Counts(80, 20))}, minutes) == DesignEffect()


def test_the_first_minute_is_expected_to_be_alike() -> None:
    minutes = Minutes(current=Stratum(Counts(950, 95), Counts(50, 5)))
    total = {0: Stratum(Counts(950, 95), Counts(50, 5))}
    assert estimate(total, minutes) == DesignEffect()
    expected = 1 + 0.05 * 49
    assert estimate(total, minutes, expects_clumps=True).canary == pytest.approx(expected)


@given(GROUPS, st.integers(0, 500), st.integers(0, 500))
def test_nothing_counts_more_than_it_is(
    groups: dict[int, Stratum], stable: int, canary: int
) -> None:
    found = estimate(groups, users=Users(stable, canary))
    assert min(found) >= 1
    assert max(found) <= 1 + 3 * 64 * 50


def test_independent_requests_count_in_full() -> None:
    source = random.Random(7)  # noqa: S311  # because a test keeps no secret

    def draw(total: int) -> Counts:
        return Counts(total, sum(source.random() < 0.1 for _ in range(total)))

    found = [
        estimate({g: Stratum(draw(200), draw(40)) for g in range(64)}).canary for _ in range(40)
    ]
    assert sum(found) / 40 < 1.25
