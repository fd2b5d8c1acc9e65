"""The LLMDeployment as the operator reads it: `parse` turns an API object into these types."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from llmdeployment_operator.api import (
    external,
    gateway_api,
    placement,
    rules,
    scaling,
    transformers,
)
from llmdeployment_operator.api.arms import ARMS, ArmSpec, check_arms, merge_patch
from llmdeployment_operator.api.assignment import API_KEY, NO_API_KEYS, AssignmentSpec
from llmdeployment_operator.api.cors import CorsSpec
from llmdeployment_operator.api.cost import CostSpec, check_cost
from llmdeployment_operator.api.engine import EngineSpec
from llmdeployment_operator.api.experiment import ExperimentSpec, check_experiment
from llmdeployment_operator.api.fields import Image, Model, ObjectName, Quantity, describe_error
from llmdeployment_operator.api.model import ModelSpec
from llmdeployment_operator.api.monitoring import MonitoringSpec, check_monitoring
from llmdeployment_operator.api.pod_template import PodTemplate
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.scaling import ScalingSpec
from llmdeployment_operator.api.shadow import check_shadow
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.task import (
    check_task_comparisons,
    check_task_engine,
    check_task_prompt,
)

GROUP = "llmdeployment.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "LLMDeployment"
PLURAL = "llmdeployments"


class SpecError(ValueError):
    """An object that cannot be acted on; the text names the field and what is wrong with it."""


class SecretReference(Model):
    """A Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""


