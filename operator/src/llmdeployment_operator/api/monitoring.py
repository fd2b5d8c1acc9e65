"""What answers are looked at for, besides the built-in shares, and what is logged of them: `spec.monitoring`."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.drift import HAS_PATTERNS, DriftSpec, check_drift_metrics
from llmdeployment_operator.api.fields import Extension, Model, cel
from llmdeployment_operator.api.patterns import PatternName, build_pattern
from llmdeployment_operator.api.request_log import RequestLogSpec
from llmdeployment_operator.api.rollout import PATTERN, SHARES, AnalysisSpec
from llmdeployment_operator.api.traces import TracesSpec

NOT_RE2 = (
    "spec.monitoring.outputPatterns contains a pattern that is not an RE2 expression, or one that is too large for it. "
    "Correct it; RE2 has no look-around and no backreferences."
)
NAMES_A_SHARE = (
    "spec.monitoring.outputPatterns cannot contain the name of a built-in share, such as refusal. "
    "Choose another name."
)
PATTERN_MISSING = (
    "spec.rollout.analysis.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of. "
    "Add the pattern there, or remove the metric."
)

Pattern = Annotated[str, *build_pattern(NOT_RE2)]
PATTERNS: Extension = cel((f"self.all(p, !(p.name in {list(SHARES)}))", NAMES_A_SHARE))
_PATTERNS = "has(self.monitoring) && has(self.monitoring.outputPatterns)"
_METRICS_HAVE_PATTERNS = (
    "!has(self.rollout.analysis) || self.rollout.analysis.metrics.all(m, "
    f"!m.name.startsWith('{PATTERN}') || {_PATTERNS} && "
    f"self.monitoring.outputPatterns.exists(p, '{PATTERN}' + p.name == m.name))"
)
SPEC_RULES = ((_METRICS_HAVE_PATTERNS, PATTERN_MISSING),)
"""Rules of `spec`: they look at two of its fields."""


class OutputPattern(Model):
    """A pattern that is looked for in answers, as a share of them."""

    name: PatternName
    """Name of the share in metrics and in spec.rollout.analysis, there after `pattern/`."""
    pattern: Pattern
    """What is looked for: an RE2 expression (https://github.com/google/re2/wiki/Syntax), anywhere in the text of an answer. `(?i)` at
    its start ignores case."""


class MonitoringSpec(Model):
    """What is counted about answers, and logged. A change takes effect in place, for the next answers."""

    model_config = ConfigDict(json_schema_extra=cel(HAS_PATTERNS))

    output_patterns: Annotated[
        tuple[OutputPattern, ...],
        Field(
            strict=False,
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                **PATTERNS,
            },
        ),
    ] = ()
    """Patterns that are looked for in answers, besides the built-in shares (docs/how-to/watch-answers.md)."""
    drift: DriftSpec | None = None
    """Compares the revision that serves with its own first window. Default: nobody compares it."""
    traces: TracesSpec | None = None
    """Sends spans of answers, rollouts and passes to a collector. Default: nothing is sent."""
    request_log: RequestLogSpec | None = None
    """Writes a line for each answer (docs/how-to/request-log.md). Default: none."""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [each.name for each in self.output_patterns]
        if len(set(names)) < len(names):
            raise ValueError(
                "spec.monitoring.outputPatterns contains a name twice. Give each pattern a name of its own."
            )
        if set(names) & set(SHARES):
            raise ValueError(NAMES_A_SHARE)
        check_drift_metrics(self.drift, names)
        return self


def check_monitoring(monitoring: MonitoringSpec, analysis: AnalysisSpec | None) -> None:
    """Refuse a metric without its pattern.

    Raises:
        ValueError: what to do instead.
    """
    known = {PATTERN + each.name for each in monitoring.output_patterns}
    compared = {metric.name for metric in analysis.metrics} if analysis is not None else set()
    if {name for name in compared if name.startswith(PATTERN)} - known:
        raise ValueError(PATTERN_MISSING)
