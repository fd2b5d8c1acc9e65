"""Random specs from the CRD's own schema, on the real API server, with the operator at work."""

import urllib.request
from collections.abc import Callable

import pytest
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_passes import simulated
from tests.support.cluster_client import ClusterClient
from tests.support.transitions import (
    MOST_PASSES,
    count_passes,
    list_transitions,
    read_unexpected_errors,
    try_transitions,
)

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

TRANSITIONS = 100
"""Each is three specs: one, another, and the first again."""


def test_every_spec_is_refused_with_its_field_or_settles_and_what_is_undone_is_undone(
    cluster: ClusterClient, start_operator: Callable[..., RunningOperator]
) -> None:
    transitions = list_transitions(TRANSITIONS)
    operator = start_operator()
    cluster.create(simulated())
    outcomes = try_transitions(cluster, "chat", transitions)
    assert outcomes.faults == []
    accepted, tried = outcomes.counts["True"], outcomes.counts.total()
    assert accepted > TRANSITIONS // 10
    assert tried - accepted > TRANSITIONS // 10
    url = f"http://127.0.0.1:{operator.port}/metrics"
    metrics = urllib.request.urlopen(url, timeout=5).read().decode()
    assert read_unexpected_errors(metrics) == set()
    assert count_passes(metrics) < MOST_PASSES * tried
