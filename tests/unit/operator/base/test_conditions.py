"""The truth table of `plan/base/conditions.py`, row by row."""

import pytest
from tests.support.world import NOW

from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_accepted,
    build_paused,
    build_refused,
    merge_conditions,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason

TYPES = ("Accepted", "Progressing", "Ready", "Degraded", "Available")


def statuses(conditions: list[Condition]) -> dict[str, bool | None]:
    return {each.type: each.status for each in conditions}


def row(*values: bool | None) -> dict[str, bool | None]:
    return dict(zip(TYPES, values, strict=False))


ACCEPTED = {
    "starting": (False, Reason.LOADING_MODEL, row(True, True, False, False)),
    "needs help": (False, Reason.IMAGE_PULL_FAILED, row(True, True, False, True)),
    "rolled back": (False, Reason.ROLLED_BACK, row(True, False, False, True)),
    "no replica is asked for": (False, Reason.SCALED_TO_ZERO, row(True, False, False, False)),
    "autoscaled to zero": (True, Reason.SCALED_TO_ZERO, row(True, False, True, False)),
    "serves": (True, None, row(True, False, True, False)),
    "serves, more replicas start": (True, Reason.LOADING_MODEL, row(True, True, True, False)),
    "serves, something is wrong": (True, Reason.CRASH_LOOP, row(True, False, True, True)),
}


@pytest.mark.parametrize(("serving", "reason", "wanted"), ACCEPTED.values(), ids=ACCEPTED)
def test_an_accepted_spec(
    serving: bool,  # noqa: FBT001  # because it is a column of the table
    reason: Reason | None,
    wanted: dict[str, bool | None],
) -> None:
    finding = Finding(reason, "Something happens.") if reason is not None else None
    assert statuses(build_accepted(serving, finding, "Revision 1 serves.")) == wanted


def test_of_what_nobody_observes_nothing_is_claimed() -> None:
    found = build_refused(Finding(Reason.INVALID_SPEC, "spec.model: no."))
    assert statuses(found) == row(False, False, False, None, None)
    assert all(each.message.endswith(".") for each in found)


def test_a_pause_changes_progressing_alone() -> None:
    before = build_accepted(False, Finding(Reason.LOADING_MODEL, "It loads."), "")
    assert statuses(build_paused(before)) == row(True, False, False, False)


def test_none_is_unknown_and_a_transition_to_it_has_a_time() -> None:
    (first,) = merge_conditions([Condition("Available", True, Reason.SERVING)], [], 1, NOW)
    silent = [Condition("Available", None, Reason.GATEWAY_SILENT)]
    before = first.model_copy(update={"last_transition_time": "before"})
    (second,) = merge_conditions(silent, [before], 1, NOW)
    assert second.status == "Unknown"
    assert second.last_transition_time != "before"
    (third,) = merge_conditions([Condition("Available", True, Reason.SERVING)], [before], 1, NOW)
    assert third.last_transition_time == "before"
