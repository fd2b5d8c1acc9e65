import json

import pytest

from llmdeployment_serving.stats import (
    BOUNDS,
    TOKEN_BOUNDS,
    ByPromptLength,
    EngineSnapshot,
    Histogram,
    RevisionStats,
    build_stats,
    find_length_bucket,
    render_metrics,
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
    stats.ttft.observe(0.3, 0)
    stats.output_tokens.observe(40, 1)
    snapshot = EngineSnapshot(1, 2, 0.5, 10, 20, {})

    text = render_metrics(build_stats("simulated", "chat", snapshot, {"3": stats})).decode()

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
    assert (
        'llmdeployment_output_tokens_bucket{engine="simulated",le="50",model="chat",revision="3"} 1.0'
        in text
    )
    assert "vllm" not in text


def test_the_parts_by_prompt_length_add_up_to_the_whole() -> None:
    histogram = ByPromptLength((1.0, 2.0))
    for value, prompt in ((0.5, 0), (2.0, 1023), (9.0, 1024), (9.0, 8192), (1.5, 1_000_000)):
        histogram.observe(value, find_length_bucket(prompt))

    assert histogram.as_json() == {
        "buckets": [[1.0, 1], [2.0, 3], ["+Inf", 5]],
        "sum": 22.0,
        "count": 5,
        "byPromptBytes": [[1024, [1, 1, 0]], [8192, [0, 0, 1]], ["+Inf", [0, 1, 1]]],
    }


def test_token_bounds_are_whole_round_numbers() -> None:
    assert list(TOKEN_BOUNDS) == sorted(set(TOKEN_BOUNDS))
    assert {10, 100, 500, 1000, 2000, 75_000} <= set(TOKEN_BOUNDS)
    assert all(isinstance(bound, int) for bound in TOKEN_BOUNDS)


def test_what_a_busy_revision_adds_to_stats_is_small() -> None:
    stats = RevisionStats()
    for histogram in (stats.ttft, stats.itl, stats.e2e, stats.output_tokens):
        for bucket in range(3):
            for value in (*BOUNDS, *TOKEN_BOUNDS):
                for _ in range(100):
                    histogram.observe(value, bucket)

    document = stats.as_json()
    size = len(json.dumps(document, separators=(",", ":")))
    for key in ("ttft", "itl", "e2e", "outputTokens"):
        del document[key]["byPromptBytes"]
    without = len(json.dumps(document, separators=(",", ":")))
    assert size - without < 2500
    assert size < 5000
