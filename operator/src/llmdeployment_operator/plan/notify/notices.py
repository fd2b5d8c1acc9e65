"""Notices: what changed between two statuses of an LLMDeployment that somebody outside of the cluster wants to hear of.

A notice is made from what the two statuses say, its time included. So whoever compares them again, after a restart or an answer of the
API server that got lost, makes the same notice with the same id, and receivers can tell that they have it.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from llmdeployment_operator.api.status import ArmStatus, ConditionStatus, Status
from llmdeployment_operator.plan.base.conditions import find_transitions
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.routes import ARM
from llmdeployment_operator.plan.base.sentences import join_sentences

_IDS = uuid.UUID("5c0e9bb6-2f6b-4c0b-8f0e-5a1d6f1d3a77")
"""The name space of the ids. Another one would make every notice a new one to receivers."""


class NoticeKind(StrEnum):
    """What a notice is about; `events` of a receiver names these."""

    REVISION_CREATED = "RevisionCreated"
    """The spec asks for a new revision."""
    STEP_ENTERED = "StepEntered"
    """A canary has the traffic of a step."""
    PROMOTED = "Promoted"
    """Another revision than before serves an arm."""
    ROLLED_BACK = "RolledBack"
    """A revision was rolled back; the message says why."""
    EXPERIMENT_ENDED = "ExperimentEnded"
    """An experiment has ended, with a winner or without."""
    DRIFTING = "Drifting"
    """The revision that serves is not as it was at first."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """All of the month's budget is spent."""
    DEGRADED = "Degraded"
    """Something is wrong that does not heal by waiting."""


