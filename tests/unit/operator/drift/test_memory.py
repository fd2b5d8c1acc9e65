"""The windows of a revision, written and read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.analysis.counts import GROUPS, CountKey, Counts
from llmdeployment_operator.api.drift import DriftSpec
from llmdeployment_operator.api.drift_status import MOST_STATE
from llmdeployment_operator.plan.drift.memory import build_row, read_state
from llmdeployment_operator.plan.drift.windows import DriftState, MetricState, advance

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPEC = DriftSpec(min_requests=100)
LOOKS = st.lists(
    st.tuples(st.integers(0, 5 * 3600), st.integers(0, 300), st.integers(0, 300), st.integers(0, 63)),
    max_size=40,
)  # fmt: skip  # because it is one thing


@given(LOOKS)
def test_what_is_written_is_read_and_nothing_is_negative(
    looks: list[tuple[int, int, int, int]],
) -> None:
    state, now, asked = DriftState("x", NOW, NOW, metrics={"refusal": MetricState()}), NOW, 0
    for seconds, good, bad, group in looks:
        now += timedelta(seconds=seconds)
        fresh = Counts(good + bad, bad)
        asked += good + bad
        keys = {CountKey("refusal", "1024"): fresh, CountKey("refusal", group=group): fresh}
        state = advance(state, SPEC, keys, 1, now)
        row = build_row(state)
        read = read_state(row)
        assert read is not None
        assert build_row(read) == row
        state = read
    window = state.metrics["refusal"].window
    counted = window.first.total + window.pair.canary.total + window.current.total
    assert counted <= asked
    if state.first_ended is None:
        assert counted == asked == state.requests


def test_the_largest_state_has_room() -> None:
    huge = Counts(10**9, 10**9 - 1)
    groups = {CountKey("refusal", group=group): huge for group in range(GROUPS)}
    state = DriftState("x", NOW, NOW, metrics={"refusal": MetricState()})
    for hour in range(40):
        now = NOW + timedelta(hours=hour)
        state = advance(state, SPEC, {CountKey("refusal"): huge, **groups}, 1, now)
        (metric,) = build_row(state).metrics
        assert 0 < len(metric.state) < MOST_STATE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"blocks":[[0,0],', '"blocks":['),
        ('"blocks":[[0,0]', '"blocks":[[0,1]'),
        ('"pair":[0,0,0,0]', '"pair":[0,0,0,-1]'),
        ('"groups":[]', '"groups":[[64,1,1]]'),
        ('"pairs":[0,', '"pairs":[-1,'),
        ('"pairs":[0,0.0', '"pairs":[0,NaN'),
        ('"current":[0,0]', '"current":0'),
        ('"found":false', '"lost":false'),
        ("{", "["),
    ],
)
def test_what_cannot_be_true_is_not_believed(old: str, new: str) -> None:
    row = build_row(DriftState("x", NOW, NOW, metrics={"refusal": MetricState()}))
    (metric,) = row.metrics
    assert old in metric.state
    bad = metric.model_copy(update={"state": metric.state.replace(old, new, 1)})
    assert read_state(row) is not None
    assert read_state(row.model_copy(update={"metrics": (bad,)})) is None
    assert read_state(None) is None
