"""The rows of `status` that hold a comparison: its counts, and what they say."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import Message, StatusPart


class StratumStatus(StatusPart):
    """What was counted for one metric and prompts of about one length."""

    prompt_bytes: str = Field(default="", max_length=16)
    """Where the stratum ends, exclusive: bytes of the client's prompt, `+Inf` for the longest; empty for requests of unknown length."""
    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision."""
    stable_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the canary."""
    canary_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    before: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision before the step that sharpen the comparison."""
    before_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""


class MinutesStatus(StatusPart):
    """How much canary and stable revision differed from minute to minute, as sums over minutes (docs/concepts/verdict.md)."""

    number: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Minutes that are over and had requests of both revisions."""
    sums: str = Field(default="", max_length=256)
    """Sums over these minutes, with n requests of the canary and a difference of d: n, n d, n^2, n^2 d, n^2 d^2."""
    minute: int = Field(default=0, json_schema_extra={"format": "int64"})
    """The minute under way, counted from the step's begin."""
    current: str = Field(default="", max_length=128)
    """Counts of this minute: requests and bad requests of the stable revision, and those of the canary."""


class MetricStatus(StatusPart):
    """What was counted for one metric since the canary's step began."""

    name: str = Field(max_length=64)
    """The metric, with its threshold."""
    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision."""
    stable_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the canary."""
    canary_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    before: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the stable revision before the step that sharpen the comparison."""
    before_bad: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were bad."""
    strata: Annotated[tuple[StratumStatus, ...], Field(max_length=8)] = ()
    """The same by prompt length, where the replicas count so: canary and stable are compared within each."""
    groups: str | None = Field(default=None, max_length=8192)
    """The same by group of users: `group:stable,bad,canary,bad`, separated by spaces."""
    minutes: MinutesStatus | None = None
    """The same by minute, as sums."""


class PromptTokensStatus(StatusPart):
    """How many prompt tokens were in the prefix cache, where the engine reports it."""

    stable: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Prompt tokens of the stable revision."""
    stable_cached: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were in the cache."""
    canary: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Prompt tokens of the canary."""
    canary_cached: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Those of them that were in the cache."""


class AnalysisStatus(StatusPart):
    """The result of comparing canary and stable revision."""

    result: str = Field(max_length=32)
    """Pass, Fail or NeedMoreData."""
    message: Message = ""
    """The numbers that decide, with their interval."""
    requests_left: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """About how many more requests of the canary are needed for a verdict."""
    metrics: Annotated[tuple[MetricStatus, ...], Field(max_length=24)] = ()
    """The counts. Those with `, bounded` behind the metric's name are of a sample in which a user has about 20 requests in ten minutes."""
    stable_users: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Users whose requests the stable revision had, by bucket of assignment; 0 if requests have no key."""
    canary_users: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Users whose requests the canary had."""
    seconds: int = Field(default=0, json_schema_extra={"format": "int64"})
    """How long the two have been compared."""
    prompt_tokens: PromptTokensStatus | None = None
    """How much of the prompts was cached, where the engine reports it. It does not decide."""
