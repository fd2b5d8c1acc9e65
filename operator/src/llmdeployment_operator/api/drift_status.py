"""What the status of a revision says of its prompts and answers: recent shares, and its first window."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import StatusPart

MOST_SHARES, MOST_METRICS = 24, 64
"""Seven built-in shares and 16 patterns; in a first window, every length of answers besides."""
MOST_STATE = 8192
"""Characters of the counts of one metric. Half of them are of no use: what is longer is left out."""

PERCENT = r"^[0-9]{1,3}\.[0-9]$"


class ShareStatus(StatusPart):
    """How many of the recent answers were bad, of one share."""

    name: str = Field(max_length=40)
    """A built-in share, or `pattern/NAME` for one of spec.monitoring.outputPatterns."""
    answers: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Answers of about the last hour that were looked at for it."""
    percent: str | None = Field(default=None, max_length=5, pattern=PERCENT)
    """Percent of them that were bad, with one decimal. Absent without an answer."""


class DriftMetricStatus(StatusPart):
    """One metric of the revision that serves, compared with its first window."""

    name: str = Field(max_length=64)
    """The metric, with its length: `promptLength>=1024` are prompts of 1,024 bytes or more, `outputTokens>300` answers of more than 300
    tokens."""
    first: str | None = Field(default=None, max_length=5, pattern=PERCENT)
    """Percent in the same hours of the first window."""
    present: str | None = Field(default=None, max_length=5, pattern=PERCENT)
    """Percent in the window under way, or in the one before it while that is just beginning."""
    since: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the window began in which it was found to drift. Absent while it does not drift."""
    state: str = Field(default="", max_length=MOST_STATE)
    """The counts (JSON), for the next start of the operator."""


class DriftStatus(StatusPart):
    """The comparison of a revision with its own first window."""

    design: str = Field(default="", max_length=256)
    """What is compared. When it changes, a new first window begins."""
    began_at: str = Field(json_schema_extra={"format": "date-time"})
    """When the first window began."""
    first_ended_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the first window ended. Absent until then."""
    written_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """Up to when requests are counted here."""
    block: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Which block is under way since the first window began; a window has 24."""
    requests: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Answers of the first window."""
    metrics: Annotated[tuple[DriftMetricStatus, ...], Field(max_length=MOST_METRICS)] = ()
    """What is compared."""
