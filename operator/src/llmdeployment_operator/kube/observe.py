"""One look at everything that concerns an LLMDeployment."""

import asyncio
import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from llmdeployment_operator.analysis.counts import (
    RevisionCounts,
    read_gateway_counts,
    read_replica_counts,
)
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.autoscaler.types import ReplicaSample
from llmdeployment_operator.kube import capacity, objects, references, serve
from llmdeployment_operator.kube.counts_cache import CountsCache
from llmdeployment_operator.kube.errors import ApiRefused, ServeUnavailable
from llmdeployment_operator.kube.read_cache import ReadCache
from llmdeployment_operator.kube.resources import (
    BY_KIND,
    CHILDREN,
    HTTP_ROUTE,
    POD,
)
from llmdeployment_operator.kube.scaling_cache import ScalingCache
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object, Ref
from llmdeployment_operator.plan.base.pods import Capacity, is_ready, waits_for_extended_resource
from llmdeployment_operator.plan.base.routes import has_canary
from llmdeployment_operator.plan.observed import adapters
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.ray_serve import ServeState, read_serve_state
from llmdeployment_operator.plan.observed.readiness import find_ready_head, select_pods
from llmdeployment_operator.plan.observed.replica_stats import read_gateway, read_sample

STATS_SECONDS = 1.0
"""How long a replica may take to say how it fares where autoscaling asks: one that takes longer did not answer."""


@dataclass(frozen=True)
class Clients:
    """What looking takes.

    Attributes:
        client: of the API server.
        session: for Ray's REST API and the gateways.
        cluster_read: whether nodes and StorageClasses may be listed.
        everywhere: whether pods of all namespaces may be listed.
        collector: counts from look to look.
        recall: what autoscaling remembers.
        known: what the API server said last.
    """

    client: ApiClient
    session: aiohttp.ClientSession
    cluster_read: bool
    everywhere: bool
    counts_cache: CountsCache = field(default_factory=CountsCache)
    scaling_cache: ScalingCache = field(default_factory=ScalingCache)
    read_cache: ReadCache = field(default_factory=ReadCache)


async def observe(
    clients: Clients, deployment: LLMDeployment, status: Mapping[str, Any]
) -> ClusterState:
    """Return what is there now.

    Raises:
        ApiError: the API server refused a read.
        ApiUnavailable: it does not answer.
    """
    meta = deployment.metadata
    owner, version = (meta.namespace, meta.name), (meta.uid, meta.generation)
    read = clients.read_cache.of(owner, version)
    if read is None:
        begun = clients.read_cache.begin(owner)
        read = await _read_all(clients, deployment)
        # Only autoscaling looks so often; and what is missing is looked for every time, since nothing tells of its coming.
        if deployment.spec.scaling and not (read.missing_secrets or read.missing_config_maps):
            clients.read_cache.keep(owner, version, begun, read)
    seen = replace(
        read,
        status=status,
        new_token=secrets.token_hex(32),
        scaling=clients.scaling_cache.of(owner, meta.uid),
    )
    return await _asked(clients, deployment, seen)


async def _read_all(clients: Clients, deployment: LLMDeployment) -> ClusterState:
    """Return what the API server has of it."""
    meta = deployment.metadata
    mine = {names.OWNER: meta.name}
    ours = {**mine, names.MANAGED_BY: names.MANAGER}
    listings = (
        objects.list_by_label(clients.client, kind, meta.namespace, ours) for kind in CHILDREN
    )
    pods, missing, missing_config_maps, lists = await asyncio.gather(
        objects.list_by_label(clients.client, POD, meta.namespace, mine),
        references.missing_secrets(clients.client, deployment),
        references.missing_config_maps(clients.client, deployment),
        asyncio.gather(*listings),
    )
    found = [obj for listed in lists for obj in listed]
    children = {_ref(obj): obj for obj in found if _owned(obj, meta.uid)}
    foreign = {_ref(obj): obj for obj in found if not _owned(obj, meta.uid)}
    runtimes = {
        runtime for obj in children.values() if (runtime := names.runtime_of(obj)) is not None
    }
    seen = ClusterState(
        status={},
        children=children,
        foreign=foreign,
        pods=tuple(pod for pod in pods if _believable(pod, children)),
        missing_secrets=missing,
        missing_config_maps=missing_config_maps,
    )
    wanted = [
        (HTTP_ROUTE.kind, meta.name),
        *(
            ("Secret", names.runtime_names(meta.name, each).token)
            for each in sorted(runtimes)
            if not is_external(each)
        ),
    ]
    return await _with(clients.client, deployment, seen, wanted)


