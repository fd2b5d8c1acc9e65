"""By how much an arm costs more: the equation, its ends, and how often it is wrong where users differ."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.cost_ratio import (
    LEAST,
    MOST,
    find_excess,
    find_excess_interval,
)
from llmdeployment_operator.analysis.counts import GROUPS, CountKey, Counts
from llmdeployment_operator.analysis.design_effect import Users
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.experiment import ArmResult, compare_arms
from llmdeployment_operator.api.experiment import ExperimentSpec

ALPHA = 0.0125
SPEC = ExperimentSpec.model_validate(
    {
        "control": "a",
        "metrics": [{"name": "cost", "tolerancePercent": 5}, {"name": "errorRate"}],
        "minimumEffectPercent": 10,
        "maxDuration": "14d",
    }
)


def pair(control: float, arm: float, requests: int = 4000) -> list[Stratum]:
    """Mean parts of the control and the arm."""
    sides = (Counts(requests, requests * mean) for mean in (control, arm))
    return [Stratum(*sides)]


@pytest.mark.parametrize(
    ("control", "arm", "price", "excess"),
    [
        (0.25, 0.20, 1.0, -0.2),
        (0.25, 0.20, 1.5, 0.2),
        (0.20, 0.20, 0.69, -0.31),
        (0.10, 0.30, 2.0, 5.0),
        (0.001, 0.9, 1.0, MOST),
        (0.9, 0.001, 1.0, LEAST),
    ],
)
def test_the_excess_is_the_ratio_of_prices_times_that_of_tokens(
    control: float, arm: float, price: float, excess: float
) -> None:
    assert find_excess(pair(control, arm), price) == pytest.approx(excess, abs=1e-5)


def test_prompts_of_other_lengths_are_not_mixed() -> None:
    """The arm has the long prompts, whose answers are long in both."""
    strata = [
        Stratum(Counts(900, 90), Counts(100, 10)),
        Stratum(Counts(100, 50), Counts(900, 450)),
    ]
    assert find_excess(strata, 1.0) == pytest.approx(0.0, abs=1e-5)
    low, high = find_excess_interval(strata, 1.0, ALPHA)
    assert low < 0 < high


@pytest.mark.parametrize(
    "strata",
    [[], [Stratum(Counts(), Counts())], [Stratum(Counts(9, 1), Counts())], pair(0.0, 0.1), pair(0.1, 0.0)],
)  # fmt: skip  # because it is one list
def test_without_tokens_of_both_nothing_is_known(strata: list[Stratum]) -> None:
    assert find_excess(strata, 1.0) is None
    assert find_excess_interval(strata, 1.0, ALPHA) == (LEAST, MOST)


means = st.floats(0.02, 0.98)


@settings(max_examples=60, deadline=None)
@given(control=means, arm=means, price=st.floats(0.2, 5), requests=st.integers(1, 20_000))
def test_the_interval_holds_the_excess_and_mirrors_when_the_sides_are_changed(
    control: float, arm: float, price: float, requests: int
) -> None:
    strata = pair(control, arm, requests)
    excess = find_excess(strata, price)
    assert excess is not None
    low, high = find_excess_interval(strata, price, ALPHA)
    assert LEAST <= low <= excess + 1e-6
    assert excess - 1e-6 <= high <= MOST
    other_low, other_high = find_excess_interval(pair(arm, control, requests), 1 / price, ALPHA)
    if low > LEAST and high < MOST:
        assert 1 + other_high == pytest.approx(1 / (1 + low), rel=1e-3)
        assert 1 + other_low == pytest.approx(1 / (1 + high), rel=1e-3)


def test_more_requests_make_it_narrower_and_a_smaller_alpha_wider() -> None:
    few, many = (find_excess_interval(pair(0.25, 0.2, n), 1.0, ALPHA) for n in (1000, 16_000))
    assert few[0] < many[0] < -0.2 < many[1] < few[1]
    wide = find_excess_interval(pair(0.25, 0.2, 1000), 1.0, ALPHA / 10)
    assert wide[0] < few[0]
    assert few[1] < wide[1]


def evidence(control: float, arm: float, requests: int = 40_000, seconds: int = 86_400) -> Analysis:
    counts = {CountKey("cost<=1000", "1024"): pair(control, arm, requests)[0]}
    counts |= {
        CountKey("cost<=1000", group=g): pair(control, arm, requests // GROUPS)[0]
        for g in range(GROUPS)
    }
    counts[CountKey("errorRate")] = pair(0.01, 0.01, requests)[0]
    counts |= {
        CountKey("errorRate", group=g): pair(0.01, 0.01, requests // GROUPS)[0]
        for g in range(GROUPS)
    }
    return Analysis(counts, {}, Users(2000, 2000), seconds)


@pytest.mark.parametrize(
    ("arm", "price", "result"),
    [
        (0.15, 1.0, ArmResult.BETTER),
        (0.25, 1.0, ArmResult.NOT_DIFFERENT),
        (0.35, 1.0, ArmResult.WORSE),
        (0.25, 0.6, ArmResult.BETTER),
        (0.15, 1 / 0.6, ArmResult.NOT_DIFFERENT),
        (0.15, None, ArmResult.UNDECIDED),
    ],
)
def test_an_arm_wins_by_what_it_costs(arm: float, price: float | None, result: ArmResult) -> None:
    prices = {} if price is None else {"b": price}
    (found,) = compare_arms(SPEC, {"b": evidence(0.25, arm)}, prices)
    assert found.metrics[0].result is result
    assert found.metrics[0].margin == 0.05
    assert (found.metrics[0].control, found.metrics[0].arm) == (None, None)


@pytest.mark.parametrize(("requests", "seconds"), [(99, 86_400), (40_000, 599)])
def test_nothing_is_said_early(requests: int, seconds: int) -> None:
    (found,) = compare_arms(SPEC, {"b": evidence(0.25, 0.05, requests, seconds)}, {"b": 1.0})
    assert found.metrics[0].result is ArmResult.UNDECIDED
    assert (found.metrics[0].low, found.metrics[0].high) == (LEAST, MOST)
    assert found.metrics[0].difference == pytest.approx(-0.8, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_few_users_with_long_answers_of_their_own_are_not_taken_for_the_arm(seed: int) -> None:
    """40 users a side, each with one length of answers; ten thousand requests a side say no more than these users."""
    rng = random.Random(seed)  # noqa: S311  # because it is traffic, not a secret
    sides = [[rng.lognormvariate(-1.5, 0.6) for _ in range(40)] for _ in range(2)]
    groups = [[Counts(250, 250 * min(1.0, mean)) for mean in side] for side in sides]
    whole = [Counts(10_000, sum(each.bad for each in side)) for side in groups]
    counts = {
        CountKey("errorRate"): pair(0.01, 0.01, 10_000)[0],
        CountKey("cost<=1000", "1024"): Stratum(*whole),
    }
    for g in range(GROUPS):
        parts = (side[g] if g < 40 else Counts() for side in groups)
        counts[CountKey("cost<=1000", group=g)] = Stratum(*parts)
    found = compare_arms(SPEC, {"b": Analysis(counts, {}, Users(40, 40), 86_400)}, {"b": 1.0})
    metric = found[0].metrics[0]
    assert metric.low <= 0 <= metric.high
    # With all requests taken for independent it would be far narrower than these users allow.
    low, high = find_excess_interval([Stratum(*whole)], 1.0, ALPHA)
    assert high - low < (metric.high - metric.low) / 2
