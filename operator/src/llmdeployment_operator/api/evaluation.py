"""The questions a new revision has to answer before it gets requests: `spec.rollout.evaluation`."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.fields import KeyName, Model, ObjectName, Text, cel

ONE_GOLDEN_SET = (
    "spec.rollout.evaluation.golden must have exactly one of configMapRef and pvc: "
    "say where the questions are"
)
_ONE_GOLDEN_SET = "has(self.configMapRef) != has(self.pvc)"
_GOLDEN = cel((_ONE_GOLDEN_SET, ONE_GOLDEN_SET))

_claim_file = Text(1, 1024).must(
    r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+",
    "spec.rollout.evaluation.golden.pvc must be pvc://claim/path/file.jsonl: "
    "the name of a PersistentVolumeClaim and a path without .. or spaces",
)
_judge_url = Text(1, 512).must(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?",
    "spec.rollout.evaluation.judge.url must be http(s)://host/v1: the base URL of an OpenAI API, without a password or query",
)
ClaimFile = Annotated[str, *_claim_file.annotations()]
JudgeURL = Annotated[str, *_judge_url.annotations()]


class ConfigMapKey(Model):
    """One key of a ConfigMap in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: KeyName = "golden.jsonl"
    """Key in the ConfigMap."""


class GoldenSpec(Model):
    """Where the golden set is, one question a line (docs/rollouts.md): exactly one of these."""

    model_config = ConfigDict(json_schema_extra=_GOLDEN)

    config_map_ref: ConfigMapKey | None = None
    """A key of a ConfigMap. Its content is taken for fixed: give a changed set another name."""
    pvc: ClaimFile | None = None
    """A file of a PersistentVolumeClaim, `pvc://claim/path/file.jsonl`; mounted read-only."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.config_map_ref is None) == (self.pvc is None):
            raise ValueError(ONE_GOLDEN_SET)
        return self


class JudgeKey(Model):
    """One key of a Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: KeyName = "apiKey"
    """Key in the Secret."""


class JudgeSpec(Model):
    """A model that says whether an answer meets a criterion; for questions that expect `judge`."""

    url: JudgeURL
    """Base URL of an OpenAI API, such as `https://judge.example.com/v1`."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """What to put in `model`."""
    api_key_secret_ref: JudgeKey | None = None
    """API key of the judge."""
    prompt: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """System prompt of the judge. It must make it begin its answer with YES or NO. Default: one that does."""


class EvaluationSpec(Model):
    """A new revision answers a golden set before its first request; one that answers too badly is given up."""

    golden: GoldenSpec
    """The questions, and what their answers must be."""
    min_score_percent: Annotated[
        int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    ] = 90
    """Percent of the questions that must be answered as expected."""
    max_regression_percent: Annotated[
        int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    ] = 2
    """How many points the score may be below the stable revision's on the same golden set, if that has one."""
    timeout_seconds: Annotated[int, Field(ge=30, le=86400)] = 600
    """How long the evaluation may take, the start of its pod included; beyond it the revision is given up."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Questions asked at once."""
    max_tokens: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Bound of an answer's length, for questions that say none. Default: the revision's own."""
    judge: JudgeSpec | None = None
    """Who judges what no rule can."""
