"""The equations of docs/concepts/verdict.md, by other means."""

import math
import random
from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.verdicts import EXAMPLE, arms, counts, differences, strata, stratum, ttft

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import (
    PRIOR,
    Stratum,
    _find_log_highest,
    log_average,
    log_e_within,
    log_e_worse,
)
from llmdeployment_operator.analysis.sequential_test import Result, SequentialPolicy, judge

# The worked example of docs/concepts/verdict.md.


def chance(bad: int, total: int) -> Fraction:
    """Return the Beta(1/4, 3/4) mean of t^bad (1-t)^good, request by request: the next is bad with (1/4 + bad) / (1 + total)."""
    odds = [Fraction(4 * i + 1, 4) for i in range(bad)]
    odds += [Fraction(4 * i + 3, 4) for i in range(total - bad)]
    return math.prod(odds, start=Fraction(1)) / math.factorial(total)


def likelihood(s: Stratum, stable: float, canary: float) -> float:
    shares = ((s.stable, stable), (s.canary, canary))
    terms = [t**arm.bad * (1 - t) ** (arm.total - arm.bad) for arm, t in shares]
    return float(math.prod(terms))


def highest(s: Stratum, difference: float, steps: int = 300) -> float:
    """Return the highest likelihood of shares that differ by this or less, looking at each pair of a grid and along its edge."""
    grid = [i / steps for i in range(steps + 1)]
    inside = [(a, b) for a, b in product(grid, grid) if b - a <= difference]
    edge = [(i / 9000, i / 9000 + difference) for i in range(9001)]
    inside += [(a, b) for a, b in edge if 0 <= b <= 1]
    return max(likelihood(s, a, b) for a, b in inside)


def test_the_worked_example_by_other_means() -> None:
    assert PRIOR == (0.25, 0.75)
    two_shares, one_share = chance(2, 40) * chance(9, 10), chance(11, 50)
    average = (two_shares + one_share) / 2
    assert float(two_shares) == pytest.approx(2.587e-7, rel=1e-3)
    assert float(one_share) == pytest.approx(3.948e-13, rel=1e-3)
    assert log_average([EXAMPLE]) == pytest.approx(math.log(average))
    assert highest(EXAMPLE, 0.1) == pytest.approx(1.365e-10, rel=1e-3)
    assert math.exp(log_e_worse([EXAMPLE], 0.1)) == pytest.approx(948, abs=0.5)
    assert float(average) / highest(EXAMPLE, 0.1) == pytest.approx(948, abs=0.5)
    assert (
        judge([ttft(EXAMPLE, tolerance=0.1)], SequentialPolicy(min_requests=10)).result
        is Result.FAIL
    )
    one_less = stratum((2, 40), (8, 10))
    assert math.exp(log_e_worse([one_less], 0.1)) == pytest.approx(68, abs=0.5)
    assert (
        judge([ttft(one_less, tolerance=0.1)], SequentialPolicy(min_requests=10)).requests_left == 1
    )


@pytest.mark.parametrize("canary", [(0, 12), (1, 12), (5, 12), (12, 12)])
@pytest.mark.parametrize("stable", [(0, 20), (4, 20), (20, 20)])
@pytest.mark.parametrize("difference", [-0.3, 0.0, 0.15])
def test_the_highest_likelihood_is_that_of_a_grid(
    stable: tuple[int, int], canary: tuple[int, int], difference: float
) -> None:
    s = stratum(stable, canary)
    found = _find_log_highest([s], difference, -1)
    assert found == pytest.approx(math.log(highest(s, difference)), abs=2e-3)


@given(st.lists(arms, min_size=2, max_size=3), differences, st.data())
def test_no_shares_within_the_difference_are_likelier(
    several: list[Stratum], difference: float, data: st.DataObject
) -> None:
    weights = [s.canary.total if s.stable.total else 0 for s in several]
    assume(sum(weights))
    share = st.floats(0.01, 0.99)
    pairs = [(data.draw(share), data.draw(share)) for _ in several]
    mean = sum(w * (b - a) for w, (a, b) in zip(weights, pairs, strict=True)) / sum(weights)
    sides = (-1, 1) if mean == difference else (-1,) if mean < difference else (1,)
    log_likelihood = sum(
        arm.bad * math.log(t) + (arm.total - arm.bad) * math.log(1 - t)
        for s, (a, b) in zip(several, pairs, strict=True)
        for arm, t in ((s.stable, a), (s.canary, b))
    )
    for side in sides:
        assert _find_log_highest(several, difference, side) >= log_likelihood - 1e-6


# What makes the evidence valid at all times: the average likelihood is a law, and the rest divides by a maximum.