class PromptSpec(Model):
    """What the serving layer adds to requests. A change makes a new revision."""

    system: Annotated[str, Field(max_length=16384)] | None = None
    """System prompt that is put before the client's messages."""
    defaults: Annotated[
        dict[str, JsonValue], Field(max_length=32, json_schema_extra=rules.PROMPT_DEFAULTS)
    ] = Field(default_factory=dict)
    """Request fields that are used where a client leaves them out, such as `temperature`."""

    @field_validator("defaults")
    @classmethod
    def _no_reserved_defaults(cls, defaults: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in rules.RESERVED_DEFAULTS:
            if name in defaults:
                raise ValueError(rules.describe_reserved_default(name))
        return defaults


def _check_names(amounts: dict[str, str]) -> dict[str, str]:
    if not all(map(rules.is_resource, amounts)):
        raise ValueError(rules.RESOURCE_NAMES)
    return amounts


Amounts = Annotated[
    dict[str, Quantity],
    Field(max_length=8, json_schema_extra=rules.AMOUNTS),
    AfterValidator(_check_names),
]


class Resources(Model):
    """Compute resources of one container, as a pod has them."""

    model_config = ConfigDict(json_schema_extra=rules.RESOURCES)

    requests: Amounts | None = None
    """What the scheduler reserves."""
    limits: Amounts | None = None
    """What the container cannot exceed. Accelerators go here, such as `nvidia.com/gpu: 1`."""


class Parallelism(Model):
    """How one replica spreads over its own accelerators."""

    tensor: Annotated[int, Field(ge=1, le=64)] = 1
    """Accelerators that share each layer."""
    pipeline: Annotated[int, Field(ge=1, le=64)] = 1
    """Groups of layers that run one after the other, each on accelerators of its own."""


class GatewaySpec(Model):
    """The front door of this LLMDeployment."""

    model_config = ConfigDict(json_schema_extra=gateway_api.GATEWAY)

    mode: Literal["Builtin", "HTTPRoute"] = "Builtin"
    """`Builtin`: HAProxy pods of this LLMDeployment. `HTTPRoute`: a route for Gateways that the cluster has (Gateway API).
    With HTTPRoute, users do not stay with a revision, requests are not held, API keys are not checked, and replicas, hold, resources
    and what says where the pods run have no effect."""
    http_route: gateway_api.HTTPRouteSpec | None = None
    """The Gateways, for mode HTTPRoute."""
    replicas: Annotated[int, Field(ge=1, le=32)] = 2
    """Number of gateway pods."""
    api_keys_secret_ref: SecretReference | None = None
    """Secret whose values are the accepted API keys, one per key of the Secret. Default: no key is required."""
    hold: gateway_api.Hold = gateway_api.Hold()
    """How long, and how many, requests wait while no replica is ready."""
    queue: gateway_api.Queue = gateway_api.Queue()
    """How long, and how many, requests wait while all replicas are full."""
    limits: gateway_api.Limits = gateway_api.Limits()
    """How much of each gateway pod one client may take."""
    max_body_size: gateway_api.BodySize = "32Mi"
    """How large a request's body may be, in Mi. A larger one is refused with 413."""
    cors: CorsSpec | None = None
    """Pages of browsers that may read answers. Default: none of other origins."""
    assignment: AssignmentSpec = AssignmentSpec()
    """How requests are assigned to arms and revisions."""
    allow_forcing: bool = False
    """Whether clients may choose an arm or a revision with the headers `x-llm-revision` and `x-llm-arm`."""
    resources: Resources = Resources()
    """Resources of the HAProxy container. Default: requests of 200m CPU and 64Mi, a limit of 512Mi."""
    service: placement.GatewayServiceSpec | None = None
    """How the gateway is reached. Default: in the cluster only."""
    node_selector: placement.Labels = Field(default_factory=dict)
    """Labels of the nodes that the gateway's pods run on."""
    tolerations: Annotated[
        tuple[placement.Toleration, ...], Field(strict=False, max_length=16)
    ] = ()
    """Taints of nodes that the gateway's pods accept."""
    affinity: placement.Affinity | None = None
    """Further rules of where the gateway's pods run."""
    topology_spread_constraints: Annotated[
        tuple[placement.SpreadConstraint, ...], Field(strict=False, max_length=8)
    ] = ()
    """How the gateway's pods spread. Default: over nodes where that is possible, if there are several pods."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the gateway's pods."""

    @model_validator(mode="after")
    def _one_front_door(self) -> Self:
        keys = self.api_keys_secret_ref is not None
        assigned = self.allow_forcing or self.assignment.keys is not None
        gateway_api.check_gateway(
            self.mode, self.http_route, self.cors, keys=keys, assigned=assigned
        )
        if self.mode == "HTTPRoute" and self.service is not None:
            raise ValueError(placement.SERVICE_WITH_HTTPROUTE)
        return self

    @model_validator(mode="after")
    def _api_key_needs_keys(self) -> Self:
        if API_KEY in (self.assignment.keys or ()) and self.api_keys_secret_ref is None:
            raise ValueError(NO_API_KEYS)
        if self.limits.requests_per_key is not None and self.api_keys_secret_ref is None:
            raise ValueError(gateway_api.LIMIT_WITHOUT_KEYS)
        return self


class Spec(Model):
    """The desired state."""

    model_config = ConfigDict(json_schema_extra=rules.SPEC)

    model: ModelSpec
    """The model that is served."""
    engine: EngineSpec = EngineSpec()
    """The engine that runs the model."""
    prompt: PromptSpec = PromptSpec()
    """What the serving layer adds to requests."""
    resources: Resources = Resources()
    """Resources of one replica."""
    parallelism: Parallelism = Parallelism()
    """How one replica spreads over its accelerators. tensor x pipeline is the number of GPUs."""
    image: Image | None = None
    """Serving image. Default: the one that the operator was installed with."""
    pod_template: PodTemplate | None = None
    """Overlay on the pods of head and workers."""
    replicas: Annotated[int, Field(ge=0, le=1000, json_schema_extra={"format": "int32"})] = 1
    """Number of replicas. With 0, requests wait for as long as spec.gateway.hold says. With spec.scaling, the initial number only."""
    scaling: ScalingSpec | None = None
    """Autoscaling on latency. spec.replicas then has no effect after the start."""
    arms: Annotated[
        tuple[ArmSpec, ...],
        Field(
            strict=False,
            max_length=8,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                **ARMS,
            },
        ),
    ] = ()
    """Arms of an A/B/n test, each with a share of the requests and of the replicas. Default: one arm, `main`."""
    experiment: ExperimentSpec | None = None
    """Compares the arms until one wins or time is up. Default: nobody compares them."""
    gateway: GatewaySpec = GatewaySpec()
    """The front door."""
    rollout: RolloutSpec = RolloutSpec()
    """How a new revision takes over from the one that serves."""
    monitoring: MonitoringSpec = MonitoringSpec()
    """What is counted about answers."""
    cost: CostSpec | None = None
    """Prices and a budget. Default: nothing is said of cost."""
    revision_history_limit: Annotated[int, Field(ge=0, le=100)] = 10
    """How many revisions are kept in addition to those in use."""
    paused: bool = False
    """While true, the operator changes nothing of this LLMDeployment."""

    @model_validator(mode="after")
    def _gpus_match_parallelism(self) -> Self:
        gpus = (self.resources.limits or {}).get("nvidia.com/gpu", "0")
        if gpus not in {"0", str(self.parallelism.tensor * self.parallelism.pipeline)}:
            raise ValueError(rules.GPUS_MATCH)
        return self

    @model_validator(mode="after")
    def _somebody_counts_errors(self) -> Self:
        gateway_api.check_analysis(self.gateway.mode, self.rollout.analysis)
        return self

    @model_validator(mode="after")
    def _monitoring_fits(self) -> Self:
        check_monitoring(self.monitoring, self.rollout.analysis)
        check_shadow(self.rollout.shadow, self.engine.name)
        return self

    @model_validator(mode="after")
    def _scaling_fits(self) -> Self:
        own = self.engine.name
        arms = {arm.name: scaling.find_engine(arm.overrides, own) for arm in self.arms}
        gateway = self.gateway
        scaling.check_scaling(
            self.scaling, {"": own, **arms}, gateway.mode, gateway.hold.max_requests
        )
        return self

    @model_validator(mode="after")
    def _external_fits(self) -> Self:
        model = self.model
        external.check_source(self.engine.name, model.source, len(model.adapters))
        if self.engine.name == external.NAME:
            names = {**(self.resources.requests or {}), **(self.resources.limits or {})}
            gpus = self.parallelism.tensor * self.parallelism.pipeline
            external.check_pods(names, gpus, self.prompt.model_dump(mode="json"))
        return self

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        task, rollout = self.model.task, self.rollout
        check_task_engine(task, self.engine.name, self.engine.args)
        check_task_prompt(task, self.prompt.system)
        used = {
            "evaluation": rollout.evaluation is not None,
            "shadow": rollout.shadow is not None,
        }
        targets = self.scaling.targets.model_dump(exclude_none=True) if self.scaling else ()
        compared = [each.metrics for each in (rollout.analysis, self.experiment) if each]
        metrics = [metric.name for found in compared for metric in found]
        check_task_comparisons(task, used, targets, metrics)
        return self

    @model_validator(mode="after")
    def _transformers_fits(self) -> Self:
        if self.engine.name == transformers.NAME:
            gpus = self.parallelism.tensor * self.parallelism.pipeline
            adapters, defaults = len(self.model.adapters), self.prompt.defaults
            transformers.check_transformers(self.engine.args, defaults, adapters, gpus)
        return self

    @model_validator(mode="after")
    def _arms_fit(self) -> Self:
        check_arms(self.arms)
        for arm in self.arms:
            try:
                self.of_arm(arm)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise ValueError(
                    f"With the overrides of arm {arm.name}, {describe_error(first)}"
                ) from None
        return self

    @model_validator(mode="after")
    def _cost_fits(self) -> Self:
        if self.cost is None:
            return self
        branches = [self.of_arm(arm) for arm in self.arms] or [self]
        own = [each for each in branches if each.engine.name != external.NAME]
        engines = {self.engine.name, *(each.engine.name for each in branches)}
        check_cost(self.cost, engines, [each.resources.model_dump(mode="json") for each in own])
        return self

    @model_validator(mode="after")
    def _experiment_fits(self) -> Self:
        arms, mode = [arm.name for arm in self.arms], self.gateway.mode
        patterns = [pattern.name for pattern in self.monitoring.output_patterns]
        check_experiment(self.experiment, arms, mode, patterns, priced=self.cost is not None)
        return self

    def of_arm(self, arm: ArmSpec) -> Self:
        """Return the spec as one arm has it, itself without arms, and without prices, which are for all arms.

        Raises:
            ValidationError: the overrides make no spec.
        """
        base = self.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude_none=True,
            exclude={"arms", "cost", "experiment"},
        )
        return type(self).model_validate(
            merge_patch(external.inherit_fields(base, arm.overrides), arm.overrides)
        )