async def look_up(
    clients: Clients, deployment: LLMDeployment, cluster: ClusterState, refs: frozenset[Ref]
) -> ClusterState:
    """Return the observation with these names looked up: each is ours after all, somebody's, or free."""
    found = await _with(clients.client, deployment, cluster, sorted(refs))
    found = replace(found, looked_up=cluster.looked_up | refs)
    if any(kind == "StatefulSet" for kind, _ in refs) and clients.cluster_read:
        found = replace(
            found,
            default_storage_class=await capacity.has_default_storage_class(clients.client),
        )
        return replace(found, capacity=await _before_a_change(clients, deployment, found))
    return found


async def _before_a_change(
    clients: Clients, deployment: LLMDeployment, cluster: ClusterState
) -> Mapping[str, Capacity]:
    """Return the cluster's capacity if a runtime is about to be made beside another, and may ask for accelerators."""
    spec, partial = deployment.spec, not clients.everywhere
    all_of_them = [spec.resources, *(spec.of_arm(arm).resources for arm in spec.arms)]
    dumps = (each.model_dump(mode="json", exclude_none=True) for each in all_of_them)
    meant = {name for dump in dumps for name in count_accelerators(dump)}
    if not cluster.tokens or not meant:
        return cluster.capacity
    try:
        found = await _capacity_now(clients, deployment.metadata.namespace, cluster.pods)
    except ApiRefused:
        # Nobody waits for it: the plan then says that it does not know.
        return cluster.capacity
    return {**{name: Capacity(0, 0, partial) for name in meant}, **found}


async def _with(
    client: ApiClient, deployment: LLMDeployment, cluster: ClusterState, refs: Iterable[Ref]
) -> ClusterState:
    meta = deployment.metadata
    children, foreign = dict(cluster.children), dict(cluster.foreign)
    for ref in refs:
        kind, name = ref
        obj = await _get(client, kind, meta.namespace, name)
        if obj is not None:
            (children if _owned(obj, meta.uid) else foreign)[ref] = obj
    tokens = {
        runtime: token
        for (kind, _), obj in children.items()
        if kind == "Secret" and (runtime := names.runtime_of(obj)) is not None
        if (token := _token(obj))
    }
    return replace(cluster, children=children, foreign=foreign, tokens=tokens)


async def _get(client: ApiClient, kind: str, namespace: str, name: str) -> Object | None:
    try:
        return await objects.get(client, BY_KIND[kind], namespace, name)
    except ApiRefused:
        if kind != HTTP_ROUTE.kind:
            raise
        # A Role from before there was this kind: who has asked for one is told when it is written.
        return None


async def _asked(
    clients: Clients, deployment: LLMDeployment, cluster: ClusterState
) -> ClusterState:
    """Return the observation with the answers of those who send no events."""
    runtimes = list(cluster.tokens)
    gateways = [pod for pod in select_pods(cluster, "gateway") if is_ready(pod) and _ip(pod)]
    free, states, answers, (replicas, samples) = await asyncio.gather(
        _capacity(clients, deployment.metadata.namespace, cluster.pods),
        asyncio.gather(*(_serve(clients, cluster, runtime) for runtime in runtimes)),
        asyncio.gather(*(_stats(clients, pod, names.AGENT_PORT) for pod in gateways)),
        _replicas(clients, deployment, cluster),
    )
    told = {
        pod["metadata"]["uid"]: answer
        for pod, answer in zip(gateways, answers, strict=True)
        if answer is not None
    }
    return replace(
        cluster,
        samples=samples,
        serve={
            runtime: state
            for runtime, state in zip(runtimes, states, strict=True)
            if state is not None
        },
        gateways=tuple(
            read_gateway(pod["metadata"]["name"], told[uid])
            for pod in gateways
            if (uid := pod["metadata"]["uid"]) in told
        ),
        capacity=free,
        adapters={
            pod["metadata"]["name"]: adapters.read_adapters(replicas[uid])
            for pod in cluster.pods
            if (uid := pod["metadata"]["uid"]) in replicas
        },
        fresh=_fresh(clients, deployment, cluster, replicas, told),
    )