@given(strata, st.sampled_from(["stable", "canary"]))
def test_the_averages_of_what_may_come_next_add_up_to_the_present_one(
    several: list[Stratum], arm: str
) -> None:
    now: Counts = getattr(several[0], arm)
    pending = []
    for bad in (0, 1):
        then = replace(several[0], **{arm: Counts(now.total + 1, now.bad + bad)})
        pending.append(log_average([then, *several[1:]]) - log_average(several))
    assert sum(math.exp(step) for step in pending) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("before", [(0, 0), (3, 30), (29, 30)])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 0.7])
@pytest.mark.parametrize("difference", [-0.2, 0.0, 0.2])
def test_evidence_for_what_is_not_so_is_below_one_on_average(
    before: tuple[int, int], share: float, difference: float
) -> None:
    other = min(1.0, max(0.0, share + difference))
    worse = within = 0.0
    for stable, canary in product(range(13), range(7)):
        s = stratum((stable, 12), (canary, 6), before)
        weight = math.comb(12, stable) * math.comb(6, canary) * likelihood(s, share, other)
        # Where the shares end at 0 or 1 their difference is not the one that was asked for.
        worse += weight * math.exp(log_e_worse([s], max(difference, other - share)))
        within += weight * math.exp(log_e_within([s], min(difference, other - share)))
    assert worse <= 1
    assert within <= 1


def drawn(source: random.Random, total: int, share: float) -> int:
    return sum(source.random() < share for _ in range(total))


def observations(source: random.Random) -> list[Stratum]:
    """Return what 60 looks at two equal arms see."""
    seen, stable, canary = [], 0, 0
    for observation in range(1, 61):
        stable, canary = stable + drawn(source, 60, 0.1), canary + drawn(source, 20, 0.1)
        seen.append(stratum((stable, 60 * observation), (canary, 20 * observation)))
    return seen


def naive(s: Stratum) -> bool:
    """Say whether the textbook's test at 5 % calls the canary worse."""
    share = (s.stable.bad + s.canary.bad) / (s.stable.total + s.canary.total)
    spread = math.sqrt(share * (1 - share) * (1 / s.stable.total + 1 / s.canary.total)) or 1
    return s.canary.bad / s.canary.total - s.stable.bad / s.stable.total > 1.645 * spread


def test_looking_after_every_batch_raises_no_false_alarms() -> None:
    runs = [observations(random.Random(seed)) for seed in range(200)]  # noqa: S311  # because it is a simulation
    alarms = sum(any(log_e_worse([s], 0) >= math.log(20) for s in run) for run in runs)
    assert alarms <= 10
    # The same runs make a test that is not meant for being asked again and again fail.
    assert sum(any(naive(s) for s in run) for run in runs) > 40


# What follows from the equations.


@given(differences)
def test_no_requests_are_no_evidence(difference: float) -> None:
    empty = [stratum((0, 0), (0, 0))] * 2
    assert log_e_worse(empty, difference) == 0
    assert log_e_within(empty, difference) == 0


@given(st.builds(Stratum, counts(), counts()), differences)
def test_with_the_roles_swapped_worse_is_better(s: Stratum, difference: float) -> None:
    swapped = Stratum(s.canary, s.stable)
    mirrored = log_e_within([swapped], -difference)
    assert log_e_worse([s], difference) == pytest.approx(mirrored, abs=1e-6)


@given(strata, differences, differences)
def test_a_greater_tolerance_is_exceeded_with_less_evidence(
    several: list[Stratum], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert log_e_worse(several, low) >= log_e_worse(several, high) - 1e-6
    assert log_e_within(several, low) <= log_e_within(several, high) + 1e-6


@given(strata, differences)
def test_the_interval_holds_the_effect_and_agrees_with_the_verdict(
    several: list[Stratum], tolerance: float
) -> None:
    (finding,) = judge(
        [ttft(*several, tolerance=tolerance)], SequentialPolicy(min_requests=1)
    ).findings
    assert -1 <= finding.low <= finding.high <= 1
    if finding.effect is not None:
        assert finding.low - 1e-9 <= finding.effect <= finding.high + 1e-9
    assume(min(abs(finding.low - tolerance), abs(finding.high - tolerance)) > 1e-6)
    expected = Result.NEED_MORE_DATA
    if finding.low > tolerance:
        expected = Result.FAIL
    elif finding.high < tolerance:
        expected = Result.PASS
    assert finding.result is expected


@given(arms, differences)
def test_a_wrong_past_costs_at_most_a_factor_of_two(s: Stratum, difference: float) -> None:
    without = log_e_worse([replace(s, before=Counts())], difference)
    assert log_e_worse([s], difference) >= without - math.log(2) - 1e-6


def test_a_past_that_still_holds_spares_requests() -> None:
    without = ttft(stratum((1000, 10000), (50, 500)), tolerance=0.05)
    with_it = ttft(stratum((1000, 10000), (50, 500), (900, 9000)), tolerance=0.05)
    assert judge([without], SequentialPolicy()).result is Result.NEED_MORE_DATA
    assert judge([with_it], SequentialPolicy()).result is Result.PASS
