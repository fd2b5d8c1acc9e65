"""How many replicas there are: `spec.scaling`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api import cron
from llmdeployment_operator.api.external import NAME as EXTERNAL
from llmdeployment_operator.api.fields import Model, Text, cel
from llmdeployment_operator.api.rollout import Duration, parse_seconds

LONGEST_MILLISECONDS = 750_000
"""The last bound of the replicas' histograms: beyond it a value cannot be told from any other."""

IDLE = "5m"
"""`scaleToZeroAfter` where `minReplicas` is 0 and the spec says none."""

MIN_ABOVE_MAX = "spec.scaling.minReplicas must not be above spec.scaling.maxReplicas: lower the one or raise the other"
NO_TARGET = "spec.scaling.targets needs at least one of ttft, itl and e2e, such as ttft: {milliseconds: 500}"
NEVER_AT_ZERO = (
    "spec.scaling.scaleToZeroAfter goes with minReplicas: 0 only: set that, or remove it"
)
ABOVE_MAX = "spec.scaling.schedules must not ask for more minReplicas than spec.scaling.maxReplicas: lower the one or raise the other"
SCHEDULE_TWICE = (
    "spec.scaling.schedules holds a schedule twice for a time zone: leave the larger of them"
)
_SCALING = cel(
    (
        "(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
        MIN_ABOVE_MAX,
    ),
    (
        "!has(self.scaleToZeroAfter) || (has(self.minReplicas) && self.minReplicas == 0)",
        NEVER_AT_ZERO,
    ),
    (
        "!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.maxReplicas)",
        ABOVE_MAX,
    ),
)
_TARGETS = cel(("has(self.ttft) || has(self.itl) || has(self.e2e)", NO_TARGET))

WITH_EXTERNAL = (
    "spec.scaling cannot be set with spec.engine.name external: its pods only pass requests on, and have no engine whose load could be "
    "read; set spec.replicas"
)
NOBODY_WAKES = (
    "spec.scaling.minReplicas: 0 needs a gateway that holds requests: use spec.gateway.mode Builtin with hold.maxRequests above 0, "
    "or set minReplicas: 1"
)
_ZERO = "has(self.scaling) && has(self.scaling.minReplicas) && self.scaling.minReplicas == 0"
_OF_ARM = "has(a.overrides) && has(a.overrides.engine) && has(a.overrides.engine.name) && a.overrides.engine.name == 'external'"
SPEC_RULES = (
    ("!has(self.scaling) || self.engine.name != 'external'", WITH_EXTERNAL),
    (
        f"!has(self.scaling) || !has(self.arms) || !self.arms.exists(a, {_OF_ARM})",
        WITH_EXTERNAL,
    ),
    (
        f"!({_ZERO}) || (self.gateway.mode == 'Builtin' && self.gateway.hold.maxRequests > 0)",
        NOBODY_WAKES,
    ),
)


class TargetSpec(Model):
    """A promise: this percentile of the values lies within so many milliseconds."""

    percentile: Literal[50, 75, 90, 95, 99] = 90
    """Percent of the values that are to be within."""
    milliseconds: Annotated[int, Field(ge=1, le=LONGEST_MILLISECONDS)]
    """The bound. One of 1, 1.5, 2, 3, 5, 7.5 times a power of ten is measured exactly; another counts as missed from the one below."""


class TargetsSpec(Model):
    """What is promised, by what is measured; at least one."""

    model_config = ConfigDict(json_schema_extra=_TARGETS)

    ttft: TargetSpec | None = None
    """Time to the first token of streamed answers."""
    itl: TargetSpec | None = None
    """The gap between tokens."""
    e2e: Annotated[TargetSpec | None, Field(alias="e2e")] = None
    """The whole answer."""

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.ttft is None and self.itl is None and self.e2e is None:
            raise ValueError(NO_TARGET)
        return self


_cron = Text(9, 128).must(
    r"[^\s]+( +[^\s]+){4}",
    "spec.scaling.schedules: a schedule has five cron fields, such as 0 8 * * 1-5 (minute, hour, day, month, day of the week)",
)
_zone = Text(1, 64).must(
    r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
    "spec.scaling.schedules: a timeZone is a name such as Europe/Berlin",
)


class ScheduleSpec(Model):
    """A window of time in which more replicas are kept."""

    schedule: Annotated[str, *_cron.annotations()]
    """When it opens: five cron fields (minute, hour, day of the month, month, day of the week)."""
    duration: Duration
    """How long it stays open."""
    time_zone: Annotated[str, *_zone.annotations()] = "UTC"
    """Whose clocks the schedule goes by, such as Europe/Berlin."""
    min_replicas: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
    """At least so many while it is open."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if wrong := cron.find_problem(self.schedule, self.time_zone):
            raise ValueError(f"spec.scaling.schedules: {wrong}")
        return self


class ScalingSpec(Model):
    """Replicas by latency: as few as keep the targets (docs/autoscaling.md). The bounds are of all arms together."""

    model_config = ConfigDict(json_schema_extra=_SCALING)

    min_replicas: Annotated[int, Field(ge=0, le=1000, json_schema_extra={"format": "int32"})] = 1
    """At least so many. With 0 all go after scaleToZeroAfter, and come back for the first request."""
    max_replicas: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
    """At most so many; those of a rollout under way come beside them."""
    targets: TargetsSpec
    """What is promised."""
    scale_to_zero_after: Duration | None = None
    """How long there is no request before the last replica goes; with minReplicas: 0 only, and then `5m` by default."""
    schedules: Annotated[
        tuple[ScheduleSpec, ...],
        Field(
            strict=False,
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["schedule", "timeZone"],
            },
        ),
    ] = ()
    """Windows of time that raise minReplicas."""

    @property
    def idle_seconds(self) -> float | None:
        """Seconds without a request after which nothing is left; None where one replica stays."""
        if self.min_replicas:
            return None
        return float(parse_seconds(self.scale_to_zero_after or IDLE))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(MIN_ABOVE_MAX)
        if self.min_replicas and self.scale_to_zero_after is not None:
            raise ValueError(NEVER_AT_ZERO)
        if any(each.min_replicas > self.max_replicas for each in self.schedules):
            raise ValueError(ABOVE_MAX)
        if len({(e.schedule, e.time_zone) for e in self.schedules}) < len(self.schedules):
            raise ValueError(SCHEDULE_TWICE)
        return self


def check_scaling(
    scaling: ScalingSpec | None,
    engines: Mapping[str, str],
    mode: str,
    hold: int,
) -> None:
    """Check that a spec's scaling can work.

    Args:
        scaling: `spec.scaling`.
        engines: names of engines by who has them: the spec and each arm.
        mode: of the front door.
        hold: requests that it holds.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if scaling is None:
        return
    if EXTERNAL in engines.values():
        raise ValueError(WITH_EXTERNAL)
    if scaling.min_replicas == 0 and (mode != "Builtin" or hold == 0):
        raise ValueError(NOBODY_WAKES)


def find_engine(overrides: Mapping[str, Any], default: str) -> str:
    """Return the name of the engine that an arm with these overrides has.

    >>> find_engine({"engine": {"name": "external"}}, "vllm"), find_engine({}, "vllm")
    ('external', 'vllm')
    """
    return str((overrides.get("engine") or {}).get("name", default))
