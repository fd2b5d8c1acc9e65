"""`status.cost`: what an LLMDeployment costs."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import StatusPart

MOST_COSTS = 32
"""Revisions whose cost is listed. Of more, the oldest are left out."""

_Amount = Annotated[str, Field(max_length=32)]
"""An amount of `status.cost.currency`, a decimal number such as `2.50`."""


class RevisionCostStatus(StatusPart):
    """What a revision has cost since the month began."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """Its number."""
    arms: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...],
        Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """The arms that have it, as stable revision or as canary."""
    per_hour: _Amount = "0"
    """What it costs per hour, by the last ten minutes."""
    month_to_date: _Amount = "0"
    """What it has cost this month. All below are of the same time."""
    per_thousand_requests: _Amount | None = None
    """Of 1,000 answered requests. Absent before the first one."""
    per_million_output_tokens: _Amount | None = None
    """Of 1,000,000 tokens of answers. Absent before the first one."""
    requests: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests that it answered."""
    prompt_tokens: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Tokens of their prompts, of the answers that report them (`usage`)."""
    output_tokens: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Tokens of their answers."""


class CostStatus(StatusPart):
    """What the LLMDeployment costs, with spec.cost; docs/concepts/cost.md has the equations."""

    currency: str = Field(default="", max_length=3)
    """Currency of all amounts."""
    month: str = Field(default="", max_length=7)
    """The calendar month in UTC, such as `2026-11`."""
    since: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the count of this month began: with the month, or later when prices were set."""
    written_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """Up to when all of this is counted. It is written once a minute."""
    per_hour: _Amount = "0"
    """What it costs per hour now: the replicas that exist, and an API's tokens by the last ten minutes."""
    idle_per_hour: _Amount = "0"
    """What idle replicas cost per hour, by the last ten minutes."""
    month_to_date: _Amount = "0"
    """What it has cost this month."""
    idle: _Amount = "0"
    """Part of it for ready replicas with no request."""
    unattributed: _Amount = "0"
    """Part of it for replicas that were starting, stopping or silent, and for requests that are not finished."""
    budget: _Amount | None = None
    """spec.cost.monthlyBudget."""
    budget_percent: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})
    """Percent of the budget that is spent, rounded down."""
    revisions: Annotated[tuple[RevisionCostStatus, ...], Field(max_length=MOST_COSTS)] = ()
    """What each revision has cost, oldest first."""
