"""The page of metrics is made from today's code; LLMD_UPDATE_GOLDEN=1 writes it anew, as `make crds` does."""

import os
import re

import pytest
from dev import metrics_reference
from dev.metrics_reference import MetricRow

PAGE = metrics_reference.PAGE
ROWS = [
    *metrics_reference.list_operator_rows(),
    *metrics_reference.list_gateway_rows(),
    *metrics_reference.list_replica_rows(),
]
OF_NOBODY = re.compile(r"llmdeployment_operator_\w+")
"""The operator's own, which are of no LLMDeployment."""
UNITS = ("seconds", "ratio", "tokens", "nats")
MOST_SERIES = 1000
"""Of a metric, for each LLMDeployment or pod."""


def test_the_page_is_the_one_of_the_code() -> None:
    text = metrics_reference.draw()
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run `make crds`"


def test_every_metric_is_found_once() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert {
        "llmdeployment_condition",
        "llmdeployment_gateway_requests_total",
        "llmdeployment_requests_total",
    } <= set(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_names_and_labels_are_those_of_prometheus(row: MetricRow) -> None:
    assert re.fullmatch(r"llmdeployment(_[a-z]+)+", row.name)
    assert row.name.endswith("_total") == (row.kind == "counter")
    # Units are base units at the end: no percent, no milliseconds, and no type.
    assert not re.search(r"percent|milli|bytes_|gauge|histogram|counter", row.name)
    for unit in UNITS:
        assert f"_{unit}_" not in row.name.removesuffix("_total") + "."
    assert row.help[0].isalnum()
    assert row.help.endswith(".")
    assert "\n" not in row.help
    assert all(re.fullmatch(r"[a-z]+", label) and label != "le" for label in row.labels)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_series_names_its_deployment_and_there_are_few(row: MetricRow) -> None:
    assert (row.labels[:2] == ("namespace", "name")) is not bool(OF_NOBODY.fullmatch(row.name))
    assert metrics_reference.count_series(row) <= MOST_SERIES


def test_a_label_that_nobody_described_is_refused() -> None:
    with pytest.raises(ValueError, match="say in LABELS what these labels hold, and how many: "):
        metrics_reference._draw_labels({"arm", "user"})