@dataclass(frozen=True)
class Subject:
    """The LLMDeployment that a notice is about."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Notice:
    """One message.

    Attributes:
        id: the same for the same change, whoever finds it and how often.
        kind: what it is about.
        subject: whom it is about.
        at: when it happened, as the status says it (RFC 3339).
        message: for people, in whole sentences.
        reason: for machines: a condition's, an outcome, or the kind itself.
        arm: where the spec has several.
        revision: the one that it is about.
        before: the revision that served before.
        after: the revision that serves now.
        step: of the canary, from 1.
        weight_percent: what the canary gets of its arm's requests.
        winner: the arm that won an experiment.
    """

    id: str
    kind: NoticeKind
    subject: Subject
    at: str
    message: str
    reason: str
    arm: str | None = None
    revision: int | None = None
    before: int | None = None
    after: int | None = None
    step: int | None = None
    weight_percent: int | None = None
    winner: str | None = None


def find_notices(
    subject: Subject, before: Status, after: Status, events: Iterable[Event] = ()
) -> tuple[Notice, ...]:
    """Return what changed, in the order in which it happens.

    Nothing is said of the first revision, nor after a status that was lost: everything would be new then.

    Args:
        subject: whose status it is.
        before: the status of which all was told.
        after: the status as it was written since.
        events: of the pass that wrote it; some say more than a status does.
    """
    told = {event.revision: event.message for event in events}
    return (
        *_find_created(subject, before, after, told),
        *_find_moves(subject, before, after),
        *_find_end_of_experiment(subject, before, after),
        *_find_conditions(subject, before, after),
    )


def keep_compared(status: Status) -> Status:
    """Return what `find_notices` reads of the status before: a small part, so that many can be remembered."""
    newest = max(status.revisions, key=lambda row: row.number, default=None)
    heavy = {"evaluation": None, "recheck": None, "self_test": None, "shares": (), "drift": None}
    return Status(
        conditions=status.conditions,
        revisions=(newest.model_copy(update=heavy),) if newest is not None else (),
        arms=tuple(
            arm.model_copy(update={"analysis": None, "shadow": None, "warm": ()})
            for arm in status.arms
        ),
        experiment=status.experiment.model_copy(update={"arms": ()}) if status.experiment else None,
    )


def make_id(subject: Subject, kind: NoticeKind, *parts: object) -> str:
    """Return the id of a notice: a UUID made from whom it is about, its kind, and what tells it from others of that kind.

    >>> chat = Subject("shop", "chat", "1a2b")
    >>> make_id(chat, NoticeKind.PROMOTED, "main", 3) == make_id(chat, NoticeKind.PROMOTED, "main", 3)
    True
    >>> make_id(chat, NoticeKind.PROMOTED, "main", 4) == make_id(chat, NoticeKind.PROMOTED, "main", 3)
    False
    """
    return str(uuid.uuid5(_IDS, "\n".join(map(str, (subject.uid, kind.value, *parts)))))


def _find_created(
    subject: Subject, before: Status, after: Status, told: Mapping[int | None, str]
) -> Iterator[Notice]:
    kind, known = NoticeKind.REVISION_CREATED, [row.number for row in before.revisions]
    for row in after.revisions if known else ():
        # A number that is back on the list of a status is not new: only the newest ones are.
        if row.number > max(known):
            yield Notice(
                make_id(subject, kind, row.number, row.hash),
                kind,
                subject,
                row.created_at or "",
                told.get(row.number, f"Revision {row.number} was created."),
                kind.value,
                revision=row.number,
            )


def _find_moves(subject: Subject, before: Status, after: Status) -> Iterator[Notice]:
    known = {arm.name: arm for arm in before.arms}
    for arm in after.arms:
        if (old := known.get(arm.name)) is None:
            continue
        yield from _find_step(subject, old, arm)
        yield from _find_promotion(subject, old, arm, after)
        yield from _find_rollback(subject, old, arm)


def _find_step(subject: Subject, old: ArmStatus, arm: ArmStatus) -> Iterator[Notice]:
    def read(row: ArmStatus) -> tuple[object, ...]:
        return row.canary, row.attempt, row.step, row.step_started_at

    kind = NoticeKind.STEP_ENTERED
    if arm.canary is None or arm.step_started_at is None or read(arm) == read(old):
        return
    yield Notice(
        make_id(subject, kind, arm.name, *read(arm)),
        kind,
        subject,
        arm.step_started_at,
        f"Revision {arm.canary} is in step {arm.step} and gets {arm.canary_weight} % of the requests{_name(arm)}.",
        kind.value,
        arm=_read_name(arm),
        revision=arm.canary,
        before=arm.stable,
        step=arm.step,
        weight_percent=arm.canary_weight,
    )


def _find_promotion(
    subject: Subject, old: ArmStatus, arm: ArmStatus, after: Status
) -> Iterator[Notice]:
    if arm.stable is None or old.stable is None or arm.stable == old.stable:
        return
    kind = NoticeKind.PROMOTED
    row = next((row for row in after.revisions if row.number == arm.stable), None)
    at = (row.promoted_at if row is not None else None) or ""
    yield Notice(
        make_id(subject, kind, arm.name, old.stable, arm.stable, at, after.observed_generation),
        kind,
        subject,
        at,
        f"Revision {arm.stable} serves all requests{_name(arm)}. Before, revision {old.stable} did.",
        kind.value,
        arm=_read_name(arm),
        revision=arm.stable,
        before=old.stable,
        after=arm.stable,
    )


def _find_rollback(subject: Subject, old: ArmStatus, arm: ArmStatus) -> Iterator[Notice]:
    gone, kind = arm.rejected, NoticeKind.ROLLED_BACK
    known = old.rejected
    if gone is None or (
        known is not None
        and (gone.revision, gone.attempt, gone.at) == (known.revision, known.attempt, known.at)
    ):
        return
    yield Notice(
        make_id(subject, kind, arm.name, gone.revision, gone.attempt, gone.at),
        kind,
        subject,
        gone.at,
        gone.message or f"Revision {gone.revision} was rolled back.",
        kind.value,
        arm=_read_name(arm),
        revision=gone.revision,
        before=gone.revision,
        after=arm.stable,
    )


def _find_end_of_experiment(subject: Subject, before: Status, after: Status) -> Iterator[Notice]:
    old, new, kind = before.experiment, after.experiment, NoticeKind.EXPERIMENT_ENDED
    if old is None or new is None or new.ended_at is None:
        return
    if (old.started_at, old.ended_at) == (new.started_at, new.ended_at):
        return
    yield Notice(
        make_id(subject, kind, new.started_at, new.ended_at),
        kind,
        subject,
        new.ended_at,
        join_sentences("The experiment has ended", new.message),
        new.outcome,
        winner=new.winner,
    )


_CONDITIONS = {
    "Drifting": NoticeKind.DRIFTING,
    "BudgetExceeded": NoticeKind.BUDGET_EXCEEDED,
    "Degraded": NoticeKind.DEGRADED,
}


_COMPARED = 200
"""Characters by which a rollback is known again."""


def _find_conditions(subject: Subject, before: Status, after: Status) -> Iterator[Notice]:
    for condition in find_transitions(after.conditions, before.conditions):
        kind = _CONDITIONS.get(condition.type)
        if kind is None or condition.status != "True":
            continue
        message = _find_message(condition, after)
        if condition.reason == Reason.ROLLED_BACK:
            if _is_of_rejection(message, after):
                continue
            # By annotation, or an arm that gets no requests: neither is in an arm's row.
            kind = NoticeKind.ROLLED_BACK
        yield Notice(
            make_id(subject, kind, condition.reason, condition.last_transition_time),
            kind,
            subject,
            condition.last_transition_time,
            message,
            condition.reason,
        )


def _find_message(condition: ConditionStatus, status: Status) -> str:
    """Return what a condition says. Degraded may only point to Ready, which has the sentence then, and a notice stands alone."""
    ready = next((each for each in status.conditions if each.type == "Ready"), None)
    points = condition.type == "Degraded" and ready is not None
    if points and ready is not None and ready.reason == condition.reason:
        return ready.message
    return condition.message


def _is_of_rejection(message: str, status: Status) -> bool:
    """Say whether the notice of an arm tells this already; that it was rolled back stands in an arm's row for as long as it is true."""
    # Both texts are cut where they are long.
    whys = (arm.rejected.message[:_COMPARED] for arm in status.arms if arm.rejected is not None)
    return any(why and why in message for why in whys)


def _read_name(arm: ArmStatus) -> str | None:
    return arm.name if arm.name != ARM else None


def _name(arm: ArmStatus) -> str:
    return f" of arm {arm.name}" if arm.name != ARM else ""
