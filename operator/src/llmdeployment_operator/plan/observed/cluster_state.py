"""What one pass saw of the world: the plan's only input besides the LLMDeployment, the settings and the time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_operator.analysis.counts import RevisionCounts
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.autoscaler.types import ReplicaSample
from llmdeployment_operator.costs.types import CostAccount, ReplicaUsage
from llmdeployment_operator.plan.base.fetching import FetchProgress
from llmdeployment_operator.plan.base.objects import Object, Ref
from llmdeployment_operator.plan.base.pods import Capacity
from llmdeployment_operator.plan.observed.live_counters import LiveCounters
from llmdeployment_operator.plan.observed.ray_serve import ServeState
from llmdeployment_operator.plan.observed.request_log import RequestLogReport
from llmdeployment_operator.plan.observed.scaling_status import ScalingState


@dataclass(frozen=True)
class GatewayState:
    """What one gateway's agent says of itself.

    Attributes:
        pod: its name.
        routes_hash: of the routes it has applied.
        up: servers that answer, by Service.
        held: requests that wait now, since no replica is ready.
        refused: requests that could not wait, or no longer, since it began.
        requests: given to replicas since its HAProxy began, by Service.
    """

    pod: str
    routes_hash: str
    up: Mapping[str, int]
    held: int = 0
    refused: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTestReport:
    """What a replica says of its self-test.

    Attributes:
        score: mean log-likelihood per token, in nats.
        computed: the reference that it computed with transformers; None if it did not.
    """

    score: float
    computed: float | None = None


@dataclass(frozen=True)
class ClusterState:
    """One look at the cluster.

    Attributes:
        status: of the LLMDeployment, as far as it can be read; what another version wrote is not.
        children: every object labelled as ours and owned by this LLMDeployment.
        foreign: objects whose names we need and that are not ours.
        looked_up: names that were looked for and are free, beyond those in `children`.
        pods: pods labelled as ours.
        tokens: Ray tokens by runtime hash, of the Secrets that exist.
        new_token: new randomness, from which the token of a runtime that has none yet is made, and the feedback key.
        feedback_key: the base64 of what gateways sign ids for feedback with, if its Secret exists.
        serve: what Ray Serve says, by runtime hash.
        gateways: what the ready gateways' agents say.
        missing_secrets: Secrets the spec refers to that do not exist.
        missing_config_maps: names of ConfigMaps the spec refers to that do not exist.
        capacity: extended resources of the cluster; empty when nothing waits for one and no runtime is about to be made.
        adapters: what replicas say of their adapters, by pod, revision and name; of those that had to be asked.
        self_tests: what replicas say of their self-tests, by pod; of those that had to be asked.
        fresh: requests counted since the last pass that was reported, while an analysis wants them.
        past: requests counted before `fresh`, while an analysis wants them.
        users: distinct users by revision, over all gateways and since these began, while an analysis wants them; two users who share a
            bucket are one.
        shadow_fresh: requests that canaries were asked too, counted since the last pass that was reported, while a shadow runs.
        experiment_fresh: requests counted since the last pass whose status had them, while an experiment wants them.
        experiment_users: as `users`, while an experiment wants them.
        drift_fresh: as `experiment_fresh`, for spec.monitoring.drift.
        recent: answers of about the last hour, for the shares in the status; empty if replicas were not asked for them now.
        samples: what replicas say of their load, by uid of the pod, for autoscaling; those that did not answer are absent.
        scaling: what autoscaling remembers; None after a start, when the status is what there is.
        usage: what replicas say of their work, by uid of the pod, for `spec.cost`; those that did not answer are absent.
        cost: the account of cost; None after a start, when the status is what there is.
        request_logs: what replicas say of their request logs, by pod, if there is one.
        live: what those who were asked count, for the points of the last hour.
        fetches: how far the downloads of models are, by pod; those that were not asked or did not answer are absent.
        default_storage_class: whether the cluster makes volumes by itself.
    """

    status: Status = field(default_factory=Status)
    children: Mapping[Ref, Object] = field(default_factory=dict)
    foreign: Mapping[Ref, Object] = field(default_factory=dict)
    looked_up: frozenset[Ref] = frozenset()
    pods: tuple[Object, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    new_token: str = ""
    feedback_key: str = ""
    serve: Mapping[str, ServeState] = field(default_factory=dict)
    gateways: tuple[GatewayState, ...] = ()
    missing_secrets: tuple[str, ...] = ()
    missing_config_maps: frozenset[str] = frozenset()
    capacity: Mapping[str, Capacity] = field(default_factory=dict)
    adapters: Mapping[str, Mapping[int, Mapping[str, str]]] = field(default_factory=dict)
    self_tests: Mapping[str, SelfTestReport] = field(default_factory=dict)
    fresh: RevisionCounts = field(default_factory=dict)
    past: RevisionCounts = field(default_factory=dict)
    users: Mapping[int, int] = field(default_factory=dict)
    shadow_fresh: RevisionCounts = field(default_factory=dict)
    experiment_fresh: RevisionCounts = field(default_factory=dict)
    experiment_users: Mapping[int, int] = field(default_factory=dict)
    drift_fresh: RevisionCounts = field(default_factory=dict)
    recent: RevisionCounts = field(default_factory=dict)
    samples: Mapping[str, ReplicaSample] = field(default_factory=dict)
    scaling: ScalingState | None = None
    usage: Mapping[str, ReplicaUsage] = field(default_factory=dict)
    cost: CostAccount | None = None
    request_logs: Mapping[str, RequestLogReport] = field(default_factory=dict)
    live: LiveCounters = field(default_factory=LiveCounters)
    fetches: Mapping[str, FetchProgress] = field(default_factory=dict)
    default_storage_class: bool = False
