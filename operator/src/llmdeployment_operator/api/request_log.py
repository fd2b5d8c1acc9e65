"""A line for each answer, to standard output, to a collector or to files on a claim: `spec.monitoring.requestLog`."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.fields import Model, ObjectName, Text, cel
from llmdeployment_operator.api.patterns import PatternName, build_pattern

NOT_RE2 = (
    "spec.monitoring.requestLog.redact contains a pattern that is not an RE2 expression, or one that is too large for it. "
    "Correct it; RE2 has no look-around and no backreferences."
)
CLAIM_MISSING = "spec.monitoring.requestLog.sink is PVC, and pvc is missing. Set pvc.claimName, or choose another sink."
CLAIM_UNUSED = (
    "spec.monitoring.requestLog.pvc has no effect without sink PVC. Remove it, or set sink to PVC."
)
NAME_TWICE = (
    "spec.monitoring.requestLog.redact contains a name twice. Give each pattern a name of its own."
)
_HAS_CLAIM = "!(has(self.sink) && self.sink == 'PVC') || has(self.pvc)"
_USES_CLAIM = "!has(self.pvc) || has(self.sink) && self.sink == 'PVC'"

_sub_path = Text(1, 256).must(
    r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*",
    "must be a relative path of letters, digits, -, _ and ., without a name that begins with a dot",
)
SubPath = Annotated[str, *_sub_path.annotations()]
RedactPattern = Annotated[str, *build_pattern(NOT_RE2)]


class RedactRule(Model):
    """A pattern that is removed from prompts and answers before they are logged."""

    name: PatternName
    """What stands in its place, in brackets: `[name]`."""
    pattern: RedactPattern
    """What is removed: an RE2 expression (https://github.com/google/re2/wiki/Syntax). `(?i)` at its start ignores case."""


class RequestLogClaim(Model):
    """Files on a PersistentVolumeClaim: one folder for each pod, files of an hour or 64 MiB, compressed when they are complete."""

    claim_name: ObjectName
    """A claim in the namespace of the LLMDeployment. Replicas on several nodes need one with ReadWriteMany."""
    sub_path: SubPath | None = None
    """Folder of the claim. Default: its root."""
    retention_days: Annotated[int, Field(ge=1, le=3650, json_schema_extra={"format": "int32"})] = 30
    """After how many days a file is removed."""
    max_size_gib: Annotated[
        int, Field(ge=1, le=100_000, alias="maxSizeGiB", json_schema_extra={"format": "int32"})
    ] = 10
    """GiB that the files of this LLMDeployment may take; the oldest are removed first."""


class RequestLogSpec(Model):
    """A line of JSON for each answer, refused requests and broken streams too.

    A sink that is slow, full or gone costs lines, which are counted (`llmdeployment_request_log_dropped_total`) and told in the condition
    RequestLog. Answers never wait for it.
    """

    model_config = ConfigDict(
        json_schema_extra=cel((_HAS_CLAIM, CLAIM_MISSING), (_USES_CLAIM, CLAIM_UNUSED))
    )

    level: Literal["Metadata", "Content"] = "Metadata"
    """Metadata: who, when, which revision, tokens, times, status. Content: prompt and answer too, without e-mail and IP addresses, phone
    and card numbers, IBANs and tokens. Content needs the chart value requestLog.allowContent; without it Metadata is logged."""
    sample_percent: Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"})] = 100
    """Percent of the requests that are logged."""
    redact: Annotated[
        tuple[RedactRule, ...],
        Field(
            strict=False,
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """What else is removed from prompts and answers."""
    sink: Literal["Stdout", "OTLP", "PVC"] = "Stdout"
    """Where lines go: standard output of the replicas' pods, the collector of the chart value telemetry.otlpEndpoint, or files on a claim.
    With PVC, pods that are older than this setting have no claim: they log with their next revision."""
    pvc: RequestLogClaim | None = None
    """The claim of sink PVC."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sink == "PVC" and self.pvc is None:
            raise ValueError(CLAIM_MISSING)
        if self.pvc is not None and self.sink != "PVC":
            raise ValueError(CLAIM_UNUSED)
        names = [each.name for each in self.redact]
        if len(set(names)) < len(names):
            raise ValueError(NAME_TWICE)
        return self
