"""The questions a new revision has to answer before it gets requests: `spec.rollout.evaluation`."""

import re
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api import cron, lm_eval
from llmdeployment_operator.api.fields import Image, KeyName, Model, ObjectName, Text, cel
from llmdeployment_operator.api.lm_eval import LmEvalSpec
from llmdeployment_operator.api.urls import (
    ORIGIN,
    build_key_rule,
    describe_key_in_clear,
    may_carry_key,
)

ONE_GOLDEN_SET = (
    "spec.rollout.evaluation.golden must have exactly one of configMapRef, pvc and lmEval, "
    "which say where the questions are."
)
_ONE_GOLDEN_SET = (
    "[has(self.configMapRef), has(self.pvc), has(self.lmEval)].filter(given, given).size() == 1"
)
_GOLDEN = cel((_ONE_GOLDEN_SET, ONE_GOLDEN_SET))

_claim_file = Text(1, 1024).must(
    r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+",
    "spec.rollout.evaluation.golden.pvc must be pvc://claim/path/file.jsonl. "
    "Write the name of a PersistentVolumeClaim and a path without .. or spaces.",
)
_judge_url = Text(1, 512).must(
    rf"{ORIGIN}(/[A-Za-z0-9._~/-]*)?",
    "spec.rollout.evaluation.judge.url must be http(s)://host/v1. Write the base URL of an OpenAI API, without a password or query.",
)
KEY_IN_CLEAR = describe_key_in_clear("spec.rollout.evaluation.judge", "url")
_JUDGE = cel((build_key_rule("url"), KEY_IN_CLEAR))
ClaimFile = Annotated[str, *_claim_file.annotations()]
JudgeURL = Annotated[str, *_judge_url.annotations()]


_cron = (
    Text(9, 128)
    .must(
        cron.PATTERN,
        "spec.rollout.evaluation.schedule must have five cron fields (minute 0-59, hour 0-23, day 1-31, month 1-12, "
        "day of the week 0-7), such as 0 3 * * *.",
    )
    .must(
        cron.ONCE_AN_HOUR,
        "spec.rollout.evaluation.schedule may ask at most once an hour. Write one number for the minute, such as 0 3 * * *.",
    )
)
_zone = Text(1, 64).must(
    cron.ZONE_PATTERN,
    "spec.rollout.evaluation.timeZone must be a name such as Europe/Berlin.",
)
NEVER = "spec.rollout.evaluation.schedule never fires, because no month that it names has such a day. Correct the day or the month."
_EVALUATION = cel(
    (f"!has(self.schedule) || !self.schedule.matches(r'''^(?:{cron.NEVER})$''')", NEVER),
    *lm_eval.RULES,
)


class ConfigMapKey(Model):
    """One key of a ConfigMap in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: KeyName = "golden.jsonl"
    """Key in the ConfigMap."""


class GoldenSpec(Model):
    """Where the golden set is, one question per line (docs/concepts/rollouts.md). Exactly one of these."""

    model_config = ConfigDict(json_schema_extra=_GOLDEN)

    config_map_ref: ConfigMapKey | None = None
    """A key of a ConfigMap. The content must not change. Give a changed set another name."""
    pvc: ClaimFile | None = None
    """A file of a PersistentVolumeClaim, `pvc://claim/path/file.jsonl`; mounted read-only."""
    lm_eval: LmEvalSpec | None = None
    """Tasks of lm-evaluation-harness. They need an image that has it: see `image`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = (self.config_map_ref, self.pvc, self.lm_eval)
        if sum(source is not None for source in given) != 1:
            raise ValueError(ONE_GOLDEN_SET)
        return self


class JudgeKey(Model):
    """One key of a Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: KeyName = "apiKey"
    """Key in the Secret."""


class JudgeSpec(Model):
    """A model that decides whether an answer meets a criterion, for questions that expect `judge`."""

    model_config = ConfigDict(json_schema_extra=_JUDGE)

    url: JudgeURL
    """Base URL of an OpenAI API, such as `https://judge.example.com/v1`."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the judge's model."""
    api_key_secret_ref: JudgeKey | None = None
    """API key of the judge."""
    prompt: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """System prompt of the judge. It must make the judge begin its answer with YES or NO. Default: one that does."""

    @model_validator(mode="after")
    def _key_is_safe(self) -> Self:
        if self.api_key_secret_ref is not None and not may_carry_key(self.url):
            raise ValueError(KEY_IN_CLEAR)
        return self


class EvaluationSpec(Model):
    """A new revision answers a golden set before its first request. A revision whose score is too low is rolled back."""

    model_config = ConfigDict(json_schema_extra=_EVALUATION)

    golden: GoldenSpec
    """The questions, and what their answers must be."""
    min_score_percent: Annotated[
        int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    ] = 90
    """Percent of the questions that must be answered as expected."""
    max_regression_percent: Annotated[
        int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    ] = 2
    """By how many percentage points the score may be lower than the stable revision's on the same golden set, if it has one."""
    compare: Literal["Points", "Paired"] = "Points"
    """When a lower score counts as a regression. `Points`: as soon as it is lower by more than maxRegressionPercent. `Paired`: only if,
    besides, the questions that changed are evidence of a fall (docs/concepts/golden-sets.md)."""
    timeout_seconds: Annotated[int, Field(ge=30, le=86400)] = 600
    """How many seconds the evaluation may take, including the start of its pod, before the revision is rolled back."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """How many questions are asked at the same time."""
    max_tokens: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Limit of an answer's tokens, for questions that set none. Default: that of the revision."""
    judge: JudgeSpec | None = None
    """The model that judges answers which no rule can."""
    image: Image | None = None
    """Image of the program that asks. Default: spec.image, else the small serving image that the operator was installed with. Neither
    has lm-evaluation-harness, which golden.lmEval needs."""
    schedule: Annotated[str, *_cron.annotations()] | None = None
    """When the revision that serves is asked again: five cron fields (minute, hour, day of the month, month, day of the week), at most
    once an hour. Default: never. The condition Drifting says whether its answers became worse (docs/concepts/golden-sets.md)."""
    time_zone: Annotated[str, *_zone.annotations()] = "UTC"
    """Time zone of the schedule, such as Europe/Berlin."""

    @model_validator(mode="after")
    def _tasks_can_be_asked(self) -> Self:
        if self.golden.lm_eval is not None and self.image is None:
            raise ValueError(lm_eval.NEEDS_IMAGE)
        if self.golden.lm_eval is not None and self.judge is not None:
            raise ValueError(lm_eval.NO_JUDGE)
        return self

    @model_validator(mode="after")
    def _fires(self) -> Self:
        if self.schedule is None:
            return self
        if re.fullmatch(cron.NEVER, self.schedule):
            raise ValueError(NEVER)
        if wrong := cron.find_problem(self.schedule, self.time_zone):
            raise ValueError(f"spec.rollout.evaluation: {wrong}")
        return self
