"""Why an LLMDeployment is in the state it is in: one word for machines, one sentence for people."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from llmdeployment_operator.plan.base.durations import describe_age


class Reason(StrEnum):
    """The reasons of conditions and Events."""

    ACCEPTED = "Accepted"
    """The spec is valid and every object of this LLMDeployment is the operator's own."""
    INVALID_SPEC = "InvalidSpec"
    """The spec cannot be acted on; the message names the field. Change it."""
    NOT_OWNED = "NotOwned"
    """An object of a name that is needed belongs to somebody else. Delete or rename it, or rename the LLMDeployment."""
    API_ERROR = "APIError"
    """The API server refused a write or did not answer. The operator tries again; a refusal usually is missing RBAC."""
    OPERATOR_ERROR = "OperatorError"
    """The operator failed in a way that nobody foresaw, and tries again. Its log has the details; please report them."""
    PAUSED = "Paused"
    """`spec.paused` is true: the operator touches nothing until it is false."""

    SECRET_MISSING = "SecretMissing"  # noqa: S105  # because it is the name of a condition's reason
    """A Secret that the spec refers to does not exist. Create it."""
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    """A ConfigMap that the spec refers to does not exist. Create it."""
    WAITING_FOR_GPU = "WaitingForGPU"
    """No node has the accelerators a replica asks for. It waits until some are free, or until you or a cluster autoscaler add a node."""
    UNSCHEDULABLE = "Unschedulable"
    """No node fits a pod for another reason; the message is the scheduler's."""
    FAILED_CREATE = "FailedCreate"
    """The cluster does not let a pod be made: a quota, or an admission policy; the message is its own. Raise the quota, or free some."""
    VOLUME_MISSING = "VolumeMissing"
    """A PersistentVolumeClaim that a pod needs does not exist or is not bound."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """A node cannot pull an image. Check its name, tag and pull secret."""
    POD_CONFIG_ERROR = "PodConfigError"
    """A container cannot be made from its pod: a Secret, key or ConfigMap it refers to is missing."""
    STARTING_PODS = "StartingPods"
    """Pods are being made; images may still be on their way."""
    FETCHING_MODEL = "FetchingModel"
    """The model is being downloaded."""
    MODEL_UNAVAILABLE = "ModelUnavailable"
    """The model could not be downloaded; the message says why."""
    CRASH_LOOP = "CrashLoop"
    """A container ends again and again; the message has its last lines."""
    OUT_OF_MEMORY = "OutOfMemory"
    """A container was killed at its memory limit. Raise `spec.resources.limits.memory`."""
    STARTING_RAY = "StartingRay"
    """The Ray head is coming up."""
    LOADING_MODEL = "LoadingModel"
    """Replicas are loading the model."""
    ENGINE_FAILED = "EngineFailed"
    """A replica could not start its engine; the message is the engine's own. Usually an engine flag or a model path."""
    SELF_TEST_FAILED = "SelfTestFailed"
    """A replica computes wrongly and gets no requests; the message has its pod, its node and both scores. Usually an accelerator, a kernel
    for this CPU, or an engine flag."""
    ADAPTER_FAILED = "AdapterFailed"
    """Replicas cannot load an adapter; the message says which, and why. Correct spec.model.adapters, or put the files there."""
    STARTING_GATEWAY = "StartingGateway"
    """The gateway's pods are coming up, or have not yet applied the current routes; or the HTTPRoute is not taken up yet."""
    GATEWAY_SILENT = "GatewaySilent"
    """No gateway pod answers the operator, or no controller has answered for the HTTPRoute. The operator does not know whether requests
    are answered. It asks again by itself."""
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    """A Gateway's controller refused the HTTPRoute, or none has answered. Change `spec.gateway.httpRoute` or the Gateway."""
    CRD_MISSING = "CRDMissing"
    """The cluster does not know a kind that the spec needs; the message says what to install."""
    ACCELERATORS_PLANNED = "AcceleratorsPlanned"
    """A new revision is about to start; the message says what it needs, what is free, and what to do if that is too few."""
    CANARY = "Canary"
    """A new revision is taking over, step by step; the message says which step, and what is next."""
    EVALUATING = "Evaluating"
    """A new revision answers the golden set before its first request; the message says what that waits for, if anything."""
    SHADOWING = "Shadowing"
    """A new revision answers a sample of live requests before its first one; the message has the figures so far."""
    ANALYZING = "Analyzing"
    """Canary and stable revision are being compared; the message has the figures so far and about how many requests are needed."""
    ARMS_WAITING = "ArmsWaiting"
    """The arms get the weights of the spec as soon as the replicas for them are ready; the message says which are awaited."""
    CANARY_PAUSED = "CanaryPaused"
    """A rollout waits to be promoted, or was paused by annotation; the message says how it goes on."""
    ROLLED_BACK = "RolledBack"
    """The newest revision was rolled back and the one before serves; the message says why. Change the spec, or try again."""
    SCALED_TO_ZERO = "ScaledToZero"
    """There is no replica, as `spec.replicas` is 0, or as nobody asked and `spec.scaling` lets the last one go. The gateway holds
    requests for as long as `spec.gateway.hold` says; with `spec.scaling` the first one brings a replica back."""
    SCALING_ACTIVE = "ScalingActive"
    """Autoscaling looks and decides; the message has the number, its bounds and the last decision."""
    TOO_MANY_REPLICAS = "TooManyReplicas"
    """More replicas are needed than `spec.scaling.maxReplicas` allows. Raise it, or expect the targets to be missed."""
    TOO_FEW_REPLICAS = "TooFewReplicas"
    """Fewer replicas would do than `spec.scaling.minReplicas` asks for."""
    EXPERIMENT_RUNNING = "ExperimentRunning"
    """The arms are being compared; the message says about how long it takes."""
    EXPERIMENT_WAITING = "ExperimentWaiting"
    """No arm is compared now: the arms do not have the weights of the spec yet, or a canary is under way; the message says which."""
    EXPERIMENT_CONCLUDED = "ExperimentConcluded"
    """The experiment has ended with an answer; the message has it, and the patch that gives the winner all users."""
    EXPERIMENT_TIMED_OUT = "ExperimentTimedOut"
    """The experiment has lasted for `spec.experiment.maxDuration` without an answer; the message has what is known."""
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    """A ready replica's metrics are missing or invalid. Scale-down is blocked until they return."""
    TARGET_OUT_OF_REACH = "TargetOutOfReach"
    """A target is missed at low load too, so that more replicas would not help. Change the target, the model or the hardware."""
    SCORE_FELL = "ScoreFell"
    """The revision that serves answers the golden set worse than at first. The message says by how much, which questions, and what to
    do."""
    DIFFERS_FROM_FIRST = "DiffersFromFirst"
    """Prompts or answers of the revision that serves differ from those of its first window. The message says which, since when, by how
    much, and what to do."""
    FIRST_WINDOW = "FirstWindow"
    """The revision that serves is in its first window, with which later ones are compared; the message says until when, and how many
    answers it has."""
    NO_DRIFT = "NoDrift"
    """The revision that serves answers the golden set as at first, and its prompts and answers are as in its first window, as far as can
    be told from noise."""
    DRIFT_UNKNOWN = "DriftUnknown"
    """The answers of the revision that serves cannot be compared with its first ones; the message says why."""
    WITHIN_BUDGET = "WithinBudget"
    """Less than 80 % of `spec.cost.monthlyBudget` is spent; the message has the amounts."""
    NEAR_BUDGET = "NearBudget"
    """80 % of `spec.cost.monthlyBudget` or more is spent; the message says how long the rest lasts."""
    OVER_BUDGET = "OverBudget"
    """All of `spec.cost.monthlyBudget` is spent. Requests are still served. Raise the budget, or lower the replicas."""
    LOG_WRITTEN = "LogWritten"
    """The request log is written; the message says what goes where."""
    LOG_UNKNOWN = "LogUnknown"
    """No replica says whether it logs: none is ready, or its image is older than `spec.monitoring.requestLog`."""
    LOG_SINK_MISSING = "LogSinkMissing"
    """Replicas have nothing to write the request log to: no collector, or pods without the claim. The message says what to do."""
    LOG_LINES_DROPPED = "LogLinesDropped"
    """A replica dropped lines of the request log in the last 5 minutes; the message says how many, and why. Requests are answered."""
    CONTENT_NOT_ALLOWED = "ContentNotAllowed"
    """`spec.monitoring.requestLog.level` is Content, and whoever installed the operator does not allow it. Metadata is logged."""
    SERVING = "Serving"
    """A request through the gateway is answered by the current generation."""
    AS_EXPECTED = "AsExpected"
    """Nothing is wrong."""


