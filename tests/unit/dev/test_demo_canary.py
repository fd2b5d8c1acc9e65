"""What `make demo-canary` reads out of an LLMDeployment."""

from typing import Any

import pytest
from dev.demo.canary import describe_rollout, is_promoted, is_rolled_back


def found(traffic: str, *conditions: tuple[str, str, str], **arm: Any) -> dict[str, Any]:
    written = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "why",
            "observedGeneration": 2,
        }
        for kind, status, reason in conditions
    ]
    status = {"traffic": traffic, "conditions": written, "arms": [{"stable": 1, **arm}]}
    return {"metadata": {"generation": 2}, "status": status}


HALF = found(
    "rev1 50% rev2 50%",
    ("Ready", "False", "Analyzing"),
    ("Progressing", "True", "Analyzing"),
    ("Degraded", "False", "AsExpected"),
    canary=2,
    canaryWeight=50,
    analysis={"result": "NeedMoreData", "requestsLeft": 12},
)
WHOLE = found("rev2 100%", ("Ready", "True", "Serving"), ("Degraded", "False", "AsExpected"))
BACK = found("rev1 100%", ("Ready", "False", "RolledBack"), ("Degraded", "True", "RolledBack"))


def stale(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {"generation": 3}}


@pytest.mark.parametrize(
    ("obj", "ends_well", "ends_badly"),
    [
        (HALF, False, False),
        (WHOLE, True, False),
        (BACK, False, True),
        (stale(WHOLE), False, False),
        (stale(BACK), False, False),
        ({}, False, False),
    ],
)
def test_ends_of_a_rollout(obj: dict[str, Any], ends_well: bool, ends_badly: bool) -> None:  # noqa: FBT001  # because pytest passes them
    assert (is_promoted(obj) if obj else False) is ends_well
    assert is_rolled_back(obj) is ends_badly


def test_a_line_has_shares_reason_and_verdict() -> None:
    key, line = describe_rollout(HALF)
    assert line.split() == [
        "rev1",
        "50%",
        "rev2",
        "50%",
        "Analyzing",
        "verdict:",
        "NeedMoreData,",
        "about",
        "12",
        "requests",
        "needed",
    ]
    before = found(
        "rev1 100%", ("Progressing", "True", "LoadingModel"), analysis={"result": "Pass"}
    )
    assert describe_rollout(before)[1].split()[-1] == "why"
    assert describe_rollout(found("rev1 50% rev2 50%", ("Progressing", "True", "Canary")))[0] != key
