"""The types of the `status` of an LLMDeployment; `status_document` reads and writes it."""

from typing import Annotated, Literal

from pydantic import Field

from llmdeployment_operator.api.analysis_status import AnalysisStatus
from llmdeployment_operator.api.cost_status import CostStatus
from llmdeployment_operator.api.drift_status import MOST_SHARES, DriftStatus, ShareStatus
from llmdeployment_operator.api.evaluation_status import EvaluationStatus, RecheckStatus
from llmdeployment_operator.api.experiment_status import ExperimentStatus
from llmdeployment_operator.api.shadow_status import ShadowStatus
from llmdeployment_operator.api.status_part import Message, StatusPart

MOST_REVISIONS = 128
"""Revisions that the status lists. Of more, the oldest that are not in use are left out."""

STATE = 32768
"""Characters of what the autoscaler has learned. Half of it is of no use: what is longer is left out."""


class ConditionStatus(StatusPart):
    """One aspect of the state, in the form all of Kubernetes uses."""

    type: str = Field(max_length=64)
    """Accepted, Progressing, Available, Ready, Degraded, Stalled, or of a field of the spec: Scaling, Drifting, BudgetExceeded,
    Experimenting, RequestLog."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: str = Field(max_length=64)
    """Why, in one word; docs/reference/api.md lists them."""
    message: Message = ""
    """What is happening, what it waits for, and what to do about it."""
    observed_generation: int = Field(default=0, json_schema_extra={"format": "int64"})
    """The metadata.generation that the condition was set for."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When `status` last changed."""


class ReplicaSelfTestStatus(StatusPart):
    """The self-test of one replica."""

    pod: str = Field(max_length=253)
    """Its pod."""
    score: str = Field(max_length=16)
    """The mean log-likelihood per token of the built-in text, in nats."""


class SelfTestStatus(StatusPart):
    """What the replicas of a revision are held to, and what they score; docs/concepts/serving.md explains it."""

    reference: str = Field(max_length=16)
    """What a score may be away from by 0.05 nats."""
    reference_from: Literal["Transformers", "FirstReplica"]
    """Where the reference comes from."""
    replicas: Annotated[tuple[ReplicaSelfTestStatus, ...], Field(max_length=32)] = ()
    """The scores of ready replicas, of at most 32."""


class RevisionStatus(StatusPart):
    """One revision that exists: serving, starting, stopping, or kept as history."""

    name: str = Field(max_length=253)
    """Its ControllerRevision."""
    number: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """1, 2, 3, ... in the order of creation."""
    hash: str = Field(max_length=64)
    """Hash of the template fields."""
    runtime: str = Field(max_length=64)
    """Hash of the runtime whose pods carry it."""
    commit: str | None = Field(default=None, max_length=64)
    """What spec.model.source held when its first replica downloaded the model: the commit of a hub, else a SHA-256. Its later
    replicas get the same."""
    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods of its runtime that should exist."""
    ready: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods of its runtime that are ready."""
    traffic_percent: int = Field(default=0, ge=0, le=100, json_schema_extra={"format": "int32"})
    """Percent of the requests that it gets."""
    url: str | None = Field(default=None, max_length=512)
    """URL of its replicas without the gateway, while it has some. For tests, with the header `x-llm-revision: <number>`."""
    created_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it was created."""
    first_ready_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When a replica of it was first ready. A revision that never was loses its traffic at once to a new one."""
    promoted_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it last became the stable revision of an arm."""
    evaluation: EvaluationStatus | None = None
    """Its last evaluation."""
    recheck: RecheckStatus | None = None
    """Its last answers by spec.rollout.evaluation.schedule, while it serves."""
    self_test: SelfTestStatus | None = None
    """The self-test of its replicas."""
    shares: Annotated[tuple[ShareStatus, ...], Field(max_length=MOST_SHARES)] = ()
    """What its answers are like, while it has replicas. Written at most once a minute (docs/how-to/watch-answers.md)."""
    shares_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When `shares` was written."""
    drift: DriftStatus | None = None
    """The comparison with its own first window, while it serves and spec.monitoring.drift is set."""


