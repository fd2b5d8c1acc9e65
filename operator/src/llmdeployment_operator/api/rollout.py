"""How a new revision takes over: `spec.rollout`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.fields import Model, Text, cel
from llmdeployment_operator.api.shadow import ROLLOUT_RULE, WITH_RECREATE, ShadowSpec

_duration = Text(2, 16).must(
    r"([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?", "must be a duration such as 90s, 10m or 1h30m"
)
Duration = Annotated[str, *_duration.annotations()]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


SURGE = r"[1-9][0-9]{0,3}|[1-9][0-9]?%|100%"


def _check_surge(value: str) -> str:
    if not re.fullmatch(SURGE, value):
        raise ValueError(
            f"{value!r} is not a number of replicas (1 or more) or a share such as 25%"
        )
    return value


MaxSurge = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_check_surge),
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": f"^({SURGE})$",
            "minimum": 1,
            "maximum": 9999,
        }
    ),
]
"""A number of replicas, or a share of them; always text once parsed."""

STEPS_WITHOUT_CANARY = (
    "spec.rollout.steps are for strategy Canary only. Set the strategy, or remove the steps."
)
CANARY_WITHOUT_STEPS = "spec.rollout.strategy Canary needs spec.rollout.steps, such as [{weight: 10, pause: {duration: 10m}}]."
STEPS_RISE = (
    "spec.rollout.steps must rise in weight. Give each step a higher weight than the one before it."
)

_RISING = (
    "!has(self.steps) || self.steps.all(a, self.steps.exists_one(b, b.weight == a.weight)) && "
    "self.steps.map(s, s.weight).isSorted()"
)
ANALYSIS_MISSING = (
    "spec.rollout.steps with analysis: true need spec.rollout.analysis. Set the metrics there."
)
ANALYSIS_WITHOUT_CANARY = (
    "spec.rollout.analysis is for strategy Canary only. Set the strategy, or remove the analysis."
)
EVALUATION_WITH_RECREATE = (
    "spec.rollout.evaluation is for strategy Canary and BlueGreen only, because with Recreate nothing "
    "serves during the evaluation. Remove it, or change the strategy."
)
SHARES = (
    "refusal",
    "empty",
    "truncated",
    "invalidJson",
    "invalidToolCall",
    "repetition",
    "languageSwitch",
)
"""What replicas count about answers by themselves; docs/how-to/watch-answers.md says what each means."""
PATTERN = "pattern/"
"""Before the name of one of spec.monitoring.outputPatterns, as the name of a metric."""
_MEASURED = ("errorRate", "ttft", "itl", "e2e", "outputTokens", "feedback")
METRIC_NAMES = rf"{'|'.join((*_MEASURED, *SHARES))}|{PATTERN}[a-z]([-a-z0-9]*[a-z0-9])?"
METRIC_NAME = f"one of {', '.join((*_MEASURED, *SHARES))}, or {PATTERN}NAME for a pattern of spec.monitoring.outputPatterns"
_metric_name = Text(1, 40).must(METRIC_NAMES, f"must be {METRIC_NAME}")
MetricName = Annotated[str, *_metric_name.annotations()]

METRIC_MILLISECONDS = "ttft, itl and e2e need milliseconds, such as milliseconds: 500, and no other metric may have it."
METRIC_TOKENS = "outputTokens needs tokens, such as tokens: 500, and no other metric may have it."
_METRIC_RULES = cel(
    ("(self.name in ['ttft', 'itl', 'e2e']) == has(self.milliseconds)", METRIC_MILLISECONDS),
    ("(self.name == 'outputTokens') == has(self.tokens)", METRIC_TOKENS),
)
# Rules are tried on the default `{}` too, before its fields have theirs.
_CANARY = "has(self.strategy) && self.strategy == 'Canary'"
_STEPS = "has(self.steps) && self.steps.size() > 0"
_ANALYZED = "self.steps.exists(s, has(s.analysis) && s.analysis)"
_RULES = cel(
    (f"!({_STEPS}) || ({_CANARY})", STEPS_WITHOUT_CANARY),
    (f"!({_CANARY}) || ({_STEPS})", CANARY_WITHOUT_STEPS),
    (_RISING, STEPS_RISE),
    (f"has(self.analysis) || !({_STEPS} && {_ANALYZED})", ANALYSIS_MISSING),
    (f"!has(self.analysis) || ({_CANARY})", ANALYSIS_WITHOUT_CANARY),
    (
        "!has(self.evaluation) || !has(self.strategy) || self.strategy != 'Recreate'",
        EVALUATION_WITH_RECREATE,
    ),
    ROLLOUT_RULE,
)


def parse_seconds(duration: str) -> int:
    """Return a duration in seconds.

    >>> parse_seconds("1h30m"), parse_seconds("90s")
    (5400, 90)
    """
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(
        int(number) * units[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration)
    )


class Pause(Model):
    """How long a step lasts."""

    duration: Duration | None = None
    """How long the step lasts, such as `10m`. Default: until somebody promotes the revision (docs/concepts/rollouts.md)."""


TOLERANCE_PERCENT = 5
"""Where the spec says none. Slow requests come in clumps, which a test of single requests takes for more than they are.

