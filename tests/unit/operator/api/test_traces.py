from typing import Any

import pytest
from tests.unit.operator.api.test_monitoring import build, refuse

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.revisions import extract_template


def traced(traces: Any) -> Any:
    return build(monitoring={"traces": traces})


@pytest.mark.parametrize(
    ("traces", "sentence"),
    [
        ({"samplePercent": 101}, "less than or equal to 100"),
        ({"samplePercent": -1}, "greater than or equal to 0"),
        ({"samplePercent": 0.5}, "valid integer"),
        ({"slowerThan": "30"}, "must be a whole number of seconds or milliseconds"),
        ({"slowerThan": "0s"}, "must be a whole number of seconds or milliseconds"),
        ({"slowerThan": "10000s"}, "must be a whole number of seconds or milliseconds"),
        ({"slowerThan": "5m"}, "must be a whole number of seconds or milliseconds"),
        ({"slowerThan": "1.5s"}, "must be a whole number of seconds or milliseconds"),
        ({"endpoint": "http://collector"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_traces_are_refused(traces: Any, sentence: str) -> None:
    assert sentence in refuse(traced(traces))


@pytest.mark.parametrize(
    ("text", "seconds"), [("1ms", 0.001), ("500ms", 0.5), ("5s", 5.0), ("9999s", 9999.0)]
)
def test_a_threshold_is_read_in_seconds(text: str, seconds: float) -> None:
    traces = parse(traced({"slowerThan": text})).spec.monitoring.traces

    assert traces is not None
    assert traces.slower_than_seconds == seconds


def test_nobody_asked_for_traces_is_no_traces() -> None:
    assert parse(build()).spec.monitoring.traces is None
    found = parse(traced({})).spec.monitoring.traces
    assert found is not None
    assert (found.sample_percent, found.slower_than_seconds) == (1, 30.0)


def test_traces_make_no_new_revision() -> None:
    assert extract_template(parse(traced({}))) == extract_template(parse(build()))
