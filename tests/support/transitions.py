"""Changes from one random spec to another and back, on the real API server with an operator at work."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dev.cluster import api
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.support.cluster_client import ClusterClient
from tests.support.crd_specs import make_specs
from tests.support.until import until

from llmdeployment_operator.kube import errors

SETTLED_SECONDS = 60
MOST_PASSES = 15
"""Passes for each spec, on average."""
EXPECTED_ERRORS = {name for name in vars(errors) if name.startswith("Api")}

Spec = dict[str, Any]
Transition = tuple[Spec, Spec]


@dataclass
class Outcomes:
    """What became of specs: `True` where one was accepted, `False` where the operator refused it, `Refused` where the API server did.

    `faults` are those that were refused without a field, that never settled, or that ended another way after a change and its undoing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def list_transitions(count: int, number: int = 1) -> list[Transition]:
    """Return pairs of specs, the same each time for one number.

    Make them before an operator of this process starts, whose jitter uses `random`, as hypothesis does.
    """
    found: list[Transition] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(make_specs(), make_specs())
    def keep(first: Spec, second: Spec) -> None:
        found.append((first, second))

    keep()
    return found


def try_transitions(cluster: ClusterClient, name: str, transitions: list[Transition]) -> Outcomes:
    """Try changes of one object, one after the other."""
    outcomes = Outcomes()
    for transition in transitions:
        _try_transition(cluster, name, transition, outcomes)
    return outcomes


def _try_transition(
    cluster: ClusterClient, name: str, transition: Transition, outcomes: Outcomes
) -> None:
    """Write one spec, the other, and the first again."""
    first, second = transition
    try:
        before = _settle(cluster, name, first, outcomes)
        _settle(cluster, name, second, outcomes)
        again = _settle(cluster, name, first, outcomes)
        if again != before:
            # A first word may be corrected by the next pass; the last one has to be the same.
            until(
                lambda: _settle(cluster, name, first, Outcomes()) == before,
                SETTLED_SECONDS,
                f"{before} again, after {second}",
            )
    except AssertionError as error:
        outcomes.faults.append(f"{error} ({first})")


def read_unexpected_errors(metrics: str) -> set[str]:
    """Return the kinds of errors in an operator's metrics that no spec may lead to."""
    found = re.findall(r'errors_total\{error="(\w+)"\} \S+', metrics)
    return set(found) - EXPECTED_ERRORS


def count_passes(metrics: str) -> float:
    """Return the passes that an operator has made."""
    found = re.findall(r"reconciles_total\{.*\} (\S+)", metrics)
    return sum(map(float, found))


def _settle(cluster: ClusterClient, name: str, spec: Spec, outcomes: Outcomes) -> tuple[str, str]:
    """Write a spec and return its outcome: status and reason of the condition, or `Refused` and the API server's status."""
    path = cluster.path("LLMDeployment", name)
    change = [{"op": "replace", "path": "/spec", "value": spec}]
    try:
        made = api.call(cluster.access, "PATCH", path, change, "application/json-patch+json")
    except api.ApiError as error:
        if error.status not in {400, 422} or "spec" not in str(error):
            raise AssertionError(f"it is refused without its field: {error}") from error
        outcomes.counts["Refused"] += 1
        return "Refused", str(error.status)
    generation = made["metadata"]["generation"]
    status, reason, message = until(
        lambda: _read_outcome(cluster, name, generation), SETTLED_SECONDS, "an outcome"
    )
    if status == "False":
        assert reason in {"InvalidSpec", "NotOwned", "CRDMissing"}, reason
        assert "spec" in message, message
    outcomes.counts[status] += 1
    return status, reason


def _read_outcome(
    cluster: ClusterClient, name: str, generation: int
) -> tuple[str, str, str] | None:
    """Return status, reason and message of Accepted, once they are about this generation."""
    found = cluster.get("LLMDeployment", name)
    assert found is not None
    for row in found.get("status", {}).get("conditions", []):
        if row["type"] == "Accepted" and row["observedGeneration"] == generation:
            return row["status"], row["reason"], row["message"]
    return None
