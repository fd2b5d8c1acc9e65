"""A replica's counts in Prometheus' text format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from llmdeployment_serving.exposition import write_page

NAMESPACE, NAME = "LLMD_NAMESPACE", "LLMD_NAME"
"""Variables with the namespace and the name of the LLMDeployment that this pod is of."""

_LABELS = ("namespace", "name", "engine", "model")
_GAUGES = (
    ("running", "requests_running", "Requests that the engine works on."),
    ("waiting", "requests_waiting", "Requests that wait for the engine."),
    ("kvCacheUsage", "kv_cache_usage_ratio", "Share of the KV cache in use."),
)
_SELF_TEST = (
    ("score", "The replica's score of the self-test, once it has one: mean log-likelihood per token."),
    ("reference", "What the score of the self-test is held to, once there is one."),
)  # fmt: skip
_COUNTERS = (
    ("promptTokens", "prompt_tokens", "Tokens of prompts."),
    ("generationTokens", "generation_tokens", "Tokens of answers."),
    (
        "engineRestarts",
        "engine_restarts",
        "Engines that this replica started after one that stopped.",
    ),
)
_SPANS = (
    ("exported", "spans_exported", "Spans of answers that the collector took, since traces were first wanted."),
    ("dropped", "spans_dropped", "Spans of answers that were dropped: the collector is slow or does not answer."),
)  # fmt: skip
_HISTOGRAMS = (
    (
        "ttft",
        "time_to_first_chunk_seconds",
        "Time from arrival to the first chunk of streamed answers.",
    ),
    ("itl", "inter_chunk_gap_seconds", "Gaps between chunks that carry tokens."),
    ("e2e", "request_seconds", "Time from arrival to the last byte of finished answers."),
    ("outputTokens", "output_tokens", "Tokens of finished answers."),
)
DROP_REASONS = ("queue", "full", "missing", "failed", "collector")
"""Why a line of the request log is dropped (`log_queue.Reason`)."""
_SHARES = (
    ("total", "output_checked", "Finished answers that a share was asked of."),
    (
        "bad",
        "output_matches",
        "Those of them that are bad, such as refusals, or that have the pattern (`pattern/NAME`).",
    ),
)


@dataclass(frozen=True)
class Owner:
    """The LLMDeployment that a replica is of; empty where nobody says."""

    namespace: str = ""
    name: str = ""


def read_owner(env: Mapping[str, str]) -> Owner:
    """Return what the operator wrote into the pod's environment."""
    return Owner(env.get(NAMESPACE, ""), env.get(NAME, ""))


def render_metrics(document: dict[str, Any], owner: Owner) -> bytes:
    """Return `/stats` in Prometheus' text format; names begin with `llmdeployment`, so that nobody takes them for an engine's own."""
    return write_page(list_families(document, owner))


def list_families(document: dict[str, Any], owner: Owner) -> Iterator[Metric]:
    """Yield every metric of a `/stats` document."""
    values = (owner.namespace, owner.name, document["engine"], document["model"])
    for key, name, text in _GAUGES:
        yield _build_gauge(name, text, values, document[key])
    tested = document.get("selfTest", {})
    for key, text in _SELF_TEST:
        if key in tested:
            yield _build_gauge(f"self_test_{key}_nats", text, values, tested[key])
    spans = document.get("spans") or {}
    for key, name, text in (*_COUNTERS, *(row for row in _SPANS if row[0] in spans)):
        family = CounterMetricFamily(f"llmdeployment_{name}", text, labels=_LABELS)
        family.add_metric(values, spans[key] if key in spans else document[key])
        yield family
    yield from _list_log_families(document.get("requestLog"), values)
    yield from _list_revision_families(document["revisions"], values)


def _list_log_families(log: Mapping[str, Any] | None, values: Iterable[str]) -> Iterator[Metric]:
    """Yield the metrics of the request log, if there is one; every reason has a series from the start, so that its first drop is seen."""
    if log is None:
        return
    written = CounterMetricFamily(
        "llmdeployment_request_log_lines",
        "Lines of the request log that were written.",
        labels=_LABELS,
    )
    written.add_metric(tuple(values), log["written"])
    yield written
    dropped = CounterMetricFamily(
        "llmdeployment_request_log_dropped",
        "Lines of the request log that were not written, by why.",
        labels=(*_LABELS, "reason"),
    )
    for reason in DROP_REASONS:
        dropped.add_metric((*values, reason), log["dropped"].get(reason, 0))
    yield dropped


def _build_gauge(name: str, text: str, values: Iterable[str], value: float) -> Metric:
    gauge = GaugeMetricFamily(f"llmdeployment_{name}", text, labels=_LABELS)
    gauge.add_metric(tuple(values), value)
    return gauge


def _list_revision_families(
    revisions: Mapping[str, Any], values: Iterable[str]
) -> Iterator[Metric]:
    labels = (*_LABELS, "revision")
    requests = CounterMetricFamily(
        "llmdeployment_requests",
        "Requests answered, by status code; 499 means that the client left.",
        labels=(*labels, "code"),
    )
    for number, stats in revisions.items():
        for code, count in stats["requests"].items():
            requests.add_metric((*values, number, code), count)
    yield requests
    for key, name, text in _HISTOGRAMS:
        family = HistogramMetricFamily(f"llmdeployment_{name}", text, labels=labels)
        for number, stats in revisions.items():
            buckets = [(str(bound), count) for bound, count in stats[key]["buckets"]]
            family.add_metric((*values, number), buckets, sum_value=stats[key]["sum"])
        yield family
    for key, name, text in _SHARES:
        counter = CounterMetricFamily(f"llmdeployment_{name}", text, labels=(*labels, "share"))
        for number, stats in revisions.items():
            for share, counts in stats["shares"].items():
                counter.add_metric((*values, number, share), counts[key])
        yield counter
