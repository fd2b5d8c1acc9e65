"""The truth table of `plan/base/conditions.py`, row by row."""

from datetime import datetime, timedelta

import pytest
from tests.support.world import NOW

from llmdeployment_operator.plan.base.conditions import (
    STALLED_SECONDS,
    Condition,
    build_accepted,
    build_paused,
    build_refused,
    merge_conditions,
)
from llmdeployment_operator.plan.base.reasons import NODE_SECONDS, Finding, Reason

TYPES = ("Accepted", "Progressing", "Ready", "Degraded", "Stalled", "Available")
LONG_AGO = NOW - timedelta(seconds=NODE_SECONDS)


def statuses(conditions: list[Condition]) -> dict[str, bool | None]:
    return {each.type: each.status for each in conditions}


def row(*values: bool | None) -> dict[str, bool | None]:
    return dict(zip(TYPES, values, strict=False))


ACCEPTED = {
    "starting": (False, Reason.LOADING_MODEL, None, row(True, True, False, False, False)),
    "needs help": (False, Reason.IMAGE_PULL_FAILED, None, row(True, True, False, True, False)),
    "rolled back": (False, Reason.ROLLED_BACK, None, row(True, False, False, True, True)),
    "a node may come": (False, Reason.UNSCHEDULABLE, NOW, row(True, True, False, False, False)),
    "no node came": (False, Reason.UNSCHEDULABLE, LONG_AGO, row(True, True, False, True, False)),
    "GPUs may come": (False, Reason.WAITING_FOR_GPU, NOW, row(True, True, False, False, False)),
    "no GPU came": (False, Reason.WAITING_FOR_GPU, LONG_AGO, row(True, True, False, True, False)),
    "no replica is asked for": (
        True,
        Reason.SCALED_TO_ZERO,
        None,
        row(True, False, True, False, False),
    ),
    "changed without replicas": (
        False,
        Reason.SCALED_TO_ZERO,
        None,
        row(True, False, False, False, False),
    ),
    "serves": (True, None, None, row(True, False, True, False, False)),
    "serves, more start": (True, Reason.LOADING_MODEL, None, row(True, True, True, False, False)),
    "serves, wrong": (True, Reason.CRASH_LOOP, None, row(True, False, True, True, False)),
}


@pytest.mark.parametrize(("serving", "reason", "since", "wanted"), ACCEPTED.values(), ids=ACCEPTED)
def test_an_accepted_spec(
    serving: bool,  # noqa: FBT001  # because it is a column of the table
    reason: Reason | None,
    since: datetime | None,
    wanted: dict[str, bool | None],
) -> None:
    finding = Finding(reason, "Something happens.", since) if reason is not None else None

    found = build_accepted(serving, finding, "Revision 1 serves.", NOW)

    assert statuses(found) == wanted
    assert all(each.message.endswith(".") for each in found)
    told = [each.type for each in found if each.message == "Something happens."]
    assert len(told) == (finding is not None)


@pytest.mark.parametrize(
    ("seconds", "stalled"), [(STALLED_SECONDS - 1, False), (STALLED_SECONDS, True)]
)
def test_what_needs_help_is_stalled_after_a_minute(*, seconds: int, stalled: bool) -> None:
    finding = Finding(Reason.SECRET_MISSING, "Create it.")
    found = build_accepted(False, finding, "", NOW, NOW - timedelta(seconds=seconds))

    assert statuses(found) == row(True, not stalled, False, True, stalled)


def test_of_what_nobody_observes_nothing_is_claimed() -> None:
    found = build_refused(Finding(Reason.INVALID_SPEC, "spec.model: no."))
    assert statuses(found) == row(False, False, False, None, True, None)
    assert all(each.message.endswith(".") for each in found)
    assert [each.type for each in found if each.message == "spec.model: no."] == ["Ready"]


def test_a_pause_changes_progressing_alone() -> None:
    before = build_accepted(False, Finding(Reason.LOADING_MODEL, "It loads."), "", NOW)
    assert statuses(build_paused(before)) == row(True, False, False, False, False)


def test_none_is_unknown_and_a_transition_to_it_has_a_time() -> None:
    (first,) = merge_conditions([Condition("Available", True, Reason.SERVING)], [], 1, NOW)
    silent = [Condition("Available", None, Reason.GATEWAY_SILENT)]
    before = first.model_copy(update={"last_transition_time": "before"})
    (second,) = merge_conditions(silent, [before], 1, NOW)
    assert second.status == "Unknown"
    assert second.last_transition_time != "before"
    (third,) = merge_conditions([Condition("Available", True, Reason.SERVING)], [before], 1, NOW)
    assert third.last_transition_time == "before"
