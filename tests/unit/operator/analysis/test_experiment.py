"""What the counts of an experiment say: of a metric, of an arm, of all arms; and how long it takes until they say it."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.design_effect import Users
from llmdeployment_operator.analysis.e_values import Stratum, log_e_within, log_e_worse
from llmdeployment_operator.analysis.experiment import (
    ALPHA,
    ArmComparison,
    ArmResult,
    MetricComparison,
    Outcome,
    _decide_arm,
    compare_arm,
    compare_arms,
    conclude,
)
from llmdeployment_operator.analysis.power_plan import UserGrowth, plan_power
from llmdeployment_operator.analysis.sequential_test import ComparedMetric
from llmdeployment_operator.api.experiment import ExperimentSpec

LATE, ERRORS = "ttft>500ms", "errorRate"


def spec(**changes: Any) -> ExperimentSpec:
    fields = {
        "control": "control",
        "metrics": [{"name": "ttft", "milliseconds": 500}],
        "minimumEffectPercent": 5,
        "maxDuration": "14d",
        **changes,
    }
    return ExperimentSpec.model_validate(fields)


BOTH = [{"name": "ttft", "milliseconds": 500}, {"name": "errorRate"}]


def evidence(
    control: tuple[int, int],
    arm: tuple[int, int],
    users: tuple[int, int] = (0, 0),
    metric: str = LATE,
    seconds: int = 7200,
) -> Analysis:
    """Counts given as they are spoken, 200 of 2000, evenly spread over 64 groups of users."""
    sides = [Counts(total, bad) for bad, total in (control, arm)]
    groups = {
        CountKey(metric, group=g): Stratum(*(Counts(s.total / 64, s.bad / 64) for s in sides))
        for g in range(64)
    }
    counts = {CountKey(metric, "1000"): Stratum(*sides)} | groups
    return Analysis(counts, {}, Users(*users), seconds)


def both(first: Analysis, second: Analysis) -> Analysis:
    return Analysis({**first.counts, **second.counts}, {}, first.users, first.seconds)


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (evidence((800, 4000), (400, 4000)), ArmResult.BETTER),
        (evidence((400, 4000), (800, 4000)), ArmResult.WORSE),
        (evidence((400, 4000), (400, 4000)), ArmResult.NOT_DIFFERENT),
        (evidence((20, 200), (15, 200)), ArmResult.UNDECIDED),
        (evidence((80, 99), (0, 99)), ArmResult.UNDECIDED),
        (evidence((800, 4000), (400, 4000), seconds=599), ArmResult.UNDECIDED),
        (Analysis(), ArmResult.UNDECIDED),
    ],
    ids=["better", "worse", "alike", "few", "fewer than any", "too early", "nothing"],
)
def test_one_metric(found: Analysis, result: ArmResult) -> None:
    compared = compare_arm(spec(), "terse", found, others=1)

    assert compared.result is result
    (metric,) = compared.metrics
    assert metric.low <= (metric.difference or 0) <= metric.high


def test_shares_are_those_of_the_counts() -> None:
    (metric,) = compare_arm(spec(), "terse", evidence((800, 4000), (400, 4000)), 1).metrics
    assert (metric.control, metric.arm) == (0.2, 0.1)
    assert metric.difference == pytest.approx(-0.1)


def test_too_few_users_say_nothing_however_many_requests() -> None:
    clear = evidence((800, 4000), (400, 4000), users=(49, 500))

    assert compare_arm(spec(minUsers=50), "b", clear, 1).result is ArmResult.UNDECIDED
    assert compare_arm(spec(minUsers=49), "b", clear, 1).result is ArmResult.BETTER
    nobody = evidence((800, 4000), (400, 4000))
    assert compare_arm(spec(minUsers=50), "b", nobody, 1).result is ArmResult.BETTER


def metric(low: float, high: float, margin: float = 0.05) -> MetricComparison:
    result = ArmResult.UNDECIDED
    if high < 0:
        result = ArmResult.BETTER
    elif low > 0:
        result = ArmResult.WORSE
    elif low > -0.03 and high < 0.03:
        result = ArmResult.NOT_DIFFERENT
    return MetricComparison("m", 0.1, 0.1, (low + high) / 2, low, high, margin, result)


BETTER, WORSE = metric(-0.06, -0.01), metric(0.01, 0.04)
ALIKE, OPEN = metric(-0.02, 0.02), metric(-0.1, 0.1)
SAFE, FAR = metric(-0.1, 0.04), metric(0.06, 0.1)


@pytest.mark.parametrize(
    ("metrics", "result"),
    [
        ([BETTER], ArmResult.BETTER),
        ([BETTER, SAFE], ArmResult.BETTER),
        ([BETTER, WORSE], ArmResult.BETTER),
        ([BETTER, OPEN], ArmResult.UNDECIDED),
        ([BETTER, FAR], ArmResult.WORSE),
        ([OPEN, FAR], ArmResult.WORSE),
        ([ALIKE, ALIKE], ArmResult.NOT_DIFFERENT),
        ([ALIKE, WORSE], ArmResult.WORSE),
        ([ALIKE, OPEN], ArmResult.UNDECIDED),
        ([WORSE, OPEN], ArmResult.UNDECIDED),
    ],
)
def test_several_metrics(metrics: list[MetricComparison], result: ArmResult) -> None:
    assert _decide_arm(metrics) is result
    assert _decide_arm(metrics[::-1]) is result


def arm(name: str, result: ArmResult, difference: float = 0.0) -> ArmComparison:
    row = MetricComparison("m", 0.1, 0.1, difference, -1, 1, 0.05, ArmResult.UNDECIDED)
    return ArmComparison(name, result, (row,))


GOOD, BEST = arm("good", ArmResult.BETTER, -0.05), arm("best", ArmResult.BETTER, -0.06)
BAD, SAME = arm("bad", ArmResult.WORSE), arm("same", ArmResult.NOT_DIFFERENT)
UNKNOWN = arm("unknown", ArmResult.UNDECIDED)


@pytest.mark.parametrize(
    ("arms", "elapsed", "outcome"),
    [
        ([GOOD], 10, (Outcome.WINNER, "good")),
        ([GOOD, BEST, BAD, SAME], 10, (Outcome.WINNER, "best")),
        ([GOOD, UNKNOWN], 10, (Outcome.RUNNING, None)),
        ([GOOD, UNKNOWN], 100, (Outcome.WINNER, "good")),
        ([BAD, SAME], 10, (Outcome.CONTROL_WINS, None)),
        ([BAD, UNKNOWN], 99, (Outcome.RUNNING, None)),
        ([BAD, UNKNOWN], 100, (Outcome.TIMED_OUT, None)),
        ([SAME, SAME], 100, (Outcome.NO_DIFFERENCE, None)),
        ([UNKNOWN], -5, (Outcome.RUNNING, None)),
    ],
)
def test_the_end(arms: list[ArmComparison], elapsed: float, outcome: Any) -> None:
    assert conclude(arms, elapsed, limit=100) == outcome


def test_an_end_of_an_interval_is_the_test_at_its_part_of_alpha() -> None:
    found = evidence((300, 2000), (250, 2000))
    (metric_,) = compare_arm(spec(metrics=BOTH[:1]), "b", found, others=3).metrics
    strata = ComparedMetric("m", 0, (found.counts[CountKey(LATE, "1000")],)).independent
    part = 1 / (ALPHA / (2 * 3 * 1))

    assert part == pytest.approx(120)
    assert log_e_worse(strata, metric_.low) >= math.log(part)
    assert log_e_within(strata, metric_.high) >= math.log(part)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 7), st.sampled_from([1, 2]))
def test_more_arms_and_metrics_only_widen(
    control: int, other: int, arms: int, metrics: int
) -> None:
    found = evidence((control, 3000), (other, 3000))
    narrow = compare_arm(spec(), "b", found, others=arms).metrics[0]
    wide = compare_arm(spec(metrics=BOTH[:metrics]), "b", found, arms + 1).metrics[0]

    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


def test_all_arms_share_alpha() -> None:
    found = {name: evidence((300, 2000), (250, 2000)) for name in ("b", "c", "d")}
    alone = compare_arm(spec(), "b", found["b"], others=1).metrics[0]
    together = compare_arms(spec(), found)

    assert [each.name for each in together] == ["b", "c", "d"]
    assert all(each.metrics[0].low < alone.low for each in together)


def grown(found: Analysis, factor: float, users: float = 1.0) -> Analysis:
    counts = {
        key: Stratum(
            *(Counts(side.total * factor, side.bad * factor) for side in (seen.stable, seen.canary))
        )
        for key, seen in found.counts.items()
    }
    more = Users(*(round(each * users) for each in found.users))
    return Analysis(counts, {}, more, round(found.seconds * factor))


def test_the_plan_is_known_once_both_sides_have_requests() -> None:
    assert plan_power(spec(), {"b": Analysis()}, {}) is None
    assert plan_power(spec(), {"b": evidence((9, 99), (100, 1000))}, {}) is None
    assert plan_power(spec(), {"b": evidence((9, 100), (100, 1000))}, {}) is not None


def test_the_plan_stays_when_the_counts_grow_as_they_were() -> None:
    found = evidence((200, 1000), (200, 1000), users=(300, 300))
    first = plan_power(spec(), {"b": found}, {})
    later = plan_power(spec(), {"b": grown(found, 2, 2)}, {})

    assert first is not None
    assert later is not None
    assert first.seconds == pytest.approx(later.seconds, rel=0.05)


def test_the_test_finds_the_effect_about_when_the_plan_says() -> None:
    """With the whole effect in the counts the test is done before the plan's end, which allows for chance."""
    plan = plan_power(spec(), {"b": evidence((200, 1000), (200, 1000))}, {})
    assert plan is not None
    assert plan.seconds is not None
    by_then = plan.seconds / 7200
    requests = round(1000 * by_then)
    found = evidence(
        (round(0.2 * requests), requests),
        (round(0.15 * requests), requests),
        seconds=round(plan.seconds),
    )
    assert compare_arm(spec(), "b", found, others=1).result is ArmResult.BETTER
    half = round(requests / 2)
    found = evidence((round(0.2 * half), half), (round(0.15 * half), half))
    assert compare_arm(spec(), "b", found, others=1).result is ArmResult.UNDECIDED


