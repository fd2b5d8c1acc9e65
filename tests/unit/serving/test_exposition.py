"""Our pages are those of prometheus_client, byte for byte."""

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from llmdeployment_serving.exposition import write_page


class Families(Collector):
    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def write_both(*families: Metric) -> tuple[str, str]:
    return write_page(families).decode(), generate_latest(Families(*families)).decode()


def make_gauge(labels: dict[str, str], value: float, text: str = "A text.") -> Metric:
    gauge = GaugeMetricFamily("g", text, labels=list(labels))
    gauge.add_metric(list(labels.values()), value)
    return gauge


def make_timed() -> Metric:
    gauge = GaugeMetricFamily("g", "Of a moment.")
    gauge.add_metric([], 1, timestamp=12.5)
    return gauge


@pytest.mark.parametrize(
    "family",
    [
        CounterMetricFamily("c", "A counter.", value=3),
        CounterMetricFamily("c", "A counter that began.", value=3, created=12.5),
        GaugeMetricFamily("g", "A gauge.", value=-1.5),
        GaugeMetricFamily("g:x", "A recording's.", value=1e9),
        HistogramMetricFamily("h", "A histogram.", buckets=[("0.1", 1), ("+Inf", 2)], sum_value=3),
        SummaryMetricFamily("s", "A summary.", count_value=2, sum_value=7),
        InfoMetricFamily("i", "An info.", value={"version": "1"}),
        StateSetMetricFamily("st", "States.", value={"on": True, "off": False}),
        GaugeHistogramMetricFamily("gh", "A gauge histogram.", buckets=[("1", 1), ("+Inf", 2)], gsum_value=3),
        UnknownMetricFamily("u", "Unknown.", value=1),
        make_gauge({"odd.name": "x"}, 1, "A dot in a label."),
        make_gauge({"with:colon": "x"}, 1, "A colon."),
        make_gauge({"": "x"}, 1, "A label without a name."),
        make_timed(),
        GaugeMetricFamily("odd.name", "A dot.", value=1),
        GaugeMetricFamily("none", "No series."),
    ],
    ids=lambda family: f"{family.type}-{family.name}-{family.documentation}",
)  # fmt: skip
def test_a_page_of_each_type_is_the_clients(family: Metric) -> None:
    ours, theirs = write_both(family, GaugeMetricFamily("after", "Another one.", value=1))
    assert ours == theirs


@given(
    labels=st.dictionaries(
        st.sampled_from(["le", "model", "b", "a", "_x", "odd-name"]), st.text(max_size=8)
    ),
    value=st.floats() | st.integers(-(10**12), 10**12).map(float),
    text=st.text(max_size=12),
)
def test_any_series_is_the_clients(labels: dict[str, str], value: float, text: str) -> None:
    ours, theirs = write_both(make_gauge(labels, value, text))
    assert ours == theirs


def test_a_registry_as_an_engine_has_it_is_the_clients() -> None:
    registry = CollectorRegistry()
    Histogram("vllm:h", "H.", ["model"], registry=registry).labels("chat").observe(0.2)
    Summary("vllm:s", "S.", ["model"], registry=registry).labels('a"b\\c\nd').observe(2)
    Counter("vllm:c", "C with \\ and \n.", ["model"], registry=registry).labels("chat").inc(7)
    gauge = Gauge("vllm:g", "G.", ["model"], registry=registry)
    for value in (math.nan, math.inf, -math.inf, 0.0, 1e-9, 123456789.5):
        gauge.labels(str(value)).set(value)
    page = write_page(registry.collect())
    assert page == generate_latest(registry)
    assert page.count(b"\n") > 30
