"""The `status` of an LLMDeployment.

Read leniently: what an operator of another version wrote there must not stop this one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo


class _Status(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )


class Condition(_Status):
    """One aspect of the state, in the form all of Kubernetes uses."""

    type: str = Field(max_length=64)
    """Accepted, Progressing, Available, Ready, Degraded or, with spec.scaling, Scaling."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: str = Field(max_length=64)
    """Why, in one word; docs/api.md lists them."""
    message: str = Field(default="", max_length=1024)
    """Why, in one sentence, with what to do about it."""
    observed_generation: int = Field(default=0, json_schema_extra={"format": "int64"})
    """The metadata.generation this was said of."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When `status` last changed."""


class EvaluationStatus(_Status):
    """How a revision answered the golden set."""

    golden: str = Field(max_length=64)
    """Hash of where the golden set is and how it is asked: scores of one hash can be compared."""
    attempt: int = Field(default=1, ge=1, json_schema_extra={"format": "int32"})
    """Which attempt of the rollout asked it."""
    score: int | None = Field(default=None, ge=0, le=100, json_schema_extra={"format": "int32"})
    """Percent of the questions that were answered as expected, rounded down; absent when there is no result."""
    passed: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Questions that were answered as expected."""
    total: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Questions of the golden set."""
    at: str = Field(json_schema_extra={"format": "date-time"})
    """When the evaluation ended."""
    message: str = Field(default="", max_length=1024)
    """The first questions that failed and why, or why there is no result."""


class RevisionStatus(_Status):
    """One revision that exists: serving, on its way in or out, or kept as history."""

    name: str = Field(max_length=253)
    """Its ControllerRevision."""
    number: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """1, 2, 3, ... in the order they were made."""
    hash: str = Field(max_length=64)
    """Hash of the template fields."""
    runtime: str = Field(max_length=64)
    """Hash of the runtime whose pods carry it."""
    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods of its runtime that should exist."""
    ready: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods of its runtime that answer."""
    traffic_percent: int = Field(default=0, ge=0, le=100, json_schema_extra={"format": "int32"})
    """The share of requests it gets."""
    url: str | None = Field(default=None, max_length=512)
    """Where its replicas answer without the gateway, while it has some: for tests, with the header `x-llm-revision: <number>`."""
    created_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it was made."""
    first_ready_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When a replica of it first answered: a revision that never did gives up its traffic at once."""
    promoted_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it last became the stable one of an arm."""
    evaluation: EvaluationStatus | None = None
    """Its last evaluation."""


class RejectedStatus(_Status):
    """A revision that was given up."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """Its number."""
    attempt: int = Field(default=1, ge=1, json_schema_extra={"format": "int32"})
    """Which attempt failed; the annotation that tries again names it."""
    at: str = Field(json_schema_extra={"format": "date-time"})
    """When."""
    message: str = Field(default="", max_length=1024)
    """Why."""


class WarmStatus(_Status):
    """A revision whose replicas stay although it has no traffic any more."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """Its number."""
    until: str = Field(json_schema_extra={"format": "date-time"})
    """Going back to it before this time takes effect at once."""


class StratumStatus(_Status):
    """What was counted for one metric and prompts of about one length."""

    prompt_bytes: str = Field(default="", max_length=16)
    """Where the stratum ends, exclusive: bytes of the client's prompt, `+Inf` for the longest; empty for requests of unknown length."""
    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision."""
    stable_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the canary."""
    canary_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""


class MetricStatus(_Status):
    """What was counted for one metric since the canary's step began."""

    name: str = Field(max_length=64)
    """The metric, with its threshold."""
    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision."""
    stable_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the canary."""
    canary_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    strata: Annotated[tuple[StratumStatus, ...], Field(max_length=8)] = ()
    """The same by prompt length, where the replicas count so: canary and stable are compared within each."""


class PromptTokensStatus(_Status):
    """What of the prompts was in the prefix cache, of the answers that told."""

    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Prompt tokens of the stable revision."""
    stable_cached: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were in the cache."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Prompt tokens of the canary."""
    canary_cached: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were in the cache."""


class AnalysisStatus(_Status):
    """What the comparison of canary and stable says."""

    result: str = Field(max_length=32)
    """Pass, Fail or NeedMoreData."""
    message: str = Field(default="", max_length=1024)
    """The figures that decide, with their interval."""
    requests_left: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """About how many more requests of the canary a verdict takes."""
    metrics: Annotated[tuple[MetricStatus, ...], Field(max_length=16)] = ()
    """The counts."""
    prompt_tokens: PromptTokensStatus | None = None
    """The prefix cache's part, where the engine tells; it is not judged."""