def test_a_smaller_effect_takes_longer() -> None:
    found = {"b": evidence((200, 1000), (200, 1000))}
    plans = [plan_power(spec(minimumEffectPercent=points), found, {}) for points in (8, 5, 3)]
    seconds = [plan.seconds or 0 for plan in plans if plan is not None]

    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_slowest_arm_and_metric_is_named() -> None:
    slow = both(evidence((500, 1000), (500, 1000)), evidence((10, 1000), (10, 1000), metric=ERRORS))
    plan = plan_power(spec(metrics=BOTH), {"b": slow, "c": grown(slow, 0.5)}, {})

    assert plan is not None
    assert plan.metric == LATE


def test_users_who_come_back_make_the_plan_longer() -> None:
    # Every second group is bad: requests of a user are alike.
    groups = {
        CountKey(LATE, group=g): Stratum(Counts(20, 8 * (g % 2)), Counts(20, 8 * (g % 2)))
        for g in range(64)
    }
    whole = Stratum(Counts(1280, 256), Counts(1280, 256))
    found = Analysis({CountKey(LATE, "1000"): whole, **groups}, {}, Users(200, 200), 7200)
    new, same = (
        plan_power(spec(), {"b": found}, {"b": UserGrowth(400, 7200, part)}) for part in (1.0, 0.0)
    )

    assert new is not None
    assert new.seconds is not None
    assert same is not None
    assert same.seconds is None or same.seconds > 1.5 * new.seconds
