"""Random specs from the CRD's own schema, on the real API server, with the operator at work."""

import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from dev.cluster import api
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_passes import simulated
from tests.support.cluster_client import ClusterClient
from tests.support.crd_specs import make_specs
from tests.support.until import until

from llmdeployment_operator.kube import errors

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

TRANSITIONS = 100
"""Each is three specs: one, another, and the first again."""
SETTLED_SECONDS = 60
MOST_PASSES = 15
"""Passes for each spec, on average."""
EXPECTED_ERRORS = {name for name in vars(errors) if name.startswith("Api")}

Start = Callable[..., RunningOperator]
Outcome = tuple[str, str, str]


def read_outcome(cluster: ClusterClient, generation: int) -> Outcome | None:
    """Return status, reason and message of Accepted, once they are about this generation."""
    found = cluster.get("LLMDeployment", "chat")
    assert found is not None
    for row in found.get("status", {}).get("conditions", []):
        if row["type"] == "Accepted" and row["observedGeneration"] == generation:
            return row["status"], row["reason"], row["message"]
    return None


def settle(cluster: ClusterClient, spec: dict[str, Any]) -> Outcome:
    """Write a spec and return what becomes of it: refused by the API server, or what the condition says."""
    path, change = cluster.path("LLMDeployment", "chat"), {"op": "replace", "path": "/spec"}
    try:
        made = api.call(
            cluster.access,
            "PATCH",
            path,
            [{**change, "value": spec}],
            "application/json-patch+json",
        )
    except api.ApiError as error:
        named = error.status in {400, 422} and "spec" in str(error)
        return "Refused" if named else "Failed", str(error.status), str(error)
    generation = made["metadata"]["generation"]
    outcome = until(
        lambda: read_outcome(cluster, generation), SETTLED_SECONDS, f"an outcome of {spec}"
    )
    if outcome[0] == "False":
        assert outcome[1] in {"InvalidSpec", "NotOwned", "CRDMissing"}, outcome
        assert "spec" in outcome[2], outcome
    return outcome


def list_transitions() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return pairs of specs, the same each time.

    They are made before the operator starts, whose jitter uses `random`, as hypothesis does.
    """
    found = []

    @seed(1)
    @settings(
        max_examples=TRANSITIONS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(make_specs(), make_specs())
    def keep(first: dict[str, Any], second: dict[str, Any]) -> None:
        found.append((first, second))

    keep()
    return found


def read_metric(operator: RunningOperator, pattern: str) -> list[tuple[str, ...]]:
    url = f"http://127.0.0.1:{operator.port}/metrics"
    text = urllib.request.urlopen(url, timeout=5).read().decode()
    return re.findall(pattern, text, re.MULTILINE)


def test_every_spec_is_refused_with_its_field_or_settles_and_what_is_undone_is_undone(
    cluster: ClusterClient, start_operator: Start
) -> None:
    transitions = list_transitions()
    operator = start_operator()
    cluster.create(simulated())
    outcomes: list[Outcome] = []
    for first, second in transitions:
        before = settle(cluster, first)
        outcomes += [before, settle(cluster, second)]
        again = settle(cluster, first)
        if again[:2] != before[:2]:
            # A first word may be corrected by the next pass; the last one has to be the same.
            until(
                lambda spec=first, word=before[:2]: settle(cluster, spec)[:2] == word,  # type: ignore[misc]  # because mypy does not infer a lambda's default
                SETTLED_SECONDS,
                f"{before} of {first}, after {second}",
            )
    assert [outcome for outcome in outcomes if outcome[0] == "Failed"] == []
    accepted = [outcome for outcome in outcomes if outcome[0] == "True"]
    refused = [outcome for outcome in outcomes if outcome[0] != "True"]
    assert len(accepted) > TRANSITIONS // 10
    assert len(refused) > TRANSITIONS // 10
    failed = {name for name, _ in read_metric(operator, r'errors_total\{error="(\w+)"\} (\S+)')}
    assert failed <= EXPECTED_ERRORS
    passes = sum(float(n) for _, n in read_metric(operator, r"reconciles_total\{(.*)\} (\S+)"))
    assert passes < MOST_PASSES * len(outcomes)
