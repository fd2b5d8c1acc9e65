"""An A/B/n test that ends: every other arm against the control: `spec.experiment`."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.arms import ArmName
from llmdeployment_operator.api.fields import Model, Text, cel
from llmdeployment_operator.api.rollout import (
    METRIC_MILLISECONDS,
    METRIC_NAME,
    METRIC_NAMES,
    METRIC_TOKENS,
    PATTERN,
    MetricSpec,
)

_duration = Text(2, 6).must(
    r"([1-9]|[1-8][0-9]|90)d|([1-9][0-9]{0,2}|1[0-9]{3}|20[0-9]{2}|21[0-5][0-9]|2160)h|[1-9][0-9]{0,4}m",
    "must be a number of days to 90d, of hours to 2160h or of minutes, such as 14d, 36h or 90m",
)
_metric_name = Text(1, 40).must(rf"cost|{METRIC_NAMES}", f"must be cost, {METRIC_NAME}")
ExperimentMetricName = Annotated[str, *_metric_name.annotations()]
_METRIC_RULES = cel(
    ("(self.name in ['ttft', 'itl', 'e2e']) == has(self.milliseconds)", METRIC_MILLISECONDS),
    ("self.name == 'cost' || (self.name == 'outputTokens') == has(self.tokens)", METRIC_TOKENS),
)
ExperimentDuration = Annotated[str, *_duration.annotations()]

SHIFT = "ShiftToWinner"
"""The `onEnd` that moves users."""

COST_WITHOUT_PRICES = "spec.experiment.metrics contains cost, but there are no prices. Set spec.cost, or remove the metric."
WITHOUT_ARMS = "spec.experiment compares arms. Write two arms or more into spec.arms, or remove the experiment."
UNKNOWN_CONTROL = "spec.experiment.control must be the name of an arm in spec.arms."
WITH_HTTPROUTE = (
    "spec.experiment needs spec.gateway.mode Builtin, because with HTTPRoute users do not stay with an arm. "
    "Change the mode, or remove the experiment."
)
PATTERN_MISSING = (
    "spec.experiment.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of. "
    "Add the pattern there, or remove the metric."
)
SPEC_RULES = (
    ("!has(self.experiment) || has(self.arms) && self.arms.size() > 1", WITHOUT_ARMS),
    (
        (
            "!has(self.experiment) || !has(self.arms) || self.arms.size() < 2 || "
            "self.arms.exists(a, a.name == self.experiment.control)"
        ),
        UNKNOWN_CONTROL,
    ),
    (
        "!has(self.experiment) || !has(self.gateway.mode) || self.gateway.mode != 'HTTPRoute'",
        WITH_HTTPROUTE,
    ),
    (
        (
            f"!has(self.experiment) || self.experiment.metrics.all(m, !m.name.startsWith('{PATTERN}') || "
            "has(self.monitoring) && has(self.monitoring.outputPatterns) && "
            f"self.monitoring.outputPatterns.exists(p, '{PATTERN}' + p.name == m.name))"
        ),
        PATTERN_MISSING,
    ),
    (
        "!has(self.experiment) || has(self.cost) || self.experiment.metrics.all(m, m.name != 'cost')",
        COST_WITHOUT_PRICES,
    ),
)


class ExperimentMetric(MetricSpec):
    """A metric that the arms are compared by: a share of bad requests, or the cost of a request."""

    model_config = ConfigDict(json_schema_extra=_METRIC_RULES)

    name: ExperimentMetricName
    """As in spec.rollout.analysis.metrics, or `cost`, with spec.cost: what a request costs by the tokens of its answer, in percent of the
    control's cost (docs/concepts/experiments.md)."""
    tokens: Annotated[int, Field(ge=1, le=75_000)] | None = None
    """For outputTokens, above how many tokens an answer is bad. For cost, as how many tokens a longer answer counts; default 1000. Rounded
    up to 1, 1.5, 2, 3, 5 or 7.5 times a power of ten, from 10."""


class ExperimentSpec(Model):
    """What an experiment compares, and when it ends (docs/concepts/experiments.md)."""

    control: ArmName
    """The arm that every other arm is compared with."""
    metrics: Annotated[
        tuple[ExperimentMetric, ...],
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
    """What is compared, the most important one first. An arm wins with one that is better, if it is not worse in any by more than its
    tolerancePercent."""
    minimum_effect_percent: Annotated[int, Field(ge=1, le=50)]
    """The smallest difference worth finding, in percentage points. An arm whose differences are all smaller is not different."""
    max_duration: ExperimentDuration
    """When the experiment ends without a winner, such as `14d` or `36h`; at most 90 days."""
    min_users: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many users the control and an arm must have had before anything is said of the arm, if requests have keys
    (spec.gateway.assignment). Default: no limit."""
    on_end: Literal["Hold", "ShiftToWinner"] = "Hold"
    """What happens at the end: `Hold` leaves the weights as they are. `ShiftToWinner` moves all users to the winner, or to the control if
    no arm is better and one is worse, as soon as the replicas are ready; spec.arms stays as it is. With both, the condition
    `Experimenting` holds the patch that writes the winner into the spec."""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(
                "spec.experiment.metrics contains a name twice. Remove one of the two."
            )
        return self


def parse_duration_seconds(duration: str) -> int:
    """Return an ExperimentDuration in seconds.

    >>> parse_duration_seconds("14d"), parse_duration_seconds("36h"), parse_duration_seconds("90m")
    (1209600, 129600, 5400)
    """
    return int(duration[:-1]) * {"d": 86400, "h": 3600, "m": 60}[duration[-1]]


def check_experiment(
    experiment: ExperimentSpec | None,
    arms: Collection[str],
    mode: str,
    patterns: Collection[str],
    *,
    priced: bool,
) -> None:
    """Check an experiment against the rest of the spec.

    Args:
        experiment: if there is one.
        arms: names of the arms.
        mode: of the gateway.
        patterns: names of the patterns that answers are looked at for.
        priced: whether there are prices.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if experiment is None:
        return
    if len(arms) < 2:  # noqa: PLR2004  # because it takes two to compare
        raise ValueError(WITHOUT_ARMS)
    if experiment.control not in arms:
        raise ValueError(UNKNOWN_CONTROL)
    if mode == "HTTPRoute":
        raise ValueError(WITH_HTTPROUTE)
    known = {PATTERN + name for name in patterns}
    if {m.name for m in experiment.metrics if m.name.startswith(PATTERN)} - known:
        raise ValueError(PATTERN_MISSING)
    if not priced and "cost" in {m.name for m in experiment.metrics}:
        raise ValueError(COST_WITHOUT_PRICES)
