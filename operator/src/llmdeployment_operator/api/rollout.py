"""How a new revision takes over: `spec.rollout`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.fields import Model, Text, cel

_duration = Text(2, 16).must(
    r"([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?", "must be a duration such as 90s, 10m or 1h30m"
)
Duration = Annotated[str, *_duration.annotations()]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


SURGE = r"[1-9][0-9]{0,3}|[1-9][0-9]?%|100%"


def _check_surge(value: str) -> str:
    if not re.fullmatch(SURGE, value):
        raise ValueError(f"{value!r} is not a number of replicas from 1 on, or a share such as 25%")
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
    "spec.rollout.steps go with strategy Canary only: set it, or remove the steps"
)
CANARY_WITHOUT_STEPS = "spec.rollout.strategy Canary needs spec.rollout.steps, such as [{weight: 10, pause: {duration: 10m}}]"
STEPS_RISE = "spec.rollout.steps must rise in weight: each step's above the one before"

_RISING = (
    "!has(self.steps) || self.steps.all(a, self.steps.exists_one(b, b.weight == a.weight)) && "
    "self.steps.map(s, s.weight).isSorted()"
)
ANALYSIS_MISSING = (
    "spec.rollout.steps with analysis: true need spec.rollout.analysis: say which metrics"
)
ANALYSIS_WITHOUT_CANARY = (
    "spec.rollout.analysis goes with strategy Canary only: set it, or remove the analysis"
)
EVALUATION_WITH_RECREATE = (
    "spec.rollout.evaluation goes with strategy Canary and BlueGreen: with Recreate nothing is left "
    "that could serve meanwhile: remove it, or change the strategy"
)
METRIC_MILLISECONDS = "milliseconds goes with ttft, itl and e2e, which need it, such as milliseconds: 500, and with no other metric"
METRIC_TOKENS = (
    "tokens goes with outputTokens, which needs it, such as tokens: 500, and with no other metric"
)
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
    """Such as `10m`. Without it: until the revision is promoted (docs/rollouts.md)."""


TOLERANCE_PERCENT = {"errorRate": 1, "ttft": 5, "itl": 5, "e2e": 5, "outputTokens": 10}
"""Where the spec says none. Slow requests come in clumps, which a test of single requests takes for more than they are."""


class MetricSpec(Model):
    """One share of the requests that canary and stable are compared by."""

    model_config = ConfigDict(json_schema_extra=_METRIC_RULES)

    name: Literal["errorRate", "ttft", "itl", "e2e", "outputTokens"]
    """`errorRate`: answers with a status of 500 or more, as the gateway saw them. `ttft`, `itl` and `e2e` count what took longer than
    `milliseconds`: time to first token (streamed answers), the gap between tokens, the whole answer. `outputTokens`: answers of more
    than `tokens` tokens."""
    milliseconds: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """What is too slow; rounded up to the next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten. For ttft, itl and e2e."""
    tokens: Annotated[int, Field(ge=1, le=75_000)] | None = None
    """What is too long an answer; rounded up to the next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten, from 10. For outputTokens."""
    tolerance_percent: Annotated[int, Field(ge=1, le=50)] | None = None
    """How many points more of the canary's requests may be bad. Default: 1 for errorRate, 10 for outputTokens, 5 for the others."""

    @model_validator(mode="after")
    def _threshold_fits_name(self) -> Self:
        if (self.name in {"ttft", "itl", "e2e"}) != (self.milliseconds is not None):
            raise ValueError(METRIC_MILLISECONDS)
        if (self.name == "outputTokens") != (self.tokens is not None):
            raise ValueError(METRIC_TOKENS)
        return self


class AnalysisSpec(Model):
    """When a canary is as good as the stable revision: a test that may be looked at any time (docs/verdict.md)."""

    metrics: Annotated[
        tuple[MetricSpec, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=5,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    """What is compared. One that fails gives the canary up, at any step."""
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Requests the canary must have answered before there is a verdict."""
    max_requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Requests of the canary after which onInconclusive applies. Default: no limit."""
    on_inconclusive: Literal["Hold", "Promote", "Rollback"] = "Hold"
    """What happens without a verdict after maxRequests: wait for somebody, go on, or give the canary up."""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("spec.rollout.analysis.metrics holds a name twice")
        return self


class Step(Model):
    """One stage of a canary: this much of the traffic, for this long."""

    weight: Annotated[int, Field(ge=1, le=99, json_schema_extra={"format": "int32"})]
    """Percent of the requests that the new revision gets."""
    pause: Pause | None = None
    """Without it the next step follows as soon as its replicas answer."""
    analysis: bool = False
    """Whether the step lasts until spec.rollout.analysis passes the canary, pause or not."""


class RolloutSpec(Model):
    """How a new revision takes over from the one that serves."""

    model_config = ConfigDict(json_schema_extra=_RULES)

    strategy: Literal["BlueGreen", "Canary", "Recreate"] = "BlueGreen"
    """`BlueGreen`: all replicas of the new revision come up beside the old ones, then all requests move. `Canary`: requests move in
    steps, with as many replicas as each step needs. `Recreate`: the old replicas end first, for clusters without GPUs to spare;
    requests wait meanwhile as spec.gateway.hold says."""
    steps: Annotated[tuple[Step, ...], Field(strict=False, max_length=16)] = ()
    """Steps of a Canary, rising in weight; after the last one the new revision gets everything."""
    analysis: AnalysisSpec | None = None
    """Compares canary and stable by their figures from the first step on: a canary that is worse is given up by itself."""
    max_surge: MaxSurge | None = None
    """How many replicas may exist beyond those asked for during a change, of each arm: a number from 1 on, or a share such as `25%`
    (rounded up). With fewer than a step needs, requests and replicas move one in, one out, and the revision before is not kept warm.
    Default: no limit."""
    evaluation: EvaluationSpec | None = None
    """Asks a new revision a golden set before its first request; one that answers too badly is given up by itself."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] = 1800
    """A new revision that makes no progress for this long is given up: what served goes on serving."""
    rollback_window: Duration = "5m"
    """How long the replicas of the revision before stay after a new one took over: going back to it within this time takes effect at
    once. `0s`: they end at once."""

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
        return self
