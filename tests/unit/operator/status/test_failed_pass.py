"""A pass that fails again and again is said in the conditions, and takes nothing back that is still true."""

from datetime import timedelta

import pytest
from tests.support.world import NOW

from llmdeployment_operator.api.status import ConditionStatus, Status
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.build import plan_failure

FINDING = Finding(Reason.API_ERROR, "The API server answered 500.")


def row(kind: str, status: str, generation: int) -> ConditionStatus:
    return ConditionStatus.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": "Serving",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    )


@pytest.mark.parametrize(
    ("before", "ready", "reason"),
    [
        ((), "False", "APIError"),
        ((row("Ready", "True", 1),), "False", "APIError"),
        ((row("Ready", "True", 2),), "True", "Serving"),
    ],
    ids=["a new object", "a new generation", "nothing was changed"],
)
def test_ready_keeps_its_word_only_for_this_generation(
    before: tuple[ConditionStatus, ...], ready: str, reason: str
) -> None:
    previous = Status(conditions=(row("Accepted", "True", 1), row("Available", "True", 1), *before))
    status = plan_failure(2, FINDING, previous, NOW).status
    assert status is not None
    found = {each.type: each for each in status.conditions}
    assert status.observed_generation == 2
    # Of the generation before; nobody looked since.
    assert [found[kind].status for kind in ("Accepted", "Available")] == ["Unknown", "Unknown"]
    assert {each.observed_generation for each in status.conditions} == {2}
    assert (found["Ready"].status, found["Ready"].reason) == (ready, reason)
    assert (found["Progressing"].status, found["Progressing"].reason) == ("False", "APIError")
    assert found["Degraded"].status == "True"
    told = [each.type for each in status.conditions if each.message == FINDING.message]
    assert told == ["Ready" if ready == "False" else "Degraded"]


def test_the_same_failure_is_written_once_and_is_one_warning() -> None:
    first = plan_failure(1, FINDING, Status(), NOW)
    assert [(event.type, event.reason) for event in first.events] == [("Warning", "APIError")]
    assert first.status is not None
    later = plan_failure(1, FINDING, first.status, NOW + timedelta(minutes=1))
    assert later.status is None
    assert later.events == ()
