"""Requests and users of an LLMDeployment that somebody compares, from what replicas and gateways say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmdeployment_operator.analysis.counts import RevisionCounts
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.kube.counts_cache import CountsCache
from llmdeployment_operator.kube.recent_counts import RecentCounts
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.routes import has_canary, read_routes
from llmdeployment_operator.plan.observed.bounded_counts import (
    read_bounded_gateway_counts,
    read_bounded_replica_counts,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.drift_counts import read_drift_counts, read_share_counts
from llmdeployment_operator.plan.observed.shadow_counts import read_shadow_counts
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


def has_compared_canary(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    """Say whether there is a canary that is compared with the stable revision."""
    maps = (obj for (kind, _), obj in cluster.children.items() if kind == Kind.CONFIG_MAP)
    return deployment.spec.rollout.analysis is not None and has_canary(maps)


def is_comparing(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    """Say whether somebody compares requests, so that they are asked for by group of users."""
    if has_compared_canary(deployment, cluster) or is_experimenting(deployment):
        return True
    return deployment.spec.monitoring.drift is not None


def read_weighings(
    metrics: Sequence[MetricSpec], replicas: Answers, gateways: Answers
) -> dict[str, RevisionCounts]:
    """Return what each pod has counted since it began: all requests, and the bounded sample of them."""
    found = read_counts(metrics, replicas, gateways)
    bounded = {uid: read_bounded_replica_counts(stats, metrics) for uid, stats in replicas.items()}
    bounded |= {uid: read_bounded_gateway_counts(stats, metrics) for uid, stats in gateways.items()}
    return {
        uid: {revision: row | bounded[uid].get(revision, {}) for revision, row in counts.items()}
        for uid, counts in found.items()
    }


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


def is_shadowing(deployment: LLMDeployment) -> bool:
    """Say whether replicas shadow a canary."""
    rows = (arm.shadow for arm in deployment.status.arms)
    asked = deployment.spec.rollout.shadow is not None
    return asked and any(row is not None and row.result == "Running" for row in rows)


def count_canary(
    cache: CountsCache,
    deployment: LLMDeployment,
    cluster: ClusterState,
    replicas: Answers,
    gateways: Answers,
) -> RevisionCounts:
    """Return the requests counted since the last report, if a canary is compared."""
    analysis, meta = deployment.spec.rollout.analysis, deployment.metadata
    owner = (meta.namespace, meta.name)
    if analysis is None or not has_compared_canary(deployment, cluster):
        cache.forget(owner)
        return {}
    looked = read_weighings(analysis.metrics, replicas, gateways)
    return cache.add(owner, _list_uids(cluster), looked)


def count_canary_users(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, gateways: Answers
) -> Mapping[int, int]:
    """Return how many users sent requests, by revision, if a canary is compared."""
    if not has_compared_canary(deployment, cluster):
        return {}
    return unite_users(cache, deployment, cluster, gateways)


def count_shadow(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, replicas: Answers
) -> RevisionCounts:
    """Return the requests that canaries were asked too since the last report, while a shadow runs."""
    owner = (deployment.metadata.namespace, deployment.metadata.name)
    if not is_shadowing(deployment):
        cache.forget(owner)
        return {}
    looked = {uid: read_shadow_counts(stats) for uid, stats in replicas.items()}
    return cache.add(owner, _list_uids(cluster), looked)


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
    return cache.add(owner, _list_uids(cluster), looked)


def count_drift(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, replicas: Answers
) -> RevisionCounts:
    """Return the requests since the last ones that the status has, while revisions are compared with their first windows."""
    meta, monitoring = deployment.metadata, deployment.spec.monitoring
    owner = (meta.namespace, meta.name)
    if monitoring.drift is None:
        cache.forget(owner)
        return {}
    looked = {uid: read_drift_counts(stats, monitoring) for uid, stats in replicas.items()}
    return cache.add(owner, _list_uids(cluster), looked)


def count_recent(
    recent: RecentCounts, deployment: LLMDeployment, cluster: ClusterState, replicas: Answers
) -> RevisionCounts:
    """Return the answers of about the last hour, if replicas were asked and the next look is due."""
    meta = deployment.metadata
    looked = {
        uid: read_share_counts(stats, deployment.spec.monitoring) for uid, stats in replicas.items()
    }
    return recent.add((meta.namespace, meta.name), _list_uids(cluster), looked)


def _list_uids(cluster: ClusterState) -> Iterator[str]:
    return (str(pod["metadata"]["uid"]) for pod in cluster.pods)


def count_experiment_users(
    cache: CountsCache, deployment: LLMDeployment, cluster: ClusterState, gateways: Answers
) -> Mapping[int, int]:
    """Return how many users sent requests, by revision, while there is an experiment."""
    if not is_experimenting(deployment):
        return {}
    return unite_users(cache, deployment, cluster, gateways)
