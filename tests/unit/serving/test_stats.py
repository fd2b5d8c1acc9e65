import pytest

from llmdeployment_serving.stats import (
    BOUNDS,
    EngineSnapshot,
    Histogram,
    RevisionStats,
    exposition,
    stats_document,
)


def test_bounds_rise_and_hold_the_round_targets() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert {0.001, 0.05, 0.2, 0.5, 1.0, 5.0, 750.0} <= set(BOUNDS)


def test_a_duration_equal_to_a_bound_belongs_to_it() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.5, 0.500001, 10_000.0):
        histogram.observe(seconds)

    document = histogram.as_json()
    cumulative = dict(map(tuple, document["buckets"]))
    assert (cumulative[0.001], cumulative[0.5], cumulative[0.75], cumulative[750.0]) == (1, 2, 3, 3)
    assert cumulative["+Inf"] == document["count"] == 4
    assert document["sum"] == pytest.approx(10_001.000001)


def test_the_text_format_says_whose_numbers_these_are() -> None:
    stats = RevisionStats()
    stats.requests["200"] += 2
    stats.ttft.observe(0.3)
    snapshot = EngineSnapshot(1, 2, 0.5, 10, 20, {})

    text = exposition(stats_document("simulated", "chat", snapshot, {"3": stats})).decode()

    assert 'llmdeployment_requests_running{engine="simulated",model="chat"} 1.0' in text
    assert 'llmdeployment_generation_tokens_total{engine="simulated",model="chat"} 20.0' in text
    assert (
        'llmdeployment_requests_total{code="200",engine="simulated",model="chat",revision="3"} 2.0'
        in text
    )
    assert (
        'llmdeployment_time_to_first_chunk_seconds_bucket{engine="simulated",le="0.3",model="chat",revision="3"} 1.0'
        in text
    )
    assert "vllm" not in text
