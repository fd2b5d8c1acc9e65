"""What a replica counts: cumulative histograms and counters, per revision and for the whole engine.

Everything only ever grows, from the start of the process. A reader keeps the last answer and subtracts, as with Prometheus counters, so
that any number of readers at any rhythm get exact differences.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

BOUNDS: tuple[float, ...] = tuple(
    float(f"{digits}e{power}") for power in range(-3, 3) for digits in (1, 1.5, 2, 3, 5, 7.5)
)
"""Upper bounds in seconds, 1 ms to 750 s, six per decade: a quantile read from them is off by at most a factor of 1.7, and the round
numbers people choose as targets (200 ms, 500 ms, 1 s, 5 s) are bounds themselves, where a share is exact."""


class Histogram:
    """Durations in seconds, counted into the buckets of `BOUNDS`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Counts one duration; one that equals a bound belongs to that bound, as in Prometheus."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def as_json(self) -> dict[str, Any]:
        """Returns `{"buckets": [[bound, cumulative count], ...], "sum": s, "count": n}`."""
        total = 0
        buckets: list[list[Any]] = []
        for bound, count in zip((*BOUNDS, "+Inf"), self._counts, strict=True):
            total += count
            buckets.append([bound, total])
        return {"buckets": buckets, "sum": self._sum, "count": total}


@dataclass
class RevisionStats:
    """One revision's requests, measured where its bytes leave the replica."""

    requests: Counter[str] = field(default_factory=Counter)
    """By status code; 499 is a client that left."""
    ttft: Histogram = field(default_factory=Histogram)
    """Arrival to first chunk, of streamed answers only: the others have no first chunk."""
    itl: Histogram = field(default_factory=Histogram)
    """Gaps between chunks that carry tokens."""
    e2e: Histogram = field(default_factory=Histogram)
    """Arrival to last byte of answers that were finished."""
    adapters: dict[str, str] = field(default_factory=dict)
    """What became of its LoRA adapters: `loaded`, `loading`, or `failed: ` and why."""

    def as_json(self) -> dict[str, Any]:
        """Returns this revision's part of `/stats`."""
        row = {
            "requests": dict(self.requests),
            "ttft": self.ttft.as_json(),
            "itl": self.itl.as_json(),
            "e2e": self.e2e.as_json(),
        }
        return {**row, "adapters": self.adapters} if self.adapters else row


@dataclass(frozen=True)
class EngineSnapshot:
    """What an engine says about itself at one moment."""

    running: int
    waiting: int
    kv_cache_usage: float
    """Share of the KV cache in use, 0 to 1."""
    prompt_tokens: int
    generation_tokens: int
    histograms: dict[str, Any]
    """`ttft`, `itl`, `e2e` and `queue`, each as `Histogram.as_json` writes it, over all requests since the start."""


def stats_document(
    engine: str,
    model: str,
    snapshot: EngineSnapshot,
    revisions: dict[str, RevisionStats],
    *,
    in_flight: int = 0,
) -> dict[str, Any]:
    """Returns the body of `/stats`."""
    return {
        "engine": engine,
        "model": model,
        "inFlight": in_flight,
        "running": snapshot.running,
        "waiting": snapshot.waiting,
        "kvCacheUsage": snapshot.kv_cache_usage,
        "promptTokens": snapshot.prompt_tokens,
        "generationTokens": snapshot.generation_tokens,
        "histograms": snapshot.histograms,
        "revisions": {number: stats.as_json() for number, stats in revisions.items()},
    }


def exposition(document: dict[str, Any]) -> bytes:
    """Returns `/stats` in Prometheus' text format; its names say `llmdeployment`, so that they never pass for an engine's own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(document))
    return generate_latest(registry)


class _Once(Collector):
    """Hands one document to prometheus_client, which knows the text format."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    @override
    def collect(self) -> Iterator[Any]:
        document = self._document
        labels = [document["engine"], document["model"]]
        for key, name, text in (
            ("running", "requests_running", "Requests the engine works on."),
            ("waiting", "requests_waiting", "Requests that wait for the engine."),
            ("kvCacheUsage", "kv_cache_usage_ratio", "Share of the KV cache in use."),
        ):
            gauge = GaugeMetricFamily(f"llmdeployment_{name}", text, labels=["engine", "model"])
            gauge.add_metric(labels, document[key])
            yield gauge
        for key, name in (("promptTokens", "prompt"), ("generationTokens", "generation")):
            tokens = CounterMetricFamily(
                f"llmdeployment_{name}_tokens", f"Tokens of {name}.", labels=["engine", "model"]
            )
            tokens.add_metric(labels, document[key])
            yield tokens
        yield from _revision_metrics(document["revisions"], labels)


def _revision_metrics(revisions: dict[str, Any], labels: list[str]) -> Iterator[Any]:
    requests = CounterMetricFamily(
        "llmdeployment_requests",
        "Requests answered.",
        labels=["engine", "model", "revision", "code"],
    )
    for number, stats in revisions.items():
        for code, count in stats["requests"].items():
            requests.add_metric([*labels, number, code], count)
    yield requests
    for key, name, text in (
        ("ttft", "time_to_first_chunk", "Arrival to first chunk of streamed answers."),
        ("itl", "inter_chunk_gap", "Gaps between chunks that carry tokens."),
        ("e2e", "request", "Arrival to last byte."),
    ):
        family = HistogramMetricFamily(
            f"llmdeployment_{name}_seconds", text, labels=["engine", "model", "revision"]
        )
        for number, stats in revisions.items():
            buckets = [(str(bound), count) for bound, count in stats[key]["buckets"]]
            family.add_metric([*labels, number], buckets, sum_value=stats[key]["sum"])
        yield family