def _compares(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    config_maps = (obj for (kind, _), obj in cluster.children.items() if kind == "ConfigMap")
    return deployment.spec.rollout.analysis is not None and has_canary(config_maps)


async def _replicas(
    clients: Clients, deployment: LLMDeployment, cluster: ClusterState
) -> tuple[dict[str, dict[str, Any]], dict[str, ReplicaSample]]:
    """Return the `/stats` of replicas by uid of their pods, and those of them that autoscaling can use.

    All are asked for a comparison and for autoscaling, else those whose adapters are awaited. One that is asked and does not answer has
    an empty answer.
    """
    asked = adapters.find_runtimes_to_ask(cluster, deployment.metadata.generation)
    scales = deployment.spec.scaling is not None
    everyone = scales or _compares(deployment, cluster)
    workers = [
        pod
        for pod in select_pods(cluster, "worker")
        if is_ready(pod) and _ip(pod) and (everyone or names.runtime_of(pod) in asked)
    ]
    answers = await asyncio.gather(*(_told(clients, pod, scales=scales) for pod in workers))
    pairs = [(pod["metadata"]["uid"], *read) for pod, read in zip(workers, answers, strict=True)]
    samples = {
        uid: sample
        for uid, stats, at in pairs
        if scales and (sample := read_sample(stats, at)) is not None
    }
    return {uid: stats for uid, stats, _ in pairs}, samples


async def _told(clients: Clients, pod: Object, *, scales: bool) -> tuple[dict[str, Any], float]:
    """Return what a replica says, and when that was read."""
    limit = {"seconds": STATS_SECONDS} if scales else {}
    answer = await serve.get_stats(clients.session, _ip(pod), names.REPLICA_PORT, **limit)
    return answer or {}, time.time()


def _fresh(
    clients: Clients,
    deployment: LLMDeployment,
    cluster: ClusterState,
    replicas: Mapping[str, Mapping[str, Any]],
    gateways: Mapping[str, Mapping[str, Any]],
) -> RevisionCounts:
    """Return the requests counted since the last report, if somebody compares them."""
    analysis, meta = deployment.spec.rollout.analysis, deployment.metadata
    owner = (meta.namespace, meta.name)
    if analysis is None or not _compares(deployment, cluster):
        clients.counts_cache.forget(owner)
        return {}
    looked = {uid: read_replica_counts(stats, analysis.metrics) for uid, stats in replicas.items()}
    looked |= {uid: read_gateway_counts(stats, analysis.metrics) for uid, stats in gateways.items()}
    return clients.counts_cache.add(owner, (pod["metadata"]["uid"] for pod in cluster.pods), looked)


async def _serve(clients: Clients, cluster: ClusterState, runtime: str) -> ServeState | None:
    head = find_ready_head(cluster, runtime)
    if head is None or not _ip(head):
        return None
    try:
        return read_serve_state(
            await serve.get_applications(clients.session, _ip(head), cluster.tokens[runtime])
        )
    except ServeUnavailable as error:
        return ServeState(error=str(error))


async def _stats(clients: Clients, pod: Object, port: int) -> dict[str, Any] | None:
    return await serve.get_stats(clients.session, _ip(pod), port)


async def _capacity(
    clients: Clients, namespace: str, pods: Iterable[Object]
) -> dict[str, Capacity]:
    """Return what the cluster has of extended resources; nothing is read unless a pod waits for one."""
    if not clients.cluster_read or not waits_for_extended_resource(pods):
        return {}
    return await _capacity_now(clients, namespace, pods)


async def _capacity_now(
    clients: Clients, namespace: str, pods: Iterable[Object]
) -> dict[str, Capacity]:
    within = None if clients.everywhere else namespace
    return await capacity.read_capacity(clients.client, within, pods)


def _ref(obj: Object) -> Ref:
    return obj["kind"], obj["metadata"]["name"]


def _owned(obj: Object, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or [])


def _believable(pod: Object, children: Mapping[Ref, Object]) -> bool:
    """Say whether a pod is what its labels say: a head is told secrets, so its labels alone are not believed."""
    if pod["metadata"].get("labels", {}).get(names.COMPONENT) != "head":
        return True
    sets = (obj["metadata"]["uid"] for (kind, _), obj in children.items() if kind == "StatefulSet")
    return any(_owned(pod, uid) for uid in sets)


def _token(secret: Object) -> str:
    encoded = (secret.get("data") or {}).get("token", "")
    return base64.b64decode(encoded).decode(errors="replace")


def _ip(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP", ""))
