"""The part of `status` that holds what spec.experiment found."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.analysis_status import AnalysisStatus
from llmdeployment_operator.api.experiment_cost_status import ExperimentCostStatus
from llmdeployment_operator.api.status_part import Message, StatusPart


class ExperimentMetricStatus(StatusPart):
    """One metric of an arm and of the control. Shares are percents, differences percentage points; absent without requests."""

    name: str = Field(max_length=64)
    """The metric, with its threshold."""
    control: str | None = Field(default=None, max_length=16)
    """The control's share of bad requests."""
    arm: str | None = Field(default=None, max_length=16)
    """The arm's share of bad requests."""
    difference: str | None = Field(default=None, max_length=16)
    """The arm's share minus the control's, compared within prompt lengths."""
    low: str | None = Field(default=None, max_length=16)
    """The lowest difference that the counts allow; absent while they say nothing."""
    high: str | None = Field(default=None, max_length=16)
    """The highest difference that the counts allow."""
    result: str = Field(default="Undecided", max_length=32)
    """Better, Worse, NotDifferent or Undecided."""


class UserGrowthStatus(StatusPart):
    """How many users had come when the time of counting last doubled, to know whether users come back."""

    users: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Users of the control and of the arm."""
    seconds: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Seconds of counting until then."""
    new_percent: int = Field(default=80, json_schema_extra={"format": "int32"})
    """The rate of new users lately, as a percentage of the rate since the beginning."""


class ExperimentArmStatus(StatusPart):
    """One arm that is compared with the control."""

    name: str = Field(max_length=63)
    """Name of the arm."""
    revision: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The revision whose requests are counted."""
    control_revision: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """The control's revision whose requests are counted."""
    since: str = Field(default="", max_length=32)
    """When counting began."""
    counting: bool = False
    """Whether requests are counted now."""
    message: Message = ""
    """Why counting pauses, or why it began anew."""
    users: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Users whose requests the arm had, by bucket of assignment; 0 if requests have no key."""
    control_users: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Users whose requests the control had."""
    requests: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the arm, of the metric that counts most."""
    control_requests: int = Field(default=0, json_schema_extra={"format": "int64"})
    """Requests of the control meanwhile."""
    result: str = Field(default="Undecided", max_length=32)
    """Better, Worse, NotDifferent or Undecided."""
    metrics: Annotated[tuple[ExperimentMetricStatus, ...], Field(max_length=5)] = ()
    """The comparison by metric."""
    cost: ExperimentCostStatus | None = None
    """What the arm and the control cost, with spec.cost."""
    growth: UserGrowthStatus | None = None
    """Whether users come back."""
    evidence: AnalysisStatus | None = None
    """The counts, for the next start of the operator: `stable` is the control, `canary` the arm."""


class ExperimentStatus(StatusPart):
    """What spec.experiment found."""

    started_at: str = Field(json_schema_extra={"format": "date-time"})
    """When it began."""
    ended_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it ended. Nothing is counted afterwards."""
    written_at: str = Field(json_schema_extra={"format": "date-time"})
    """When counts were last written: at each change, and otherwise every half minute."""
    control: str = Field(default="", max_length=63)
    """The arm that the others are compared with."""
    design: str = Field(default="", max_length=1024)
    """What begins the experiment anew when it changes: control, metrics, arms with their weights, and the salt of the assignment."""
    outcome: str = Field(default="Running", max_length=32)
    """Running, Winner, ControlWins, NoDifference or TimedOut."""
    winner: str | None = Field(default=None, max_length=63)
    """The arm that is better than the control."""
    message: Message = ""
    """What is known, for people."""
    plan: Message = ""
    """About how long it takes until a difference of spec.experiment.minimumEffectPercent shows."""
    patch: str | None = Field(default=None, max_length=1024)
    """JSON patch that ends the experiment and gives all users to one arm: the winner, else the control."""
    arms: Annotated[tuple[ExperimentArmStatus, ...], Field(max_length=8)] = ()
    """The arms that are compared with the control."""
