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

MIN_ABOVE_MAX = "spec.scaling.minReplicas must not be above spec.scaling.maxReplicas. Lower the one or raise the other."
NO_TARGET = "spec.scaling.targets needs at least one of ttft, itl and e2e, such as ttft: {milliseconds: 500}."
NEVER_AT_ZERO = "spec.scaling.scaleToZeroAfter is for minReplicas: 0 only. Set minReplicas: 0, or remove scaleToZeroAfter."
ABOVE_MAX = "spec.scaling.schedules must not ask for more minReplicas than spec.scaling.maxReplicas. Lower the one or raise the other."
SCHEDULE_TWICE = "spec.scaling.schedules contains a schedule twice for a time zone. Keep the one with more minReplicas."
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
    "spec.scaling cannot be set with spec.engine.name external, because its pods only pass requests on and have no engine "
    "whose load could be read. Set spec.replicas instead."
)
NOBODY_WAKES = (
    "spec.scaling.minReplicas: 0 needs a gateway that holds requests. Use spec.gateway.mode Builtin with hold.maxRequests above 0, "
    "or set minReplicas: 1."
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
    """A target: this percentile of the values is at most this many milliseconds."""

    percentile: Literal[50, 75, 90, 95, 99] = 90
    """Percent of the values that must be within the target."""
    milliseconds: Annotated[int, Field(ge=1, le=LONGEST_MILLISECONDS)]
    """The target in milliseconds. 1, 1.5, 2, 3, 5 and 7.5 times a power of ten are exact. Other values are rounded down to one of these."""


class TargetsSpec(Model):
    """The targets, at least one."""

    model_config = ConfigDict(json_schema_extra=_TARGETS)

    ttft: TargetSpec | None = None
    """Time to the first token of streamed responses."""
    itl: TargetSpec | None = None
    """Time between tokens."""
    e2e: Annotated[TargetSpec | None, Field(alias="e2e")] = None
    """Time of the whole response."""

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.ttft is None and self.itl is None and self.e2e is None:
            raise ValueError(NO_TARGET)
        return self


_cron = Text(9, 128).must(
    cron.PATTERN,
    "A schedule of spec.scaling.schedules must have five cron fields (minute 0-59, hour 0-23, day 1-31, month 1-12, "
    "day of the week 0-7), such as 0 8 * * 1-5.",
)
_zone = Text(1, 64).must(
    cron.ZONE_PATTERN,
    "A timeZone of spec.scaling.schedules must be a name such as Europe/Berlin.",
)


class ScheduleSpec(Model):
    """A window of time with a higher minimum of replicas."""

    schedule: Annotated[str, *_cron.annotations()]
    """When the window opens: five cron fields (minute, hour, day of the month, month, day of the week)."""
    duration: Duration
    """How long the window stays open."""
    time_zone: Annotated[str, *_zone.annotations()] = "UTC"
    """Time zone of the schedule, such as Europe/Berlin."""
    min_replicas: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
    """Minimum of replicas while the window is open."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if wrong := cron.find_problem(self.schedule, self.time_zone):
            raise ValueError(f"spec.scaling.schedules: {wrong}")
        return self


class ScalingSpec(Model):
    """Autoscaling to as few replicas as keep the latency targets (docs/concepts/autoscaling.md). The bounds apply to all arms together."""

    model_config = ConfigDict(json_schema_extra=_SCALING)

    min_replicas: Annotated[int, Field(ge=0, le=1000, json_schema_extra={"format": "int32"})] = 1
    """Minimum of replicas. With 0, all replicas stop after scaleToZeroAfter, and the first request starts one again."""
    max_replicas: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
    """Maximum of replicas. Those of a rollout in progress come on top."""
    targets: TargetsSpec
    """The latency targets."""
    scale_to_zero_after: Duration | None = None
    """How long there must be no request before the last replica stops. For minReplicas: 0 only. Default: `5m`."""
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
