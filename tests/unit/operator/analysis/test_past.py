"""The stable revision's past in a comparison: taken once, bounded, in status, and worth requests."""

import pytest

from llmdeployment_operator.analysis.comparison import (
    PAST_REQUESTS,
    Analysis,
    collect_counts,
    compare,
)
from llmdeployment_operator.analysis.counts import CACHED, CountKey, Counts, RevisionCounts
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.sequential_test import Result
from llmdeployment_operator.api.rollout import AnalysisSpec, MetricSpec
from llmdeployment_operator.plan.rollout.analysis_status import build_analysis, read_analysis

SLOW = CountKey("ttft>500ms", "1024")
SPEC = AnalysisSpec(
    metrics=(MetricSpec(name="ttft", milliseconds=500, tolerance_percent=5),), min_duration="0s"
)


def collect(
    before: Analysis, stable: Counts, canary: Counts, past: RevisionCounts, key: CountKey = SLOW
) -> Analysis:
    fresh = {1: {key: stable}, 2: {key: canary}}
    return collect_counts(before, fresh, (1, 2), {}, 0, past)


def past_of(total: int, bad: int, key: CountKey = SLOW) -> RevisionCounts:
    return {1: {key: Counts(total, bad)}, 2: {key: Counts(9, 9)}}


@pytest.mark.parametrize(
    ("past", "taken"),
    [
        ({}, Counts()),
        (past_of(0, 0), Counts()),
        (past_of(900, 90), Counts(900, 90)),
        (past_of(2000, 2000), Counts(2000, 2000)),
        # 12,000 of which 1,201 were bad count like 2,000 of which 200.1 were.
        (past_of(12_000, 1201), Counts(2000, 200)),
        ({2: {SLOW: Counts(100, 10)}}, Counts()),
    ],
)
def test_the_stable_revisions_past_is_taken_up_to_a_bound(
    past: RevisionCounts, taken: Counts
) -> None:
    assert PAST_REQUESTS == 2000
    found = collect(Analysis(), Counts(10, 1), Counts(2), past)
    assert found.counts[SLOW] == Stratum(Counts(10, 1), Counts(2), taken)


def test_the_past_is_taken_when_a_metric_is_first_counted_and_stays() -> None:
    first = collect(Analysis(), Counts(), Counts(), past_of(100, 10))
    second = collect(first, Counts(5, 1), Counts(1), past_of(500, 100))
    assert second.counts[SLOW] == Stratum(Counts(5, 1), Counts(1), Counts(100, 10))


@pytest.mark.parametrize("key", [CountKey("ttft>500ms", group=3), CountKey(CACHED)])
def test_groups_of_users_and_cached_tokens_have_no_past(key: CountKey) -> None:
    found = collect(Analysis(), Counts(10, 1), Counts(2), past_of(100, 10, key), key)
    assert found.counts[key].before == Counts()


def test_status_keeps_the_past() -> None:
    found = collect(Analysis(), Counts(10, 1), Counts(2), past_of(100, 10))
    row = build_analysis(found)
    assert (row.metrics[0].before, row.metrics[0].before_bad) == (100, 10)
    assert read_analysis(row).counts == found.counts


def test_a_past_that_still_holds_makes_the_verdict_earlier_and_another_one_changes_none() -> None:
    def judge(past: RevisionCounts) -> Result:
        counted = collect(Analysis(), Counts(1900, 190), Counts(600, 60), past)
        return compare(SPEC, counted)[0].result

    assert judge({}) is Result.NEED_MORE_DATA
    assert judge(past_of(2000, 200)) is Result.PASS
    assert judge(past_of(2000, 1000)) is Result.NEED_MORE_DATA
