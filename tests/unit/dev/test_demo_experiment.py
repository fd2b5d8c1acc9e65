"""What `make demo-experiment` applies, and what it reads out of an LLMDeployment."""

from typing import Any

import pytest
from dev.cluster.stages import StageError
from dev.demo.experiment import DEPLOYMENT, USERS, build_question, conclude, describe

from llmdeployment_operator.api.types import parse

ROW = {
    "control": "careful",
    "outcome": "Winner",
    "winner": "plain",
    "message": "why",
    "arms": [
        {
            "name": "plain",
            "users": 104,
            "requests": 780,
            "controlUsers": 107,
            "controlRequests": 795,
            "metrics": [{"name": "refusal", "control": "25.3", "arm": "0.0"}],
        }
    ],
}
COSTS = {
    "currency": "EUR",
    "revisions": [
        {"revision": 1, "arms": ["careful"], "perThousandRequests": "0.90"},
        {"revision": 2, "arms": ["plain"], "perThousandRequests": "1.10"},
    ],
}


def test_what_is_applied_is_an_llmdeployment() -> None:
    metadata = {"name": "prompts", "namespace": "demo", "uid": "1", "generation": 1}
    spec = parse({**DEPLOYMENT, "metadata": metadata}).spec
    assert spec.experiment is not None
    assert {arm.name for arm in spec.arms} >= {spec.experiment.control}


def test_every_user_asks() -> None:
    assert {build_question(number)[0] for number in range(USERS)} == {
        f"user-{number}" for number in range(USERS)
    }


def test_a_line_has_users_requests_and_shares() -> None:
    assert describe({}) == "no request is counted yet"
    assert describe(ROW) == (
        "104 users, 780 requests: 0.0 % refused by plain, 25.3 % by careful. Winner"
    )


def test_the_end_has_users_requests_and_cost() -> None:
    lines: list[str] = []
    conclude({"status": {"experiment": ROW, "cost": COSTS}}, lines.append)
    (text,) = lines
    assert text.splitlines() == [
        "  104 users and 780 requests of plain, 107 users and 795 requests of careful",
        "  the winner costs 1.10 EUR per 1,000 requests",
    ]


@pytest.mark.parametrize("end", [{"outcome": "TimedOut", "winner": None}, {"winner": "careful"}])
def test_another_end_is_an_error(end: dict[str, Any]) -> None:
    with pytest.raises(StageError, match="plain should win"):
        conclude({"status": {"experiment": {**ROW, **end}, "cost": COSTS}}, print)
