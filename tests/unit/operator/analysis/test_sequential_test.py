"""What is made of the evidence."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.verdicts import EXAMPLE, errors, stratum, ttft

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import Stratum, log_e_worse
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    Result,
    SequentialPolicy,
    judge,
)


@pytest.mark.parametrize(
    ("several", "expected"),
    [
        # Every prompt length is as before, the canary got more of the long ones.
        ([stratum((500, 50000), (50, 5000)), stratum((9000, 10000), (9000, 10000))], Result.PASS),
        # The same counts without prompt lengths: a canary that is much slower.
        ([stratum((9500, 60000), (9050, 15000))], Result.FAIL),
        # Slower at every length, though not over all: it got more of the short ones.
        ([stratum((50, 5000), (200, 4000)), stratum((500, 1000), (150, 200))], Result.FAIL),
        ([stratum((550, 6000), (350, 4200))], Result.PASS),
        # A length that is worse beside many that are not: the average is what counts.
        ([stratum((1000, 90000), (100, 9000)), stratum((100, 1000), (20, 100))], Result.PASS),
        # A length that the stable never saw says nothing.
        ([stratum((0, 0), (300, 300)), stratum((200, 20000), (20, 2000))], Result.PASS),
    ],
)
def test_strata_compare_like_with_like(several: list[Stratum], expected: Result) -> None:
    assert judge([ttft(*several)], SequentialPolicy()).result is expected


@pytest.mark.parametrize(
    ("metric", "policy", "result", "left", "message"),
    [
        (
            ttft(stratum((251, 8104), (49, 412))),
            SequentialPolicy(),
            Result.FAIL,
            0,
            (
                "ttft: 11.9 % of 412 canary requests were slow, and 3.1 % of 8,104 stable ones. "
                "The canary is worse by 8.8 points (2.3 to 17.6). The tolerance is 2 points."
            ),
        ),
        (
            errors(stratum((60, 30000), (2, 1500))),
            SequentialPolicy(),
            Result.PASS,
            0,
            (
                "All metrics (1) are within tolerance. "
                "errors: 0.13 % of 1,500 canary requests were in error, and 0.20 % of 30,000 stable ones. "
                "The canary is better by 0.07 points (-0.72 to 0.30). The tolerance is 1 points."
            ),
        ),
        (
            errors(stratum((20, 10000), (1, 500))),
            SequentialPolicy(),
            Result.NEED_MORE_DATA,
            696,
            (
                "About 700 more canary requests are needed. "
                "errors: 0.20 % of 500 canary requests were in error, and 0.20 % of 10,000 stable ones. "
                "The canary is worse by 0.00 points (-0.40 to 1.9). The tolerance is 1 points."
            ),
        ),
        (
            errors(stratum((20, 10000), (1, 500))),
            SequentialPolicy(max_requests=500),
            Result.NEED_MORE_DATA,
            0,
            (
                "There is no verdict after 500 canary requests. "
                "errors: 0.20 % of 500 canary requests were in error, and 0.20 % of 10,000 stable ones. "
                "The canary is worse by 0.00 points (-0.40 to 1.9). The tolerance is 1 points."
            ),
        ),
        (
            ttft(stratum((1000, 10000), (120, 1000))),
            SequentialPolicy(),
            Result.NEED_MORE_DATA,
            None,
            (
                "No verdict is in sight. "
                "ttft: 12.0 % of 1,000 canary requests were slow, and 10.0 % of 10,000 stable ones. "
                "The canary is worse by 2.0 points (-2.6 to 7.3). The tolerance is 2 points."
            ),
        ),
        (
            ttft(stratum((0, 100), (10, 10))),
            SequentialPolicy(),
            Result.NEED_MORE_DATA,
            40,
            (
                "About 40 more canary requests are needed. "
                "ttft: 100.0 % of 10 canary requests were slow, and 0.00 % of 100 stable ones. "
                "The canary is worse by 100.0 points (38.0 to 100.0). The tolerance is 2 points."
            ),
        ),
        (
            ttft(stratum((3, 60), (0, 0))),
            SequentialPolicy(),
            Result.NEED_MORE_DATA,
            None,
            "No verdict is in sight. ttft: the stable revision and the canary have no comparable requests yet.",
        ),
    ],
)
def test_what_is_said(
    metric: ComparedMetric, policy: SequentialPolicy, result: Result, left: int | None, message: str
) -> None:
    verdict = judge([metric], policy)
    assert (verdict.result, verdict.requests_left) == (result, left)
    assert verdict.message == message
    assert verdict.metric == (None if result is Result.PASS else metric.name)


GOOD = errors(stratum((60, 30000), (2, 1500)))
BAD = ttft(stratum((251, 8104), (49, 412)))
OPEN = errors(stratum((20, 10000), (1, 500)))


@pytest.mark.parametrize(
    ("metrics", "result", "metric"),
    [
        ([GOOD, BAD], Result.FAIL, "ttft"),
        ([OPEN, BAD], Result.FAIL, "ttft"),
        ([GOOD, replace(OPEN, name="itl")], Result.NEED_MORE_DATA, "itl"),
        ([GOOD, replace(GOOD, name="itl")], Result.PASS, None),
        # A canary that answers nothing has no TTFT: its errors alone must be able to fail it.
        (
            [errors(stratum((0, 1000), (90, 90))), ttft(stratum((9, 99), (0, 0)))],
            Result.FAIL,
            "errors",
        ),
    ],
)
def test_one_metric_fails_and_all_pass(
    metrics: list[ComparedMetric], result: Result, metric: str | None
) -> None:
    verdict = judge(metrics, SequentialPolicy())
    assert (verdict.result, verdict.metric) == (result, metric)


def test_the_more_metrics_the_more_it_takes_to_fail() -> None:
    barely = ttft(stratum((2, 40), (8, 9)), tolerance=0.1)
    others = [replace(GOOD, name=str(number)) for number in range(9)]
    policy = SequentialPolicy(min_requests=9)
    assert judge([barely], policy).result is Result.FAIL
    assert judge([barely, *others], policy).result is Result.NEED_MORE_DATA


@given(st.integers(1, 40), st.integers(0, 8), st.integers(4, 10))
def test_a_clear_difference_fails_once_there_is_enough_of_it(
    size: int, stable: int, more: int
) -> None:
    big = 50 * size
    s = stratum((stable * 10 * big, 200 * big), ((stable + more) * big, 20 * big))
    assert judge([ttft(s)], SequentialPolicy()).result is Result.FAIL


@given(st.integers(0, 10))
def test_no_difference_passes_once_there_is_enough_of_it(tenths: int) -> None:
    s = stratum((tenths * 20000, 200000), (tenths * 1500, 15000))
    assert judge([ttft(s)], SequentialPolicy()).result is Result.PASS


@pytest.mark.parametrize(
    ("bad", "requests"),
    [(3, 100), (5, 100), (10, 100), (20, 100), (100, 1000), (160, 1000)],
)
def test_the_requests_that_are_left_are_about_those_it_takes(bad: int, requests: int) -> None:
    stable, canary = Counts(20 * requests, 2 * requests), Counts(requests, bad)
    left = judge([ttft(Stratum(stable, canary))], SequentialPolicy()).requests_left
    assert left

    def after(more: float) -> Result:
        stratum = Stratum(*(Counts(a.total * more, a.bad * more) for a in (stable, canary)))
        return judge([ttft(stratum)], SequentialPolicy()).result

    assert after(1 + 0.7 * left / requests) is Result.NEED_MORE_DATA
    assert after(1 + 1.4 * left / requests) is not Result.NEED_MORE_DATA


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Counts(3, 5), "bad: 5 is not a part of 3 requests"),
        (lambda: Counts(3, -1), "bad: -1 is not a part of 3 requests"),
        (lambda: Counts(-3, -4), "total: -3 is not a number of requests"),
        (lambda: Counts(math.inf, 1), "total: inf is not a number of requests"),
        (lambda: Counts(9, math.nan), "bad: nan is not a part of 9 requests"),
        (lambda: ttft(EXAMPLE, tolerance=math.nan), "tolerance: nan of ttft is beyond 0.99"),
        (lambda: ttft(EXAMPLE, tolerance=-1), "tolerance: -1 of ttft is beyond 0.99"),
        (ttft, "strata: ttft has none"),
        (lambda: SequentialPolicy(alpha_fail=0), "alpha_fail: 0 is not between 0 and 1"),
        (lambda: SequentialPolicy(alpha_pass=math.nan), "alpha_pass: nan is not between 0 and 1"),
        (lambda: SequentialPolicy(min_requests=0), "min_requests: 0 is not positive"),
        (lambda: SequentialPolicy(max_requests=49), "max_requests: 49 is less than min_requests"),
    ],
)
def test_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # because the message is compared below
        make()
    assert str(refused.value) == message


@pytest.mark.parametrize("metrics", [[], [BAD, BAD]], ids=["none", "two of one name"])
def test_metrics_need_names_of_their_own(metrics: list[ComparedMetric]) -> None:
    with pytest.raises(ValueError, match="metrics: at least one is needed"):
        judge(metrics, SequentialPolicy())


@pytest.mark.parametrize(
    "scores",
    [{0.0: 0.7, 1.0: 0.3}, {0.0: 0.5, 0.5: 0.3, 1.0: 0.2}, {0.2: 0.9, 0.9: 0.1}, {0.5: 1.0}],
)
def test_what_is_bad_in_part_is_no_more_evidence_than_what_is_wholly_bad(
    scores: dict[float, float],
) -> None:
    """Of equal arms, E(0) is 1 at most on average over all that three votes of each may be."""
    mean = 0.0
    for votes in product(scores, repeat=6):
        arms = Counts(3, min(3.0, sum(votes[:3]))), Counts(3, min(3.0, sum(votes[3:])))
        chance = math.prod(scores[vote] for vote in votes)
        mean += chance * math.exp(log_e_worse([Stratum(*arms)], 0.0))
    assert 0.1 < mean <= 1