class ObjectMeta(Model):
    """The fields of `metadata` the operator reads; the API server has more."""

    model_config = ConfigDict(extra="ignore")

    name: rules.Name
    namespace: str
    uid: str
    generation: int = 0
    resource_version: str = ""
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class LLMDeployment(Model):
    """An LLM, its replicas and its front door."""

    api_version: Literal["llmdeployment.dev/v1alpha1"] = "llmdeployment.dev/v1alpha1"
    kind: Literal["LLMDeployment"] = "LLMDeployment"
    metadata: ObjectMeta
    spec: Spec
    status: Annotated[Status, BeforeValidator(read_status)] = Status()
    """Read leniently: what an operator of another version wrote there must not stop this one."""

    @model_validator(mode="after")
    def _adapters_are_not_the_model(self) -> Self:
        for spec in (self.spec, *map(self.spec.of_arm, self.spec.arms)):
            names = {adapter.name for adapter in spec.model.adapters}
            if spec.model.served_name is None and self.metadata.name in names:
                raise ValueError(rules.ADAPTER_IS_MODEL)
        return self


def parse(document: Mapping[str, Any]) -> LLMDeployment:
    """Return an object of the API server as an LLMDeployment.

    Raises:
        SpecError: one line that names every refused field.
    """
    try:
        return LLMDeployment.model_validate(dict(document))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise SpecError(" ".join(describe_error(entry) for entry in found)) from None
