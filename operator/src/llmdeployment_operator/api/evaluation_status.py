"""The part of the status that is about golden sets."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.status_part import Message, StatusPart

MOST_NAMED = 20
"""Questions that the status names, at most."""

QuestionName = Annotated[str, Field(max_length=64)]


class WrongQuestionStatus(StatusPart):
    """A question that was not answered as expected."""

    number: int = Field(ge=1, json_schema_extra={"format": "int32"})
    """Its place in the golden set, from 1."""
    id: QuestionName
    """Its name: `id` of its line, or the line's number."""


class ComparisonStatus(StatusPart):
    """The answers to a golden set compared with earlier ones, question by question; docs/concepts/golden-sets.md explains it."""

    revision: int = Field(ge=1, json_schema_extra={"format": "int64"})
    """The revision whose answers they are compared with."""
    lost: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})
    """Questions that were answered as expected and are no more; absent if that is not known."""
    won: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})
    """Questions that were not answered as expected and are now."""
    difference: str | None = Field(default=None, max_length=16)
    """By how many percentage points the score changed; absent if the answers cannot be compared question by question."""
    low: str | None = Field(default=None, max_length=16)
    """The lower end of its interval."""
    high: str | None = Field(default=None, max_length=16)
    """The upper end of its interval."""
    questions: Annotated[tuple[QuestionName, ...], Field(max_length=MOST_NAMED)] = ()
    """Up to 20 questions that were lost."""
    message: Message = ""
    """The same in sentences, and whether it may be noise."""


class EvaluationStatus(StatusPart):
    """How a revision answered the golden set."""

    golden: str = Field(max_length=64)
    """Hash of where the golden set is and how it is asked: scores of one hash can be compared."""
    attempt: int = Field(default=1, ge=1, json_schema_extra={"format": "int32"})
    """Which attempt of the rollout asked it."""
    score: int | None = Field(default=None, ge=0, le=100, json_schema_extra={"format": "int32"})
    """Percent of the questions that were answered as expected, rounded down; absent when there is no result."""
    passed: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Questions that were answered as expected."""
    total: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Questions of the golden set."""
    at: str = Field(json_schema_extra={"format": "date-time"})
    """When the evaluation ended."""
    message: Message = ""
    """The first questions that failed and why, or why there is no result."""
    contents: str | None = Field(default=None, max_length=64)
    """Hash of the questions themselves; absent when an older image asked them."""
    answers: str | None = Field(default=None, max_length=2048)
    """Which questions were answered as expected: one bit each, the first in the highest bit of the first byte, in base64."""
    wrong: Annotated[tuple[WrongQuestionStatus, ...], Field(max_length=MOST_NAMED)] = ()
    """Up to 20 questions that failed: first those that the revision it was compared with answered as expected."""
    comparison: ComparisonStatus | None = None
    """Question by question against the revision that served."""


class RecheckStatus(StatusPart):
    """How the revision that serves answered the golden set when it was last asked again, by spec.rollout.evaluation.schedule."""

    due_at: str = Field(json_schema_extra={"format": "date-time"})
    """The time of the schedule that it was asked for."""
    fallen_since: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """The first of the times in a row at which its answers had become worse; absent if they had not."""
    result: EvaluationStatus
    """The answers, compared with those of its evaluation."""
