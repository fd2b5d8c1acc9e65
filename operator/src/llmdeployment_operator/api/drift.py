"""What is compared with a revision's own first window: `spec.monitoring.drift`."""

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, model_validator

from llmdeployment_operator.api.fields import Model, Text
from llmdeployment_operator.api.rollout import PATTERN, SHARES

PROMPT_LENGTH, OUTPUT_TOKENS = "promptLength", "outputTokens"
DEFAULT_METRICS = (
    PROMPT_LENGTH,
    OUTPUT_TOKENS,
    "refusal",
    "empty",
    "truncated",
    "repetition",
    "languageSwitch",
)
"""What is compared if the spec does not say, besides every pattern."""

PATTERN_MISSING = (
    "spec.monitoring.drift.metrics contains a pattern/NAME that spec.monitoring.outputPatterns has no NAME of. "
    "Add the pattern there, or remove the metric."
)
TWICE = "spec.monitoring.drift.metrics contains a name twice. Remove one of the two."
HAS_PATTERNS = (
    (
        "!has(self.drift) || !has(self.drift.metrics) || "
        f"self.drift.metrics.all(m, !m.startsWith('{PATTERN}') || has(self.outputPatterns) && "
        f"self.outputPatterns.exists(p, '{PATTERN}' + p.name == m))"
    ),
    PATTERN_MISSING,
)
"""A rule of `spec.monitoring`: it looks at two of its fields."""

_KNOWN = (PROMPT_LENGTH, OUTPUT_TOKENS, *SHARES)
_metric = Text(1, 40).must(
    rf"{'|'.join(_KNOWN)}|{PATTERN}[a-z]([-a-z0-9]*[a-z0-9])?",
    f"must be one of {', '.join(_KNOWN)}, or {PATTERN}NAME for a pattern of spec.monitoring.outputPatterns",
)
DriftMetric = Annotated[str, *_metric.annotations()]

_window = Text(2, 4).must(
    "([1-9]|[1-9][0-9]|1[0-5][0-9]|16[0-8])h",
    "must be a number of hours from 1h to 168h, such as 24h for a day or 168h for a week",
)
Window = Annotated[str, *_window.annotations()]


class DriftSpec(Model):
    """Compares prompts and answers of the revision that serves with those of its own first window (docs/concepts/drift.md)."""

    first_window: Window = "24h"
    """How long the first window is, and every later one that is compared with it. It begins when the revision is promoted. A whole day
    or week has every hour or weekday once; a shorter one takes the afternoon for a change of the morning."""
    min_requests: Annotated[int, Field(ge=100, le=1_000_000)] = 500
    """How many answers the first window must have. With fewer it goes on for as long again."""
    tolerance_percent: Annotated[int, Field(ge=1, le=50)] = 3
    """By how many percentage points a share may rise or fall, as no two days are alike."""
    metrics: Annotated[
        tuple[DriftMetric, ...],
        Field(
            strict=False,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    """What is compared: `promptLength`, `outputTokens`, a built-in share such as `refusal`, or `pattern/NAME` for one of
    spec.monitoring.outputPatterns. Default: promptLength, outputTokens, refusal, empty, truncated, repetition, languageSwitch and every
    pattern."""

    @property
    def window_seconds(self) -> int:
        """The length of a window."""
        return int(self.first_window[:-1]) * 3600

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(TWICE)
        return self


def list_metrics(drift: DriftSpec, patterns: Collection[str]) -> tuple[str, ...]:
    """Return the names of what is compared.

    Args:
        drift: the spec.
        patterns: the names of its patterns.

    >>> list_metrics(DriftSpec(metrics=("refusal",)), ["brand"]), list_metrics(DriftSpec(), ["brand"])[-2:]
    (('refusal',), ('languageSwitch', 'pattern/brand'))
    """
    return drift.metrics or (*DEFAULT_METRICS, *(PATTERN + name for name in patterns))


def check_drift_metrics(drift: DriftSpec | None, patterns: Collection[str]) -> None:
    """Refuse a metric without its pattern.

    Raises:
        ValueError: what to do instead.
    """
    known = {PATTERN + name for name in patterns}
    named = drift.metrics if drift is not None else ()
    if {name for name in named if name.startswith(PATTERN)} - known:
        raise ValueError(PATTERN_MISSING)