What answers are like comes in clumps too: a user who asks for what is refused asks again."""
_TOLERANCES = {"errorRate": 1, "outputTokens": 10, "cost": 10}


class MetricSpec(Model):
    """A metric that canary and stable revision are compared by: the share of bad requests."""

    model_config = ConfigDict(json_schema_extra=_METRIC_RULES)

    name: MetricName
    """`errorRate` counts responses with a status of 500 or more, as the gateway saw them. `ttft` (time to the first token of streamed
    responses), `itl` (time between tokens) and `e2e` (time of the whole response) count what took longer than `milliseconds`.
    `outputTokens` counts responses of more than `tokens` tokens. `refusal`, `empty`, `truncated`, `invalidJson`, `invalidToolCall`,
    `repetition`, `languageSwitch` and, for spec.monitoring.outputPatterns, `pattern/NAME` count what answers are like
    (docs/how-to/watch-answers.md). `feedback` counts what users' votes lack to a score of 1 (docs/how-to/collect-feedback.md)."""
    milliseconds: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """Above how many milliseconds a request is bad, for ttft, itl and e2e. Rounded up to 1, 1.5, 2, 3, 5 or 7.5 times a power of ten."""
    tokens: Annotated[int, Field(ge=1, le=75_000)] | None = None
    """Above how many tokens a request is bad, for outputTokens. Rounded up to 1, 1.5, 2, 3, 5 or 7.5 times a power of ten, from 10."""
    tolerance_percent: Annotated[int, Field(ge=1, le=50)] | None = None
    """By how many percentage points the canary may be worse. Default: 1 for errorRate, 10 for outputTokens, 5 for the others."""

    @property
    def tolerance(self) -> float:
        """The tolerance as a share, such as 0.05."""
        percent = self.tolerance_percent or _TOLERANCES.get(self.name, TOLERANCE_PERCENT)
        return percent / 100

    @model_validator(mode="after")
    def _threshold_fits_name(self) -> Self:
        if (self.name in {"ttft", "itl", "e2e"}) != (self.milliseconds is not None):
            raise ValueError(METRIC_MILLISECONDS)
        if self.name != "cost" and (self.name == "outputTokens") != (self.tokens is not None):
            raise ValueError(METRIC_TOKENS)
        return self


class AnalysisSpec(Model):
    """When a canary counts as good as the stable revision: a sequential test (docs/concepts/verdict.md)."""

    metrics: Annotated[
        tuple[MetricSpec, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=12,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    """What is compared. The canary is rolled back as soon as one metric fails, at any step."""
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """How many requests the canary must have answered before there is a verdict."""
    min_users: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many users must have had the canary before there is a verdict, if requests have keys (spec.gateway.assignment). Default: no
    limit, because few users already count for less than many."""
    min_duration: Duration = "5m"
    """How long canary and stable revision are compared before the canary passes. A bad canary is rolled back earlier. With `0s`,
    requests of one minute are taken to be independent until they turn out not to be."""
    max_requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """After how many requests of the canary onInconclusive applies. Default: no limit."""
    on_inconclusive: Literal["Hold", "Promote", "Rollback"] = "Hold"
    """What happens without a verdict after maxRequests: `Hold` waits until somebody decides, `Promote` continues with the next step,
    `Rollback` rolls the canary back."""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(
                "spec.rollout.analysis.metrics contains a name twice. Remove one of the two."
            )
        return self


class Step(Model):
    """One stage of a canary: this much of the traffic, for this long."""

    weight: Annotated[int, Field(ge=1, le=99, json_schema_extra={"format": "int32"})]
    """Percent of the requests that the new revision gets."""
    pause: Pause | None = None
    """How long the step lasts. Default: the next step follows as soon as its replicas are ready."""
    analysis: bool = False
    """Whether the step also lasts until spec.rollout.analysis passes the canary."""


class RolloutSpec(Model):
    """How a new revision takes over from the one that serves."""

    model_config = ConfigDict(json_schema_extra=_RULES)

    strategy: Literal["BlueGreen", "Canary", "Recreate"] = "BlueGreen"
    """`BlueGreen`: all replicas of the new revision start next to the old ones, then all requests move at once. `Canary`: requests move
    in steps, with as many replicas as each step needs. `Recreate`: the old replicas stop first, for clusters without spare GPUs;
    requests wait meanwhile for as long as spec.gateway.hold says."""
    steps: Annotated[tuple[Step, ...], Field(strict=False, max_length=16)] = ()
    """Steps of a Canary, rising in weight. After the last one the new revision gets all requests."""
    analysis: AnalysisSpec | None = None
    """Compares canary and stable revision from the first step on. A canary that is worse is rolled back."""
    max_surge: MaxSurge | None = None
    """How many replicas each arm may have during a change beyond those asked for: a number (1 or more), or a share such as `25%`
    (rounded up). With fewer than a step needs, replicas are replaced a few at a time, requests move with them, and the previous
    revision is not kept warm. Default: no limit."""
    evaluation: EvaluationSpec | None = None
    """Asks a new revision a golden set before its first request. A revision whose score is too low is rolled back."""
    shadow: ShadowSpec | None = None
    """Asks a new revision a sample of live requests before its first one, after the golden set. A revision whose answers are too
    different is rolled back."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] = 1800
    """After how many seconds without progress a new revision is rolled back. The revision that serves keeps serving."""
    rollback_window: Duration = "5m"
    """How long the replicas of the previous revision stay after a promotion. A rollback within this time takes effect at once. With
    `0s` they stop at once."""

    @model_validator(mode="after")
    def _steps_fit_strategy(self) -> Self:
        if self.steps and self.strategy != "Canary":
            raise ValueError(STEPS_WITHOUT_CANARY)
        if self.strategy == "Canary" and not self.steps:
            raise ValueError(CANARY_WITHOUT_STEPS)
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(STEPS_RISE)
        if self.analysis is None and any(step.analysis for step in self.steps):
            raise ValueError(ANALYSIS_MISSING)
        if self.analysis is not None and self.strategy != "Canary":
            raise ValueError(ANALYSIS_WITHOUT_CANARY)
        if self.evaluation is not None and self.strategy == "Recreate":
            raise ValueError(EVALUATION_WITH_RECREATE)
        if self.shadow is not None and self.strategy == "Recreate":
            raise ValueError(WITH_RECREATE)
        return self
