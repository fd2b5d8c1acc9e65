"""What a pass knows of an LLMDeployment: from the store, by name where nothing may be watched, and what the poller was told."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.api.types import KIND, LLMDeployment
from llmdeployment_operator.costs.types import CostAccount, ReplicaUsage
from llmdeployment_operator.kube import comparisons, references, serve
from llmdeployment_operator.kube.bodies import read_secret
from llmdeployment_operator.kube.capacity import (
    LASTING_SECONDS,
    CapacityCache,
    has_default_storage_class,
)
from llmdeployment_operator.kube.counts_cache import CountsCache
from llmdeployment_operator.kube.errors import ApiRefused
from llmdeployment_operator.kube.name_cache import (
    NAME,
    NO_ROUTE,
    REFERENCE,
    ROUTE,
    Lasting,
    NameCache,
)
from llmdeployment_operator.kube.poller import LOAD_SECONDS, STATS_SECONDS, Answer, Poller, Target
from llmdeployment_operator.kube.recent_counts import RecentCounts
from llmdeployment_operator.kube.resources import HTTP_ROUTE, POD
from llmdeployment_operator.kube.state_cache import StateCache
from llmdeployment_operator.kube.store import Owner, Store
from llmdeployment_operator.plan.base import fetching, names
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Kind, Object, Ref
from llmdeployment_operator.plan.base.pods import Capacity, is_ready, waits_for_room
from llmdeployment_operator.plan.observed import adapters
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.live_stats import count_live
from llmdeployment_operator.plan.observed.ray_serve import ServeState, read_serve_state
from llmdeployment_operator.plan.observed.readiness import find_ready_head, select_pods
from llmdeployment_operator.plan.observed.request_log import RequestLogReport, read_request_log
from llmdeployment_operator.plan.observed.scaling_status import ScalingState
from llmdeployment_operator.plan.observed.self_test import find_runtimes_to_test
from llmdeployment_operator.plan.observed.stats import (
    read_adapters,
    read_gateway,
    read_sample,
    read_self_test,
    read_usage,
)


@dataclass(frozen=True)
class Clients:
    """What looking takes.

    Attributes:
        client: of the API server.
        store: what the API server has.
        poller: what heads, gateways and replicas say.
        cluster_read: whether nodes and StorageClasses may be listed.
        everywhere: whether pods of all namespaces may be listed.
        names: what was read by name.
        counts_cache: counts from pass to pass, for a canary.
        experiment_cache: the same for an experiment, whose counts are written less often.
        drift_cache: the same for revisions that are compared with their first windows.
        recent: answers of about the last hour.
        shadow_cache: the same for a shadow.
        scaling_cache: what autoscaling remembers.
        capacity: what nodes have, of all LLMDeployments.
        cost_cache: the accounts of cost.
    """

    client: ApiClient
    store: Store
    poller: Poller
    cluster_read: bool
    everywhere: bool
    names: NameCache = field(default_factory=NameCache)
    counts_cache: CountsCache = field(default_factory=CountsCache)
    capacity: CapacityCache = field(default_factory=CapacityCache)
    scaling_cache: StateCache[ScalingState] = field(default_factory=StateCache)
    cost_cache: StateCache[CostAccount] = field(default_factory=StateCache)
    experiment_cache: CountsCache = field(default_factory=CountsCache)
    drift_cache: CountsCache = field(default_factory=CountsCache)
    recent: RecentCounts = field(default_factory=RecentCounts)
    shadow_cache: CountsCache = field(default_factory=CountsCache)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self.counts_cache.forget(owner)
        self.experiment_cache.forget(owner)
        self.drift_cache.forget(owner)
        self.recent.forget(owner)
        self.shadow_cache.forget(owner)
        self.scaling_cache.forget(owner)
        self.cost_cache.forget(owner)
        self.poller.forget(owner)
        self.names.forget(*owner)


async def observe(clients: Clients, deployment: LLMDeployment) -> ClusterState | None:
    """Return what is there now, or None: somebody is being asked, and another pass is called for when they have answered.

    Raises:
        ApiError: the API server refused a read.
        ApiUnavailable: it does not answer.
    """
    meta = deployment.metadata
    owner = (meta.namespace, meta.name)
    read = await _read_cluster(clients, deployment)
    cluster = replace(
        read,
        status=deployment.status,
        new_token=secrets.token_hex(32),
        scaling=clients.scaling_cache.of(owner, meta.uid),
        cost=clients.cost_cache.of(owner, meta.uid),
    )
    targets = _list_targets(deployment, cluster, shares=clients.recent.is_due(owner))
    answers = clients.poller.answers(owner, targets)
    if answers is None:
        return None
    return await _add_answers(clients, deployment, cluster, answers)


async def _read_cluster(clients: Clients, deployment: LLMDeployment) -> ClusterState:
    """Return what the API server has of it."""
    meta = deployment.metadata
    found = [o for o in clients.store.owned((meta.namespace, meta.name)) if o["kind"] != KIND]
    kept = [obj for obj in found if obj["kind"] != POD.kind]
    children = {_ref(obj): obj for obj in kept if _owned(obj, meta.uid)}
    runtimes = {
        runtime for obj in children.values() if (runtime := names.runtime_of(obj)) is not None
    }
    cluster = ClusterState(
        children=children,
        foreign={_ref(obj): obj for obj in kept if not _owned(obj, meta.uid)},
        pods=tuple(obj for obj in found if obj["kind"] == POD.kind and _believable(obj, children)),
        missing_secrets=await references.missing_secrets(clients.client, clients.names, deployment),
        missing_config_maps=await references.missing_config_maps(
            clients.client, clients.names, deployment
        ),
    )
    tokens = [
        (Kind.SECRET, names.runtime_names(meta.name, each).token)
        for each in sorted(runtimes)
        if not is_external(each)
    ]
    cluster = await _add_named(clients, deployment, cluster, tokens, REFERENCE)
    asked = deployment.spec.gateway.http_route is not None
    key = [(Kind.SECRET, names.feedback_name(meta.name))]
    cluster = await _add_named(clients, deployment, cluster, key, NO_ROUTE if asked else REFERENCE)
    route = [(HTTP_ROUTE.kind, meta.name)]
    return await _add_named(clients, deployment, cluster, route, ROUTE if asked else NO_ROUTE)


async def look_up(
    clients: Clients, deployment: LLMDeployment, cluster: ClusterState, refs: frozenset[Ref]
) -> ClusterState:
    """Return the observation with these names looked up: each is ours after all, somebody's, or free."""
    found = await _add_named(clients, deployment, cluster, sorted(refs), NAME)
    found = replace(found, looked_up=cluster.looked_up | refs)
    if any(kind == Kind.STATEFUL_SET for kind, _ in refs) and clients.cluster_read:
        found = replace(
            found, default_storage_class=await has_default_storage_class(clients.client)
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
        found = await _read_capacity(clients, deployment.metadata.namespace, cluster.pods)
    except ApiRefused:
        # Nobody waits for it: the plan then says that it does not know.
        return cluster.capacity
    return {**{name: Capacity(0, 0, partial) for name in meant}, **found}


async def _add_named(
    clients: Clients,
    deployment: LLMDeployment,
    cluster: ClusterState,
    refs: Iterable[Ref],
    lasting: Lasting,
) -> ClusterState:
    """Return the observation with the objects of these names."""
    meta = deployment.metadata
    wanted = list(refs)
    reads = (_get(clients, meta.namespace, *ref, lasting) for ref in wanted)
    read = await asyncio.gather(*reads)
    children, foreign = dict(cluster.children), dict(cluster.foreign)
    for ref, obj in zip(wanted, read, strict=True):
        if obj is not None:
            (children if _owned(obj, meta.uid) else foreign)[ref] = obj
    tokens = {
        runtime: token
        for (kind, _), obj in children.items()
        if kind == Kind.SECRET and (runtime := names.runtime_of(obj)) is not None
        if (token := read_secret(obj, "token"))
    }
    key = children.get((Kind.SECRET, names.feedback_name(meta.name)))
    return replace(
        cluster,
        children=children,
        foreign=foreign,
        tokens=tokens,
        feedback_key=read_secret(key, "key") if key is not None else "",
    )


async def _get(
    clients: Clients, namespace: str, kind: str, name: str, lasting: Lasting
) -> Object | None:
    try:
        return await clients.names.get(clients.client, kind, namespace, name, lasting)
    except ApiRefused:
        if kind != HTTP_ROUTE.kind:
            raise
        # A Role from before there was this kind: who has asked for one is told when it is written.
        return None


def _list_targets(
    deployment: LLMDeployment, cluster: ClusterState, *, shares: bool
) -> dict[str, Target]:
    """Return whom to ask, by uid of the pod: ready heads, ready gateways, and replicas where their figures are used.

    All replicas are asked for a comparison, a shadow, for autoscaling, for cost, for the request log and, in a pass that is made anyway,
    for the `shares` in the status; else those whose adapters are awaited or whose self-test is not known.
    Containers that download a model are asked how far they are.
    Counts by group of users are asked for only while somebody compares.
    """
    heads = [(head, t) for r, t in cluster.tokens.items() if (head := find_ready_head(cluster, r))]
    found = [
        Target(_uid(pod), _ip(pod), token=token, seconds=serve.SECONDS) for pod, token in heads
    ]
    compares = comparisons.is_comparing(deployment, cluster)
    path = serve.STATS_WITH_USERS if compares else serve.STATS
    gateways = (pod for pod in select_pods(cluster, "gateway") if is_ready(pod))
    found += [Target(_uid(pod), _ip(pod), names.AGENT_PORT, path=path) for pod in gateways]
    asked = adapters.find_runtimes_to_ask(cluster, deployment.metadata.generation)
    asked |= find_runtimes_to_test(deployment, cluster)
    scales = deployment.spec.scaling is not None
    everyone = scales or compares or shares or deployment.spec.cost is not None
    everyone = everyone or comparisons.is_shadowing(deployment)
    everyone = everyone or deployment.spec.monitoring.request_log is not None
    seconds = LOAD_SECONDS if scales else STATS_SECONDS
    found += [
        Target(_uid(pod), _ip(pod), names.REPLICA_PORT, seconds=seconds, path=path)
        for pod in select_pods(cluster, "worker")
        if is_ready(pod) and (everyone or names.runtime_of(pod) in asked)
    ]
    found += [
        Target(_uid(pod), _ip(pod), names.REPLICA_PORT, seconds=LOAD_SECONDS, path=fetching.PATH)
        for pod in select_pods(cluster, "worker")
        if fetching.is_fetching(pod)
    ]
    return {target.uid: target for target in found if target.host}


async def _add_answers(
    clients: Clients,
    deployment: LLMDeployment,
    cluster: ClusterState,
    answers: Mapping[str, Answer],
) -> ClusterState:
    """Return the observation with the answers of those who send no events."""
    gateways = [pod for pod in select_pods(cluster, "gateway") if _uid(pod) in answers]
    asked = [pod for pod in select_pods(cluster, "worker") if _uid(pod) in answers]
    workers = [pod for pod in asked if not fetching.is_fetching(pod)]
    scales, meta = deployment.spec.scaling is not None, deployment.metadata
    said = {uid: answer.body or {} for uid, answer in answers.items()}
    samples = {
        uid: sample
        for pod in workers
        if scales and (sample := read_sample(said[uid := _uid(pod)], answers[uid].at)) is not None
    }
    counted = {_uid(pod): said[_uid(pod)] for pod in workers}
    routed = {_uid(pod): said[_uid(pod)] for pod in gateways}
    return replace(
        cluster,
        samples=samples,
        usage=_read_usage(deployment, counted),
        fetches=fetching.read_fetches(asked, said),
        live=count_live(counted, routed),
        request_logs=_read_logs(deployment, workers, said),
        serve=_read_serve(cluster, answers),
        gateways=tuple(read_gateway(pod["metadata"]["name"], said[_uid(pod)]) for pod in gateways),
        capacity=await _capacity(clients, deployment.metadata.namespace, cluster.pods),
        adapters={pod["metadata"]["name"]: read_adapters(said[_uid(pod)]) for pod in workers},
        self_tests={
            pod["metadata"]["name"]: report
            for pod in workers
            if (report := read_self_test(said[_uid(pod)])) is not None
        },
        fresh=comparisons.count_canary(clients.counts_cache, deployment, cluster, counted, routed),
        past=clients.counts_cache.sum_past((meta.namespace, meta.name)),
        users=comparisons.count_canary_users(clients.counts_cache, deployment, cluster, routed),
        shadow_fresh=comparisons.count_shadow(clients.shadow_cache, deployment, cluster, counted),
        experiment_fresh=comparisons.count_experiment(
            clients.experiment_cache, deployment, cluster, counted, routed
        ),
        experiment_users=comparisons.count_experiment_users(
            clients.experiment_cache, deployment, cluster, routed
        ),
        drift_fresh=comparisons.count_drift(clients.drift_cache, deployment, cluster, counted),
        recent=comparisons.count_recent(clients.recent, deployment, cluster, counted),
    )


def _read_usage(
    deployment: LLMDeployment, replicas: Mapping[str, Mapping[str, Any]]
) -> dict[str, ReplicaUsage]:
    """Return what replicas did, by uid of the pod, if it has a price."""
    if deployment.spec.cost is None:
        return {}
    found = {uid: read_usage(stats) for uid, stats in replicas.items()}
    return {uid: usage for uid, usage in found.items() if usage is not None}


def _read_logs(
    deployment: LLMDeployment, workers: Iterable[Object], said: Mapping[str, Mapping[str, Any]]
) -> dict[str, RequestLogReport]:
    """Return what replicas say of their request logs, by pod, if there shall be one."""
    if deployment.spec.monitoring.request_log is None:
        return {}
    found = {pod["metadata"]["name"]: read_request_log(said[_uid(pod)]) for pod in workers}
    return {pod: report for pod, report in found.items() if report is not None}


def _read_serve(cluster: ClusterState, answers: Mapping[str, Answer]) -> dict[str, ServeState]:
    """Return what Ray Serve says, by runtime, of the heads that were asked."""
    found = {}
    for runtime in cluster.tokens:
        head = find_ready_head(cluster, runtime)
        answer = answers.get(_uid(head)) if head is not None else None
        if answer is not None:
            body = dict(answer.body or {})
            found[runtime] = (
                ServeState(error=answer.error) if answer.error else read_serve_state(body)
            )
    return found


async def _capacity(
    clients: Clients, namespace: str, pods: Iterable[Object]
) -> dict[str, Capacity]:
    """Return what the cluster has of extended resources; nothing is read unless a pod waits for one."""
    if not clients.cluster_read or not waits_for_room(pods):
        return {}
    return await _read_capacity(clients, namespace, pods, LASTING_SECONDS)


async def _read_capacity(
    clients: Clients, namespace: str, pods: Iterable[Object], seconds: float = 0.0
) -> dict[str, Capacity]:
    within = None if clients.everywhere else namespace
    return await clients.capacity.read(clients.client, within, pods, seconds)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _ref(obj: Object) -> Ref:
    return obj["kind"], obj["metadata"]["name"]


def _owned(obj: Object, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or [])


def _believable(pod: Object, children: Mapping[Ref, Object]) -> bool:
    """Say whether a pod is what its labels say: a head is told secrets, so its labels alone are not believed."""
    if pod["metadata"].get("labels", {}).get(names.COMPONENT) != "head":
        return True
    sets = (
        obj["metadata"]["uid"] for (kind, _), obj in children.items() if kind == Kind.STATEFUL_SET
    )
    return any(_owned(pod, uid) for uid in sets)


def _ip(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP", ""))
