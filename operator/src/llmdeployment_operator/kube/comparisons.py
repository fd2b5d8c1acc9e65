"""Requests and users of an LLMDeployment that somebody compares, from what replicas and gateways say."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmdeployment_operator.analysis.counts import RevisionCounts
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.kube.counts_cache import CountsCache
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.routes import read_routes
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.stats import (
    read_gateway_counts,
    read_gateway_users,
    read_replica_counts,
)

Answers = Mapping[str, Mapping[str, Any]]
"""What pods said, by uid."""


def is_experimenting(deployment: LLMDeployment) -> bool:
    """Say whether an experiment counts: there is one, and it has not ended."""
    row = deployment.status.experiment
    return deployment.spec.experiment is not None and (row is None or row.ended_at is None)


def read_counts(
    metrics: Sequence[MetricSpec], replicas: Answers, gateways: Answers
) -> dict[str, RevisionCounts]:
    """Return what each pod has counted since it began."""
    looked = {uid: read_replica_counts(stats, metrics) for uid, stats in replicas.items()}
    return looked | {uid: read_gateway_counts(stats, metrics) for uid, stats in gateways.items()}


def unite_users(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, gateways: Answers
) -> Mapping[int, int]:
    """Return how many users sent requests, by revision that has some."""
    owner = (deployment.metadata.namespace, deployment.metadata.name)
    maps = [obj for (kind, _), obj in cluster.children.items() if kind == Kind.CONFIG_MAP]
    routed = {route.revision for each in maps for route in read_routes(each)}
    return cache.unite_users(owner, routed, map(read_gateway_users, gateways.values()))


def count_experiment(
    cache: CountsCache,
    deployment: LLMDeployment,
    cluster: ClusterState,
    replicas: Answers,
    gateways: Answers,
) -> RevisionCounts:
    """Return the requests since the last ones that an experiment has counted, while there is one."""
    experiment, meta = deployment.spec.experiment, deployment.metadata
    owner = (meta.namespace, meta.name)
    if experiment is None or not is_experimenting(deployment):
        cache.forget(owner)
        return {}
    looked = read_counts(experiment.metrics, replicas, gateways)
    return cache.add(owner, (str(pod["metadata"]["uid"]) for pod in cluster.pods), looked)


def count_experiment_users(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, gateways: Answers
) -> Mapping[int, int]:
    """Return how many users sent requests, by revision, while there is an experiment."""
    if not is_experimenting(deployment):
        return {}
    return unite_users(cache, deployment, cluster, gateways)