@dataclass(frozen=True)
class Finding:
    """One thing that keeps an LLMDeployment from being what its spec says.

    Attributes:
        reason: for machines.
        message: for people: what is happening, what it waits for, what to do; whole sentences.
        since: when it began, if that is known and matters.
    """

    reason: Reason
    message: str
    since: datetime | None = None

    def at(self, now: datetime) -> "Finding":
        """Return it with a sentence at its end that says how long it has lasted; without one where that is unknown."""
        age = describe_age(self.since, now) if self.since is not None else ""
        return replace(self, message=f"{self.message} {age}".strip())


HEALS_BY_WAITING = frozenset(
    {
        Reason.STARTING_PODS,
        Reason.FETCHING_MODEL,
        Reason.STARTING_RAY,
        Reason.LOADING_MODEL,
        Reason.STARTING_GATEWAY,
        Reason.WAITING_FOR_GPU,
        Reason.ACCELERATORS_PLANNED,
        Reason.CANARY,
        Reason.EVALUATING,
        Reason.SHADOWING,
        Reason.ANALYZING,
        Reason.CANARY_PAUSED,
        Reason.ARMS_WAITING,
    }
)
"""Findings that are part of an ordinary start: nobody has to do anything but wait."""

NODE_SECONDS = 900
"""How long a node autoscaler may take to add a node: cluster-autoscaler's `--max-node-provision-time` is 15 minutes."""
_MENDED_BY_A_NODE = frozenset({Reason.WAITING_FOR_GPU, Reason.UNSCHEDULABLE})


def heals_by_waiting(finding: Finding, now: datetime) -> bool:
    """Say whether nobody has to do anything but wait; for a node, no longer than a node autoscaler takes.

    Args:
        finding: what is not as the spec says.
        now: the current time, UTC.
    """
    if finding.reason not in _MENDED_BY_A_NODE:
        return finding.reason in HEALS_BY_WAITING
    return finding.since is None or (now - finding.since).total_seconds() < NODE_SECONDS
