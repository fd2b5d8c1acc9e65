"""A metric that is tested by all requests, and by those of which no user has many."""

import math
from dataclasses import replace

import pytest

from llmdeployment_operator.analysis.comparison import (
    Analysis,
    collect_counts,
    compare,
    is_exhausted,
    select_metric,
    select_metrics,
)
from llmdeployment_operator.analysis.counts import CountKey, Counts, DesignEffect, name_bounded
from llmdeployment_operator.analysis.e_values import Stratum, log_e_within, log_e_worse
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    Result,
    SequentialPolicy,
    judge,
)
from llmdeployment_operator.api.analysis_status import AnalysisStatus
from llmdeployment_operator.api.rollout import AnalysisSpec, MetricSpec
from llmdeployment_operator.plan.rollout.analysis_status import build_analysis, read_analysis

TTFT = MetricSpec(name="ttft", milliseconds=500)
KEY = "ttft>500ms"
SPEC = AnalysisSpec(metrics=(TTFT,), min_duration="0s")
EVEN = (Stratum(Counts(2000, 200), Counts(200, 20)),)
WORSE = (Stratum(Counts(2000, 200), Counts(200, 60)),)
BETTER = (Stratum(Counts(9000, 900), Counts(3000, 150)),)


def weigh(whole: tuple[Stratum, ...], bounded: tuple[Stratum, ...] | None) -> ComparedMetric:
    metric = ComparedMetric("ttft", 0.05, whole)
    if bounded is None:
        return metric
    return replace(metric, bounded=replace(metric, strata=bounded, note=" Bounded."))


@pytest.mark.parametrize(
    ("whole", "bounded", "result"),
    [
        (EVEN, None, Result.NEED_MORE_DATA),
        (EVEN, EVEN, Result.NEED_MORE_DATA),
        (EVEN, WORSE, Result.FAIL),
        (WORSE, EVEN, Result.FAIL),
        (WORSE, BETTER, Result.FAIL),
        (BETTER, WORSE, Result.FAIL),
        (EVEN, BETTER, Result.PASS),
        (BETTER, EVEN, Result.PASS),
        (BETTER, None, Result.PASS),
    ],
)
def test_either_weighing_decides_and_failing_goes_first(
    whole: tuple[Stratum, ...], bounded: tuple[Stratum, ...] | None, result: Result
) -> None:
    verdict = judge((weigh(whole, bounded),), SequentialPolicy())
    assert verdict.result is result
    (finding,) = verdict.findings
    assert finding.answered == whole[0].canary.total
    decides = {Result.FAIL: WORSE, Result.PASS: BETTER}.get(result, EVEN)
    assert finding.requests == decides[0].canary.total
    assert ("Bounded." in verdict.message) == (decides == bounded and whole != bounded)


def test_two_weighings_share_the_probability_of_an_error() -> None:
    alpha_fail = math.exp(-log_e_worse(WORSE, 0.05)) * 1.5
    alpha_pass = math.exp(-log_e_within(BETTER, 0.05)) * 1.5
    policy = SequentialPolicy(alpha_fail, alpha_pass)
    assert judge((weigh(WORSE, None),), policy).result is Result.FAIL
    assert judge((weigh(WORSE, EVEN),), policy).result is Result.NEED_MORE_DATA
    assert judge((weigh(BETTER, None),), policy).result is Result.PASS
    assert judge((weigh(BETTER, EVEN),), policy).result is Result.NEED_MORE_DATA
    third = SequentialPolicy(2 * alpha_fail, 2 * alpha_pass)
    assert judge((weigh(WORSE, EVEN),), third).result is Result.FAIL
    assert judge((weigh(BETTER, EVEN),), third).result is Result.PASS


def test_every_metric_must_pass_by_one_of_its_weighings() -> None:
    other = replace(weigh(EVEN, EVEN), name="e2e")
    assert judge((weigh(EVEN, BETTER), other), SequentialPolicy()).result is Result.NEED_MORE_DATA
    passing = replace(weigh(BETTER, EVEN), name="e2e")
    assert judge((weigh(EVEN, BETTER), passing), SequentialPolicy()).result is Result.PASS


