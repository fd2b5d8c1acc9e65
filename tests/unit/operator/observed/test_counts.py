"""What `/stats` of replicas and gateways count, by metric, prompt length and group of users."""

from datetime import UTC, datetime
from typing import Any

import pytest

from llmdeployment_operator.analysis.counts import (
    CACHED,
    CountKey,
    Counts,
)
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.plan.observed.stats import read_gateway_counts, read_replica_counts

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ERRORS = MetricSpec(name="errorRate")
TTFT = MetricSpec(name="ttft", milliseconds=400)
LENGTH = MetricSpec(name="outputTokens", tokens=40)
OWNER = ("team", "chat")


def replica(**ttft: Any) -> dict[str, Any]:
    histogram = {"buckets": [[0.3, 5], [0.5, 7], ["+Inf", 10]], "sum": 4.0, "count": 10} | ttft
    return {"revisions": {"3": {"ttft": histogram}}}


def test_a_threshold_is_the_next_bound() -> None:
    found = read_replica_counts(replica(), [ERRORS, TTFT])
    assert found == {3: {CountKey("ttft>400ms"): Counts(10, 3)}}
    beyond = MetricSpec(name="ttft", milliseconds=600_000)
    assert read_replica_counts(replica(), [beyond]) == {
        3: {CountKey("ttft>600000ms"): Counts(10, 0)}
    }


BY_LENGTH = [[1024, [5, 0, 1]], [8192, [0, 2, 2]], ["+Inf", [0, 0, 0]]]


def test_what_is_counted_by_prompt_length_is_read_so() -> None:
    assert read_replica_counts(replica(byPromptBytes=BY_LENGTH), [TTFT]) == {
        3: {
            CountKey("ttft>400ms", "1024"): Counts(6, 1),
            CountKey("ttft>400ms", "8192"): Counts(4, 2),
            CountKey("ttft>400ms", "+Inf"): Counts(),
        }
    }


def test_the_length_of_answers_has_a_threshold_in_tokens() -> None:
    histogram = {"buckets": [[30, 5], [50, 7], ["+Inf", 10]], "sum": 400, "count": 10}
    stats = {"revisions": {"3": {"outputTokens": histogram}}}
    assert read_replica_counts(stats, [LENGTH]) == {3: {CountKey("outputTokens>40"): Counts(10, 3)}}


def test_a_metric_that_an_older_replica_does_not_count_costs_no_other() -> None:
    assert read_replica_counts(replica(), [LENGTH, TTFT]) == {
        3: {CountKey("ttft>400ms"): Counts(10, 3)}
    }


def test_the_cache_is_read_where_an_engine_tells() -> None:
    stats = {"revisions": {"3": {"promptTokens": 900, "cachedPromptTokens": 300}}}
    assert read_replica_counts(stats, [TTFT]) == {3: {CountKey(CACHED): Counts(900, 300)}}


def test_errors_are_what_the_gateway_saw() -> None:
    rows = [{"revision": 3, "requests": {"2xx": 6, "4xx": 3, "5xx": 1}}]
    assert read_gateway_counts({"routes": rows}, [ERRORS]) == {
        3: {CountKey("errorRate"): Counts(10, 1)}
    }
    assert read_gateway_counts({"routes": rows}, [TTFT]) == {}


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"revisions": None},
        {"revisions": {"x": {}}},
        replica(buckets=[]),
        replica(buckets=[["NaN", 3], ["+Inf", "many"]]),
        replica(count=float("nan")),
        replica(count=2),
        replica(buckets=[["+Inf", 11]]),
        replica(byPromptBytes=[[1024, [5, 0]]]),
        replica(byPromptBytes=[["all", [5, 0, 1]]]),
        replica(byPromptBytes=[[-1, [5, 0, 1]]]),
        replica(byPromptBytes=[[1024, [5, 0, -1]]]),
        replica(byPromptBytes=[[1024 * n, [5, 0, 1]] for n in range(1, 1000)]),
        replica(byPromptBytes={}) | {"revisions": {"3": {"cachedPromptTokens": 1}}},
    ],
)
def test_a_replica_that_lies_counts_nothing(stats: dict[str, Any]) -> None:
    assert read_replica_counts(stats, [TTFT]) == {}


@pytest.mark.parametrize("routes", [None, [{}], [{"revision": "x"}]])
def test_a_gateway_that_lies_counts_nothing(routes: Any) -> None:
    assert read_gateway_counts({"routes": routes}, [ERRORS]) == {}