class RejectedStatus(StatusPart):
    """A revision that was rolled back."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """Its number."""
    attempt: int = Field(default=1, ge=1, json_schema_extra={"format": "int32"})
    """Which attempt failed. The annotation `llmdeployment.dev/retry` names it."""
    at: str = Field(json_schema_extra={"format": "date-time"})
    """When it was rolled back."""
    message: Message = ""
    """Why it was rolled back."""


class WarmStatus(StatusPart):
    """A revision that is kept warm: its replicas stay although it has no traffic any more."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """Its number."""
    until: str = Field(json_schema_extra={"format": "date-time"})
    """A rollback to it before this time takes effect at once."""


class ArmStatus(StatusPart):
    """The rollout of one arm."""

    name: str = Field(max_length=63)
    """Name of the arm, `main` if the spec names none."""
    weight: int = Field(default=100, ge=0, le=100, json_schema_extra={"format": "int32"})
    """Percent of the requests that the arm gets."""
    stable: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The revision that serves."""
    canary: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The canary. One without a step is losing its requests."""
    canary_weight: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """The canary's percent of the arm's requests."""
    canary_ready: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """The most replicas of the canary that were ready so far."""
    step: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """The canary's step, from 1; the one after the last of spec.rollout.steps is the promotion."""
    step_started_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When every gateway had the step's weight."""
    progress_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the rollout last made progress. spec.rollout.progressDeadlineSeconds counts from here."""
    attempt: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """How many times this canary was started."""
    rejected: RejectedStatus | None = None
    """The revision that was rolled back, if the spec still asks for it."""
    warm: Annotated[tuple[WarmStatus, ...], Field(max_length=8)] = ()
    """Revisions kept warm for spec.rollout.rollbackWindow."""
    analysis: AnalysisStatus | None = None
    """The comparison of canary and stable revision, while there is a canary."""
    shadow: ShadowStatus | None = None
    """What the canary answered to a sample of live requests before its first one, while there is a canary."""


class ScaledRuntimeStatus(StatusPart):
    """A runtime that autoscaling decides on."""

    runtime: str = Field(max_length=64)
    """Its hash."""
    desired: int = Field(default=0, json_schema_extra={"format": "int32"})
    """How many replicas it should have."""
    state: str = Field(default="", max_length=STATE)
    """What the autoscaler has learned (JSON), for the next start of the operator."""


class ScalingDecisionStatus(StatusPart):
    """A decision of autoscaling that changed a number of replicas."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    """When it was made."""
    runtime: str = Field(max_length=64)
    """Hash of the runtime."""
    before: int = Field(default=0, alias="from", json_schema_extra={"format": "int32"})
    """Replicas before."""
    after: int = Field(default=0, alias="to", json_schema_extra={"format": "int32"})
    """Replicas after."""
    reason: str = Field(max_length=64)
    """Why, in one word; docs/concepts/autoscaling.md lists them."""
    message: Message = ""
    """Why, in one sentence."""
    inputs: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=32)] = (
        Field(default_factory=dict)
    )
    """The numbers that the decision is based on."""


class ScalingStatus(StatusPart):
    """What autoscaling decided, with spec.scaling."""

    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """How many replicas all requests need. Those of a rollout come on top."""
    written_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When this was written: at each decision, and otherwise once a minute."""
    runtimes: Annotated[tuple[ScaledRuntimeStatus, ...], Field(max_length=16)] = ()
    """The runtimes that are scaled."""
    decisions: Annotated[tuple[ScalingDecisionStatus, ...], Field(max_length=10)] = ()
    """The last ones, newest last."""


class Status(StatusPart):
    """The observed state."""

    observed_generation: int = Field(default=0, json_schema_extra={"format": "int64"})
    """The metadata.generation that the rest of the status is about."""
    conditions: Annotated[
        tuple[ConditionStatus, ...],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = ()
    """Accepted, Progressing, Available, Ready, Degraded, Stalled and, with spec.scaling, Scaling, each with a reason. With
    spec.rollout.evaluation.schedule or spec.monitoring.drift also Drifting, with spec.cost.monthlyBudget also BudgetExceeded, with
    spec.experiment also Experimenting, with spec.monitoring.requestLog also RequestLog."""
    revisions: Annotated[
        tuple[RevisionStatus, ...],
        Field(
            max_length=MOST_REVISIONS,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """The revisions that exist, oldest first."""
    arms: Annotated[
        tuple[ArmStatus, ...],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """The rollout of each arm, including arms that were removed from the spec but still have requests."""
    experiment: ExperimentStatus | None = None
    """What spec.experiment found."""
    endpoint: str = Field(default="", max_length=512)
    """Base URL for OpenAI clients inside the cluster."""
    model: str = Field(default="", max_length=253)
    """What clients put in `model`."""
    traffic: Message = ""
    """Which revision gets how many requests, such as `rev3 100%`, or with arms `control rev3 90% terse rev4 10%`. Empty while nobody
    answers."""
    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods that exist."""
    ready_replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods that are ready."""
    ready: str = Field(default="", max_length=32)
    """Both numbers for people, such as `1/4`."""
    scaling: ScalingStatus | None = None
    """What autoscaling decided, with spec.scaling."""
    cost: CostStatus | None = None
    """What it costs, with spec.cost."""
    selector: str = Field(default="", max_length=1024)
    """Label selector of the worker pods, for the scale subresource."""
