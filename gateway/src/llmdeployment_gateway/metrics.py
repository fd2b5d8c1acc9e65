"""The agent's metrics in Prometheus' text format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from llmdeployment_gateway.tally import BOUNDS, Row

PREFIX = "llmdeployment_gateway_"
_OWNER = ("namespace", "name")
_SPANS = (
    ("exported", "Spans of requests that the collector took."),
    ("dropped", "Spans of requests that were dropped: the collector is slow or does not answer."),
)


@dataclass(frozen=True)
class AgentState:
    """What the page shows, at one moment.

    Attributes:
        ready: whether this pod should get requests.
        held: requests that wait while no replica is ready.
        refused: requests that were refused because too many were held, or for too long.
        steering_failures: turns of the loop that failed.
        kube_failures: lists and watches that failed.
        services: ready endpoints (`servers`) and those that get requests (`up`), by Service.
        rows: counts of requests, by arm and revision.
        spans: how many spans were `exported` and `dropped`; None where traces are not wanted.
    """

    ready: bool
    held: int
    refused: int
    steering_failures: int
    kube_failures: int
    services: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rows: Mapping[tuple[str, str], Row] = field(default_factory=dict)
    spans: Mapping[str, int] | None = None


class MetricsPage:
    """Renders the page; it also has what the process takes of memory, CPU and files."""

    def __init__(self, namespace: str, name: str) -> None:
        self._owner = (namespace, name)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def render(self, state: AgentState) -> bytes:
        """Return the page for Prometheus."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(list_families(self._owner, state)))
        return generate_latest(registry) + generate_latest(self._process)


class _Families(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._found


def list_families(owner: tuple[str, str], state: AgentState) -> Iterator[Metric]:
    """Yield every metric of the LLMDeployment with this namespace and name."""
    for name, text, value in (
        ("ready", "1 when this pod should get requests.", float(state.ready)),
        ("held_requests", "Requests that wait while no replica is ready.", state.held),
    ):
        gauge = GaugeMetricFamily(PREFIX + name, text, labels=_OWNER)
        gauge.add_metric(owner, value)
        yield gauge
    for name, text, value in (
        (
            "refused_requests",
            "Requests that were refused because too many were held, or because they were held for too long.",
            state.refused,
        ),
        (
            "steering_failures",
            "Turns of the loop in which HAProxy did not answer the agent or refused a command.",
            state.steering_failures,
        ),
        ("kube_failures", "Lists and watches that failed.", state.kube_failures),
    ):
        counter = CounterMetricFamily(PREFIX + name, text, labels=_OWNER)
        counter.add_metric(owner, value)
        yield counter
    for key, text in _SPANS if state.spans is not None else ():
        counter = CounterMetricFamily(f"{PREFIX}spans_{key}", text, labels=_OWNER)
        counter.add_metric(owner, (state.spans or {})[key])
        yield counter
    yield from _list_server_families(owner, state.services)
    yield from _list_request_families(owner, state.rows)


def _list_server_families(
    owner: tuple[str, str], services: Mapping[str, Mapping[str, int]]
) -> Iterator[Metric]:
    labels = (*_OWNER, "service")
    servers = GaugeMetricFamily(PREFIX + "servers", "Ready endpoints of a runtime.", labels=labels)
    up = GaugeMetricFamily(PREFIX + "servers_up", "Endpoints that get requests.", labels=labels)
    for service, count in services.items():
        servers.add_metric((*owner, service), count["servers"])
        up.add_metric((*owner, service), count["up"])
    yield from (servers, up)


def _list_request_families(
    owner: tuple[str, str], rows: Mapping[tuple[str, str], Row]
) -> Iterator[Metric]:
    labels = (*_OWNER, "arm", "revision")
    requests = CounterMetricFamily(
        PREFIX + "requests", "Requests that ended, by status code.", labels=(*labels, "code")
    )
    cuts = CounterMetricFamily(
        PREFIX + "cut_requests",
        "Requests whose answer was cut off, by the side that ended them.",
        labels=(*labels, "by"),
    )
    durations = HistogramMetricFamily(
        PREFIX + "request_seconds",
        "Time from a request's first byte to the last byte of its answer, waiting included.",
        labels=labels,
    )
    feedback = SummaryMetricFamily(
        PREFIX + "feedback_score",
        "Votes on answers (`_count`), and the sum of their scores from 0, bad, to 1, good (`_sum`).",
        labels=labels,
    )
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    for key, row in rows.items():
        values = (*owner, *key)
        sums = row.groups.sum_votes()
        if votes := sums["votes"]:
            feedback.add_metric(values, votes, votes - sums["badThousandths"] / 1000)
        for status, count in row.statuses.items():
            requests.add_metric((*values, str(status)), count)
        for by, count in row.cuts.items():
            cuts.add_metric((*values, by), count)
        steps = list(zip(bounds, accumulate(row.buckets), strict=True))
        durations.add_metric(values, buckets=steps, sum_value=row.seconds)
    yield from (requests, cuts, durations, feedback)
