"""The bound that leaves out looks: it may be too high, and never too low."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.verdicts import differences, strata

from llmdeployment_operator.analysis.comparison import Analysis, collect_counts, compare
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.e_values import Stratum, log_e_within, log_e_worse
from llmdeployment_operator.analysis.evidence_bound import (
    WITHIN,
    WORSE,
    bound_evidence,
    is_spent,
    may_decide,
)
from llmdeployment_operator.analysis.sequential_test import Result
from llmdeployment_operator.api.rollout import AnalysisSpec

SPEC = AnalysisSpec.model_validate(
    {
        "metrics": [{"name": "errorRate"}, {"name": "ttft", "milliseconds": 500}],
        "minDuration": "0s",
    }
)


@given(strata, differences)
def test_the_evidence_is_never_above_the_bound(seen: tuple[Stratum, ...], tolerance: float) -> None:
    assert bound_evidence(seen, tolerance, WORSE) >= log_e_worse(seen, tolerance) - 1e-9
    assert bound_evidence(seen, tolerance, WITHIN) >= log_e_within(seen, tolerance) - 1e-9


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_the_bound_is_close_where_the_stable_share_is_known(share: float) -> None:
    seen = [Stratum(Counts(9000, 900), Counts(1000, 1000 * share))]
    side, evidence = (WORSE, log_e_worse) if share > 0.15 else (WITHIN, log_e_within)

    assert 0 <= bound_evidence(seen, 0.05, side) - evidence(seen, 0.05) < 1.5


def evidence(
    stable: int, canary: int, errors: float, slow: float, groups: int, bounded: float = 0.0
) -> Analysis:
    """Counts spread evenly over groups of users, so that their design effect is small; `bounded` is the part in the bounded sample."""
    found = spread(stable, canary, {"errorRate": errors, "ttft>500ms": slow}, groups)
    if bounded:
        parts = [int(n * bounded) for n in (stable, canary)]
        shares = {"errorRate, bounded": errors, "ttft>500ms, bounded": min(1.0, 2 * slow)}
        found |= spread(*parts, shares, min(groups, 16))
    fresh = {1: {key: one for key, (one, _) in found.items()}}
    fresh[2] = {key: other for key, (_, other) in found.items()}
    return collect_counts(Analysis(), fresh, (1, 2), {1: 900, 2: 100}, 400, past={})


def spread(
    stable: int, canary: int, bad: dict[str, float], groups: int
) -> dict[CountKey, list[Counts]]:
    found = {}
    for metric, share in bad.items():
        shares = (0.002 if metric.startswith("errorRate") else 0.1, share)
        sides = [Counts(n, int(n * p)) for n, p in zip((stable, canary), shares, strict=True)]
        found[CountKey(metric)] = sides
        for group in range(groups):
            parts = [
                Counts(each.total // groups, min(each.total // groups, int(each.bad) // groups))
                for each in sides
            ]
            found[CountKey(metric, group=group)] = parts
    return found


@given(
    st.integers(0, 20_000),
    st.integers(0, 5_000),
    st.floats(0, 0.2),
    st.floats(0, 0.5),
    st.sampled_from([1, 4, 64]),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.1, 0.9]),
)
def test_what_is_left_out_has_no_verdict(
    stable: int, canary: int, errors: float, slow: float, groups: int, steps: int, bounded: float
) -> None:
    seen = evidence(stable, canary, errors, slow, groups, bounded)
    verdict, _ = compare(SPEC, seen, steps)

    if not may_decide(SPEC, seen, steps, may_pass=True):
        assert verdict.result is Result.NEED_MORE_DATA
    if not may_decide(SPEC, seen, steps, may_pass=False):
        assert verdict.result is not Result.FAIL


def test_a_look_is_worth_it_when_there_is_a_verdict_and_not_before() -> None:
    good, bad = evidence(20_000, 4_000, 0.002, 0.1, 64), evidence(20_000, 4_000, 0.05, 0.1, 64)

    assert may_decide(SPEC, good, 1, may_pass=True)
    assert not may_decide(SPEC, good, 1, may_pass=False)
    assert may_decide(SPEC, bad, 1, may_pass=False)
    assert not may_decide(SPEC, evidence(200, 20, 0.002, 0.1, 64), 1, may_pass=True)
    # One group says nothing, unless by the bounded sample.
    alike = evidence(20_000, 4_000, 0.002, 0.12, 1)
    both = evidence(20_000, 4_000, 0.002, 0.12, 64, bounded=0.5)
    assert not may_decide(SPEC, alike, 1, may_pass=False)
    assert may_decide(SPEC, both, 1, may_pass=False)


def test_before_min_duration_nothing_passes() -> None:
    # Without minutes, or with minDuration above 0 these would be taken for one clump.
    good = replace(evidence(20_000, 4_000, 0.002, 0.1, 64), minutes={})
    spec = SPEC.model_copy(update={"min_duration": "401s"})

    assert not may_decide(spec, good, 1, may_pass=True)
    assert may_decide(spec, replace(good, seconds=401), 1, may_pass=True)


@pytest.mark.parametrize(("most", "spent"), [(None, False), (4_001, False), (4_000, True)])
def test_requests_are_spent_at_max_requests(most: int | None, *, spent: bool) -> None:
    spec = SPEC.model_copy(update={"max_requests": most})

    assert is_spent(spec, evidence(20_000, 4_000, 0.002, 0.1, 64)) is spent
