"""The self-test of replicas: what they are held to, what they said, and when they have to be asked.

A replica tests itself before it is ready (`llmdeployment_serving.self_test`). The operator remembers the reference of each runtime in the
status, and tells it to every later replica.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmdeployment_operator.api.self_test import SelfTestSpec
from llmdeployment_operator.api.status import (
    ReplicaSelfTestStatus,
    RevisionStatus,
    SelfTestStatus,
)
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

_MOST_REPLICAS = 32
_DEFAULTS = SelfTestSpec()


@dataclass(frozen=True)
class Reference:
    """What the replicas of a runtime are held to, in nats per token, and where it comes from."""

    value: float
    source: Literal["Transformers", "FirstReplica"]


def find_references(
    deployment: LLMDeployment, cluster: ClusterState, runtimes: Iterable[str]
) -> dict[str, Reference]:
    """Return the reference of each runtime that has one: as the status has it, else by the replica that has been there longest."""
    if not _read_settings(deployment).enabled:
        return {}
    known = {
        row.runtime: Reference(float(row.self_test.reference), row.self_test.reference_from)
        for row in cluster.status.revisions
        if row.self_test is not None
    }
    found = {runtime: known.get(runtime) or _adopt(cluster, runtime) for runtime in set(runtimes)}
    return {runtime: each for runtime, each in found.items() if each is not None}


def find_runtimes_to_test(deployment: LLMDeployment, cluster: ClusterState) -> frozenset[str]:
    """Return the runtimes with a ready replica whose score is not in the status yet."""
    if not _read_settings(deployment).enabled:
        return frozenset()
    told = {
        replica.pod
        for row in cluster.status.revisions
        if row.self_test is not None
        for replica in row.self_test.replicas
    }
    asked: dict[str, list[str]] = {}
    for pod in select_pods(cluster, "worker"):
        runtime = names.runtime_of(pod)
        if runtime is not None and not is_external(runtime) and is_ready(pod):
            asked.setdefault(runtime, []).append(pod["metadata"]["name"])
    return frozenset(
        runtime
        for runtime, pods in asked.items()
        # The status has no room for more.
        if set(sorted(pods)[:_MOST_REPLICAS]) - told
    )


def build_settings(deployment: LLMDeployment, reference: Reference | None) -> dict[str, Any]:
    """Return the `selfTest` of a replica's user config: what differs from its defaults."""
    settings = _read_settings(deployment)
    body: dict[str, Any] = {}
    if not settings.enabled:
        body["enabled"] = False
    if settings.period_seconds != _DEFAULTS.period_seconds:
        body["periodSeconds"] = settings.period_seconds
    source = reference.source if reference is not None else settings.reference
    if source != _DEFAULTS.reference:
        body["referenceFrom"] = source
    if reference is not None:
        body["reference"] = reference.value
    return body


def build_self_test_status(
    cluster: ClusterState, runtime: str, reference: Reference | None, before: RevisionStatus | None
) -> SelfTestStatus | None:
    """Return a revision's `selfTest`: the reference, and the score of each ready replica that said it once."""
    if reference is None:
        return None
    old = before.self_test if before is not None else None
    known = {row.pod: row for row in old.replicas} if old is not None else {}
    ready = sorted(_list_ready(cluster, runtime), key=_read_name)
    rows = (_build_row(cluster, _read_name(pod), known) for pod in ready)
    return SelfTestStatus(
        reference=f"{reference.value:.4f}",
        reference_from=reference.source,
        replicas=tuple(row for row in rows if row is not None)[:_MOST_REPLICAS],
    )


def _adopt(cluster: ClusterState, runtime: str) -> Reference | None:
    ready = _list_ready(cluster, runtime)
    oldest = sorted(ready, key=lambda pod: (pod["metadata"]["creationTimestamp"], _read_name(pod)))
    reports = [cluster.self_tests.get(_read_name(pod)) for pod in oldest]
    said = [report for report in reports if report is not None]
    for report in said:
        if report.computed is not None:
            return Reference(report.computed, "Transformers")
    return Reference(said[0].score, "FirstReplica") if said else None


def _build_row(
    cluster: ClusterState, pod: str, known: Mapping[str, ReplicaSelfTestStatus]
) -> ReplicaSelfTestStatus | None:
    report = cluster.self_tests.get(pod)
    if report is None:
        return known.get(pod)
    return ReplicaSelfTestStatus(pod=pod, score=f"{report.score:.3f}")


def _read_settings(deployment: LLMDeployment) -> SelfTestSpec:
    return deployment.spec.engine.self_test or _DEFAULTS


def _list_ready(cluster: ClusterState, runtime: str) -> list[Object]:
    return [pod for pod in select_pods(cluster, "worker", runtime) if is_ready(pod)]


def _read_name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