def test_requests_left_are_those_of_all_users_by_the_nearer_weighing() -> None:
    near = (Stratum(Counts(4000, 400), Counts(400, 76)),)
    # The whole says nothing soon: its requests are alike. Of five requests of the canary one is in the bounded sample.
    far = (Stratum(Counts(20_000, 2000), Counts(2000, 380)),)
    whole = replace(weigh(far, near), design=DesignEffect(200.0, 200.0))
    policy = SequentialPolicy()
    alone = judge((ComparedMetric("ttft", 0.05, near),), policy.split(1, 2))
    both = judge((whole,), policy)
    assert (alone.result, both.result) == (Result.NEED_MORE_DATA, Result.NEED_MORE_DATA)
    assert alone.requests_left is not None
    assert both.requests_left == pytest.approx(5 * alone.requests_left, rel=0.01)


def count(bounded: dict[int, tuple[int, int]] | None) -> Analysis:
    """Return the evidence of a canary with one user who sent 900 of 1,000 requests, whose habit it is to be slow.

    The stable revision had ten times the requests, of users with habits too. `bounded` are requests of each revision and slow ones of
    the bounded sample, spread over all groups.
    """
    key = CountKey(KEY)
    stable = {key: Counts(16_000, 1600)} | {
        key._replace(group=g): Counts(250, 40 if g % 4 else 0) for g in range(64)
    }
    stable[key._replace(group=1)] = Counts(250, 10)
    canary = {key: Counts(1008, 300)} | {key._replace(group=g): Counts(2, 0) for g in range(1, 55)}
    canary[key._replace(group=0)] = Counts(900, 300)
    rows = {1: stable, 2: canary}
    for revision, (total, bad) in (bounded or {}).items():
        bounded_key = CountKey(name_bounded(KEY))
        rows[revision][bounded_key] = Counts(total, bad)
        for g in range(16):
            rows[revision][bounded_key._replace(group=g)] = Counts(total // 16, bad // 16)
    return collect_counts(Analysis(), rows, (1, 2), {1: 900, 2: 55}, 400, past={})


def test_a_user_who_sends_much_does_not_keep_the_verdict_from_others() -> None:
    alone, _ = compare(SPEC, count(None))
    assert alone.result is Result.NEED_MORE_DATA
    assert "independent ones" in alone.message

    verdict, told = compare(SPEC, count({1: (4800, 480), 2: (320, 112)}))
    assert verdict.result is Result.FAIL
    assert "35.0 % of 320 canary requests were slow" in told.message
    assert "Of each user about 20 in ten minutes count." in told.message
    assert (verdict.findings[0].requests, verdict.findings[0].answered) == (320, 1008)
    assert verdict.findings[0].name == KEY


@pytest.mark.parametrize(
    ("bounded", "weighings"),
    [
        (None, 1),
        ({1: (4800, 480), 2: (320, 112)}, 2),
        ({1: (16_000, 1600), 2: (320, 112)}, 2),
        # Nobody sends much: it is the same sample.
        ({1: (16_000, 1600), 2: (1008, 300)}, 1),
        # Replicas of one revision are of an older image.
        ({2: (320, 112)}, 1),
        ({1: (4800, 480)}, 1),
    ],
)
def test_the_bounded_sample_is_a_weighing_if_it_is_another_sample(
    bounded: dict[int, tuple[int, int]] | None, weighings: int
) -> None:
    (metric,) = select_metrics(SPEC, count(bounded))
    assert len(metric.weighings) == weighings
    assert {each.name for each in metric.weighings} == {KEY}
    # An experiment has the whole alone.
    alone = select_metric(count(bounded), TTFT, expects_clumps=False)
    assert replace(metric, bounded=None) == alone


def test_requests_of_all_users_are_spent() -> None:
    verdict, _ = compare(SPEC, count({1: (4800, 480), 2: (320, 32)}))
    assert verdict.result is Result.NEED_MORE_DATA
    for most, spent in ((1008, True), (1009, False)):
        spec = SPEC.model_copy(update={"max_requests": most})
        assert is_exhausted(spec, verdict) is spent


def test_status_has_room_for_both_weighings_of_all_metrics() -> None:
    names = [f"pattern/{'x' * 30}{n:02}" for n in range(11)] + ["errorRate"]
    keys = [CountKey(each) for name in names for each in (name, name_bounded(name))]
    keys += [key._replace(group=3) for key in keys]
    rows = {key: Counts(40, 2) for key in keys}
    found = collect_counts(Analysis(), {1: rows, 2: rows}, (1, 2), {}, 400, past={})
    row = build_analysis(found)
    assert len(row.metrics) == 24
    assert read_analysis(row).counts == found.counts
    assert AnalysisStatus.model_validate(row.model_dump(by_alias=True)) == row
