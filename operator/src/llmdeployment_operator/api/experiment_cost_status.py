"""The part of `status.experiment` that holds what an arm and the control cost."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import StatusPart

_Amount = Annotated[str, Field(max_length=32)]
"""An amount, a decimal number such as `2.50`."""
_Percent = Annotated[str, Field(max_length=16)]


class SpendingStatus(StatusPart):
    """What was spent on a revision, and for what."""

    cost: _Amount = "0"
    """Cost without idle time."""
    requests: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests that were answered."""
    output_tokens: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Tokens of their answers."""


class ExperimentCostStatus(StatusPart):
    """What an arm and the control cost since counting began. Unit prices are absent until both sides have one."""

    currency: str = Field(default="", max_length=3)
    """Currency of all amounts."""
    per_thousand_requests: _Amount | None = None
    """Cost of 1,000 requests of the arm."""
    control_per_thousand_requests: _Amount | None = None
    """Cost of 1,000 requests of the control."""
    requests_difference_percent: _Percent | None = None
    """By how many percent the arm's 1,000 requests cost more; below 0 is cheaper."""
    per_million_output_tokens: _Amount | None = None
    """Cost of 1,000,000 tokens of answers of the arm."""
    control_per_million_output_tokens: _Amount | None = None
    """Cost of 1,000,000 tokens of answers of the control."""
    tokens_difference_percent: _Percent | None = None
    """By how many percent the arm's 1,000,000 tokens cost more; below 0 is cheaper."""
    arm: SpendingStatus = Field(default_factory=SpendingStatus)
    """What the arm spent while requests were counted."""
    control: SpendingStatus = Field(default_factory=SpendingStatus)
    """What the control spent in the same time."""
    month: str = Field(default="", max_length=7)
    """The calendar month of the two figures below."""
    arm_month_to_date: SpendingStatus = Field(default_factory=SpendingStatus)
    """Up to what of the arm's revision in `status.cost` is counted."""
    control_month_to_date: SpendingStatus = Field(default_factory=SpendingStatus)
    """Up to what of the control's revision in `status.cost` is counted."""
