"""What `make demo-autoscale` reads out of an LLMDeployment, and of its requests."""

from typing import Any

import pytest
from bench.rollout_judge import Answer
from dev.cluster.stages import StageError
from dev.demo.autoscale import conclude, count_desired, count_ready, find_new_decisions, is_alone

ROSE = {"at": "2026-01-02T03:00:00Z", "from": 1, "to": 2, "reason": "QueueGrew", "message": "why"}
FELL = {"at": "2026-01-02T03:09:00Z", "from": 2, "to": 1, "reason": "Slack", "message": "why"}
WHOLE = Answer("user-1", 0.0, 2.0, 200, stream=True)


def test_decisions_are_told_once_and_in_their_order() -> None:
    found: dict[str, Any] = {"status": {"scaling": {"decisions": [ROSE, FELL]}}}
    assert find_new_decisions(found, []) == [ROSE, FELL]
    assert find_new_decisions(found, [ROSE]) == [FELL]
    assert find_new_decisions({}, []) == []


def test_replicas_of_a_new_object_are_none() -> None:
    assert count_desired({}) == count_ready({}) == 0
    assert count_desired({"status": {"replicas": 2, "readyReplicas": 1}}) == 2


def served(generation: int, replicas: int, ready: int) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True", "observedGeneration": generation}
    status = {"conditions": [condition], "replicas": replicas, "readyReplicas": ready}
    return {"metadata": {"generation": 3}, "status": status}


def test_it_begins_with_one_replica_of_the_newest_generation() -> None:
    assert is_alone(served(3, 1, 1))
    assert not is_alone({"metadata": {"generation": 1}})
    assert not any(is_alone(served(*row)) for row in [(2, 1, 1), (3, 2, 2), (3, 1, 2), (3, 1, 0)])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("", 0.0, 1.0, 503, error="503"), "1 of 2 requests failed, 0 streams were cut off"),
        (
            Answer("", 0.0, 1.0, 200, stream=True, whole=False, error="200"),
            "0 of 2 requests failed, 1 streams were cut off",
        ),
    ],
)
def test_what_is_lost_ends_it_with_an_error(answer: Answer, said: str) -> None:
    lines: list[str] = []
    with pytest.raises(StageError, match="requests failed or streams were cut off"):
        conclude([WHOLE, answer], lines.append)
    assert said in lines[0]


def test_nothing_lost_says_so() -> None:
    lines: list[str] = []
    conclude([WHOLE], lines.append)
    assert lines == ["\n  0 of 1 requests failed, 0 streams were cut off; the slowest took 2.0 s"]
