"""What a rollout remembers, through the status and back."""

from datetime import UTC, datetime

import pytest

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.plan.rollout.state import (
    Rejection,
    RolloutState,
    WarmRevision,
    build_arm_status,
    read_rollout_state,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_memory_survives_the_status() -> None:
    state = RolloutState(
        stable=1,
        canary=2,
        step=1,
        since=NOW,
        weight=25,
        ready=2,
        progress_at=NOW,
        attempt=3,
        rejected=Rejection(2, 2, NOW, "too slow"),
        warm=(WarmRevision(1, NOW),),
    )
    assert read_rollout_state(Status(arms=(build_arm_status(state, "main"),)), "main") == state


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": "main", "step": "x", "stable": 4},
        {"name": "main", "warm": [{}]},
        {"name": "main", "progressAt": "2026-01-02T03:04:05"},
    ],
)
def test_a_status_that_cannot_be_read_is_forgotten(row: dict[str, object]) -> None:
    assert read_rollout_state(read_status({"arms": [row]}), "main") == RolloutState(
        stable=row.get("stable")
    )  # type: ignore[arg-type]  # because a row holds anything