class ArmStatus(_Status):
    """How far an arm's rollout is."""

    name: str = Field(max_length=63)
    """The arm; `main` where none is named."""
    weight: int = Field(default=100, ge=0, le=100, json_schema_extra={"format": "int32"})
    """Its share of the requests, in percent."""
    stable: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The revision that serves."""
    canary: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The revision on its way; one without a step is being taken back."""
    canary_weight: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """The canary's percent of the arm's requests."""
    canary_ready: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """Replicas of the canary that answered, at most."""
    step: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """The canary's step, from 1; the one after the last of spec.rollout.steps is the promotion."""
    step_started_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When every gateway had the step's weight."""
    progress_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the rollout last moved: spec.rollout.progressDeadlineSeconds counts from here."""
    attempt: int | None = Field(default=None, json_schema_extra={"format": "int32"})
    """How often this canary was begun."""
    rejected: RejectedStatus | None = None
    """The revision that was given up, if the spec still asks for it."""
    warm: Annotated[tuple[WarmStatus, ...], Field(max_length=8)] = ()
    """Revisions kept warm for spec.rollout.rollbackWindow."""
    analysis: AnalysisStatus | None = None
    """The comparison of canary and stable, while there is a canary."""


class ScaledRuntimeStatus(_Status):
    """A runtime that autoscaling decides on."""

    runtime: str = Field(max_length=64)
    """Its hash."""
    desired: int = Field(default=0, json_schema_extra={"format": "int32"})
    """How many replicas it is to have."""
    state: str = Field(default="", max_length=32768)
    """What the law has learned (JSON), for an operator that starts again."""


class ScalingDecisionStatus(_Status):
    """A decision of autoscaling that changed a number of replicas."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    """When."""
    runtime: str = Field(max_length=64)
    """Of which runtime."""
    before: int = Field(default=0, alias="from", json_schema_extra={"format": "int32"})
    """Replicas before."""
    after: int = Field(default=0, alias="to", json_schema_extra={"format": "int32"})
    """Replicas from then on."""
    reason: str = Field(max_length=64)
    """Why, in one word; docs/autoscaling.md lists them."""
    message: str = Field(default="", max_length=512)
    """Why, in one sentence."""
    inputs: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=32)] = (
        Field(default_factory=dict)
    )
    """The numbers that it was decided on."""


class ScalingStatus(_Status):
    """What autoscaling decided, with spec.scaling."""

    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """How many carry all requests; those of a rollout come beside them."""
    written_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When this was written: at a decision, else once a minute."""
    runtimes: Annotated[tuple[ScaledRuntimeStatus, ...], Field(max_length=16)] = ()
    """The runtimes that are scaled."""
    decisions: Annotated[tuple[ScalingDecisionStatus, ...], Field(max_length=10)] = ()
    """The last ones, newest last."""


class Status(_Status):
    """What the operator last saw and did."""

    observed_generation: int = Field(default=0, json_schema_extra={"format": "int64"})
    """The metadata.generation the rest of the status speaks of."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = ()
    """Accepted, Progressing, Available, Ready, Degraded and, with spec.scaling, Scaling, each with a reason."""
    revisions: Annotated[
        tuple[RevisionStatus, ...],
        Field(
            max_length=128,
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
    """The rollout of each arm; also of one that the spec has no more, as long as it has requests."""
    endpoint: str = Field(default="", max_length=512)
    """Base URL for OpenAI clients inside the cluster."""
    model: str = Field(default="", max_length=253)
    """What clients put in `model`."""
    traffic: str = Field(default="", max_length=512)
    """Who gets the requests, for people: `rev3 100%`; with arms `control rev3 90% terse rev4 10%`."""
    replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods that exist."""
    ready_replicas: int = Field(default=0, json_schema_extra={"format": "int32"})
    """Worker pods that answer."""
    scaling: ScalingStatus | None = None
    """What autoscaling decided, with spec.scaling."""
    selector: str = Field(default="", max_length=1024)
    """Label selector of the worker pods, for the scale subresource."""


_Part = TypeVar("_Part", bound=_Status)


def read_status(document: object) -> Status:
    """Return what can be read of a status.

    A status is the operator's own, but another version of it may have written it, or somebody by hand.
    A row that cannot be read is left out, and a field that cannot be read has its default.

    >>> found = read_status({"arms": [{"name": "main", "stable": 3, "step": "x"}, {"step": 1}], "replicas": "many"})
    >>> [(arm.name, arm.stable, arm.step) for arm in found.arms], found.replicas
    ([('main', 3, None)], 0)
    """
    try:
        return Status.model_validate(document)
    except ValidationError:
        return _read_part(Status, document) or Status()


def _read_part(kind: type[_Part], document: object) -> _Part | None:
    """Return a part of a status, or None where what it cannot do without is missing."""
    if not isinstance(document, Mapping):
        return None
    found = {
        field.alias or name: _read_field(kind, name, document[field.alias or name])
        for name, field in kind.model_fields.items()
        if (field.alias or name) in document
    }
    try:
        return kind.model_validate(
            {key: value for key, value in found.items() if value is not None}
        )
    except ValidationError:
        return None


def _read_field(kind: type[_Status], name: str, value: object) -> object:
    """Return the value of a field, or None where it cannot be read."""
    field = kind.model_fields[name]
    row = _find_part(field.annotation)
    if row is None:
        try:
            return _make_adapter(kind, name).validate_python(value)
        except ValidationError:
            return None
    if get_origin(field.annotation) is not tuple:
        return _read_part(row, value)
    rows = value if isinstance(value, (list, tuple)) else ()
    read = tuple(part for each in rows if (part := _read_part(row, each)) is not None)
    return read[-_find_most(field) :]


@cache
def _make_adapter(kind: type[_Status], name: str) -> TypeAdapter[Any]:
    field = kind.model_fields[name]
    annotation: Any = field.annotation
    for each in field.metadata:
        annotation = Annotated[annotation, each]
    return TypeAdapter(annotation)


def _find_part(annotation: Any) -> type[_Status] | None:  # noqa: ANN401  # because annotations have no type
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, _Status) else None
    return next((part for each in get_args(annotation) if (part := _find_part(each))), None)


def _find_most(field: FieldInfo) -> int:
    """Return how many rows a list may have."""
    return next((m.max_length for m in field.metadata if hasattr(m, "max_length")), 0)
