"""Whether a share differs from that of the first window: what is found, what is not, and how sure that is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.analysis.counts import Counts, DesignEffect
from llmdeployment_operator.analysis.drift import (
    BLOCKS,
    MIN_REQUESTS,
    MetricWindow,
    choose_thresholds,
    estimate_designs,
    find_changes,
    split_alpha,
)
from llmdeployment_operator.analysis.e_values import Stratum, log_e_worse

DAY = 86400
ALPHA = split_alpha(DAY, 9)


def played(
    first: Counts, present: Counts, blocks: int = BLOCKS, groups: int = 0, together: int = 0
) -> MetricWindow:
    """Return a metric with these counts in each block; `together` groups of users have all of the bad requests."""
    metric = MetricWindow()
    for block in range(BLOCKS):
        metric = metric.count(first, spread(first, groups, together)).close_first(block)
    for block in range(blocks):
        metric = metric.count(present, spread(present, groups, together)).close(block)
    return metric


def spread(counts: Counts, groups: int, together: int) -> dict[int, Counts]:
    return {
        group: Counts(counts.total / groups, counts.bad / together if group < together else 0)
        for group in range(groups)
    }


def drifts(metric: MetricWindow, tolerance: float = 0.03, alpha: float = ALPHA) -> bool:
    return find_changes({"x": metric}, tolerance, alpha)["x"].drifts


def test_the_worked_example() -> None:
    """One revision, 9 metrics, days: 32 windows touch any 31 days."""
    assert pytest.approx(0.01 / (32 * 9 * 2)) == ALPHA
    assert round(-math.log(ALPHA), 1) == 11.0
    assert split_alpha(DAY, 9, revisions=2) == ALPHA / 2


@pytest.mark.parametrize(("hours", "windows"), [(1, 745), (24, 32), (48, 17), (168, 6)])
def test_as_many_windows_touch_31_days_as_alpha_is_divided_by(hours: int, windows: int) -> None:
    starts = range(-hours + 1, 31 * 24)
    most = max(len(range(first, 31 * 24, hours)) for first in starts[:hours])
    assert most <= windows <= most + 1
    assert split_alpha(hours * 3600, 1) == pytest.approx(0.01 / windows / 2)


@pytest.mark.parametrize(
    ("first", "present", "found"),
    [(10, 10, False), (10, 24, False), (10, 60, True), (60, 10, True), (60, 46, False)],
)
def test_both_directions_are_found_beyond_the_tolerance(
    first: int, present: int, *, found: bool
) -> None:
    metric = played(Counts(500, first), Counts(500, present))
    assert drifts(metric) is found
    change = find_changes({"x": metric}, 0.03, ALPHA)["x"]
    assert (change.first, change.present) == (first / 500, present / 500)


def test_the_evidence_is_that_of_the_sequential_test() -> None:
    metric = played(Counts(500, 10), Counts(500, 60), blocks=7)
    (design,) = estimate_designs({"x": metric}).values()
    assert design.stable == design.canary > 1
    log_e = log_e_worse([metric.pair.divide(design)], 0.03)
    assert drifts(metric, alpha=math.exp(-log_e) * 1.001)
    assert not drifts(metric, alpha=math.exp(-log_e) * 0.999)
    swapped = played(Counts(500, 60), Counts(500, 10), blocks=7)
    (design,) = estimate_designs({"x": swapped}).values()
    pair = swapped.pair.divide(design)
    log_e = log_e_worse([Stratum(pair.canary, pair.stable)], 0.03)
    assert drifts(swapped, alpha=math.exp(-log_e) * 1.001)
    assert not drifts(swapped, alpha=math.exp(-log_e) * 0.999)


def test_a_rhythm_of_the_day_is_no_change() -> None:
    """Half as many by night: 4 hours of a night are compared with those of the first night, not with the day."""
    metric = MetricWindow()
    shares = [10 if block < BLOCKS // 2 else 200 for block in range(BLOCKS)]
    for block, bad in enumerate(shares):
        metric = metric.count(Counts(500, bad), {}).close_first(block)
    for block in range(BLOCKS):
        metric = metric.count(Counts(500, shares[block]), {}).close(block)
        assert not drifts(metric, tolerance=0.01)
    assert metric.pair == Stratum(metric.first, metric.first)


def test_a_block_that_either_window_lacks_is_not_compared() -> None:
    metric = played(Counts(500, 10), Counts(500, 60), blocks=3)
    assert metric.close(3).pair == metric.pair
    empty = MetricWindow().count(Counts(500, 10), {}).close_first(0)
    assert empty.count(Counts(500, 60), {}).close(1).pair.canary.total == 0
    assert find_changes({"x": empty}, 0.03, ALPHA) == {}


def test_little_says_nothing() -> None:
    few = Counts(MIN_REQUESTS // 2 - 1, MIN_REQUESTS // 2 - 1)
    assert not drifts(played(Counts(5000, 0), few, blocks=2), alpha=0.5)
    enough = Counts(MIN_REQUESTS // 2, MIN_REQUESTS // 2)
    assert drifts(played(Counts(5000, 0), enough, blocks=2), alpha=0.5)
    assert not drifts(played(Counts(5000, 0), Counts(MIN_REQUESTS, 90), blocks=1), alpha=0.5)


def test_bad_requests_of_a_few_users_are_less_evidence() -> None:
    many = played(Counts(640, 13), Counts(640, 77), blocks=8, groups=64, together=64)
    few = played(Counts(640, 13), Counts(640, 77), blocks=8, groups=64, together=8)
    assert drifts(many)
    assert not drifts(few)


def test_requests_of_a_block_are_taken_to_be_alike_until_the_data_say() -> None:
    """Of 500 requests each, 2 blocks that do not differ: 1 + (3 * 0.005 + 1 * 0) / (3 + 1) * 499."""
    (design,) = estimate_designs({"x": played(Counts(500, 10), Counts(500, 60), 2)}).values()
    assert design == pytest.approx((2.87125, 2.87125))


def test_what_is_not_counted_by_user_is_as_much_alike_as_what_is_most() -> None:
    alike = played(Counts(640, 13), Counts(640, 77), groups=64, together=8)
    less = played(Counts(640, 13), Counts(640, 77), groups=64, together=16)
    lengths = played(Counts(640, 13), Counts(640, 77))
    designs = estimate_designs({"alike": alike, "less": less, "lengths": lengths})
    assert designs["lengths"] == pytest.approx(designs["alike"])
    assert designs["alike"].stable > designs["less"].stable > 1
    assert estimate_designs({"lengths": lengths})["lengths"] < DesignEffect(5, 5)


def test_thresholds_are_nearest_to_median_and_90th_percentile() -> None:
    longer = {10: 99, 50: 55, 75: 46, 300: 18, 500: 9, 750: 2}
    firsts = {length: Counts(100, bad) for length, bad in longer.items()}
    assert choose_thresholds(firsts) == (75, 500)
    assert choose_thresholds({50: Counts(100, 30)}) == (50,)
    assert choose_thresholds({}) == ()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=BLOCKS, max_size=BLOCKS),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=BLOCKS),
)
def test_counts_of_blocks_are_never_lost_nor_twice(
    first: list[tuple[int, int]], present: list[tuple[int, int]]
) -> None:
    metric = MetricWindow()
    for block, (good, bad) in enumerate(first):
        metric = metric.count(Counts(good + bad, bad), {0: Counts(good + bad, bad)})
        metric = metric.close_first(block)
    for block, (good, bad) in enumerate(present):
        metric = metric.count(Counts(good + bad, bad), {}).close(block)
    assert metric.first.total == sum(map(sum, first))
    assert metric.first_groups.get(0, Counts()) == metric.first
    both = [block for block, each in enumerate(present) if sum(each) and sum(first[block])]
    assert metric.pair.canary.total == sum(sum(present[block]) for block in both)
    assert metric.pair.stable.bad == sum(first[block][1] for block in both)
    assert metric.pairs.number == len(both)
    assert metric.begin_window() == MetricWindow(metric.blocks, metric.first_groups)
