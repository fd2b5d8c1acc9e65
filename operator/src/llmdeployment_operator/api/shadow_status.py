"""The part of the status that is about a shadow: live requests that a canary was asked too."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import Message, StatusPart

MOST_SHARES = 32


class ShadowShareStatus(StatusPart):
    """How often answers were bad by one share, in pairs of answers to the same request."""

    name: str = Field(max_length=64)
    """The share, such as `refusal`."""
    total: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Pairs that the share was asked of."""
    stable_bad: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Those whose answer of the stable revision was bad."""
    canary_bad: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Those whose answer of the canary was bad."""
    both_bad: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Those whose answers were both bad."""


class ShadowStatus(StatusPart):
    """What the answers of a canary to a sample of live requests are like; docs/how-to/shadow.md explains it."""

    started_at: str = Field(json_schema_extra={"format": "date-time"})
    """When it began."""
    result: str = Field(default="Running", max_length=16)
    """Running, Passed, Refused, or TimedOut after too few requests to say anything."""
    compared: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Requests that both revisions answered."""
    failed: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Requests that the canary did not answer and the stable revision did."""
    skipped: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Sampled requests that were dropped: a replica had no room, or the canary was busy, away or slow."""
    excluded: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Sampled requests of a kind that is not shadowed, such as requests with tools."""
    identical: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Compared requests whose answers have the same text."""
    agreement_thousandths: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Sum of the agreements of compared answers, 1000 for the same words."""
    shares: Annotated[tuple[ShadowShareStatus, ...], Field(max_length=MOST_SHARES)] = ()
    """How often answers were bad."""
    message: Message = ""
    """The same in sentences."""
