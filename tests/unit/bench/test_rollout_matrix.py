"""The rollout matrix judges what clients saw; these are the judgements, and the stand-in it puts in Ray's place."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from bench.plain_runtime import GONE_SECONDS, Cluster
from bench.rollout import matrix, sample, total
from bench.rollout_engine import Vllm, letters_in
from bench.rollout_judge import Answer, Applied, judge_cell

LETTERS = {"1": "A", "2": "B"}
APPLIED = [Applied("A", 0), Applied("B", 10), Applied("A", 30)]
OLD = Answer("ann", 1, 2, 200, "1", "A")
NEW = Answer("ann", 11, 12, 200, "2", "B")


@pytest.mark.parametrize(
    ("answers", "failed", "cut", "wrong", "moved_back"),
    [
        ([OLD, NEW], 0, 0, 0, 0),
        ([replace(OLD, status=503, revision="", said="")], 1, 0, 0, 0),
        ([replace(OLD, status=0, revision="", said="")], 1, 0, 0, 0),
        ([replace(OLD, stream=True, whole=False)], 0, 1, 0, 0),
        ([replace(OLD, stream=True, whole=False, said="")], 0, 1, 0, 0),
        ([replace(OLD, said="B", ended=11)], 0, 0, 1, 0),
        ([replace(OLD, said="AB")], 0, 0, 1, 0),
        ([replace(OLD, said="")], 0, 0, 1, 0),
        ([replace(OLD, revision="3")], 0, 0, 1, 0),
        # B answers before the spec ever had it.
        ([replace(NEW, started=1, ended=9)], 0, 0, 1, 0),
        # The new one, then the old one again: moved back, once per user.
        ([NEW, replace(OLD, started=13, ended=14), replace(OLD, started=15, ended=16)], 0, 0, 0, 1),
        # Two at the same time have no order.
        ([NEW, replace(OLD, started=11.5, ended=14)], 0, 0, 0, 0),
        # Another user.
        ([NEW, replace(OLD, user="bob", started=13, ended=14)], 0, 0, 0, 0),
        # The spec says A again: now B after A is the way back.
        ([NEW, replace(OLD, started=31, ended=32)], 0, 0, 0, 0),
        ([replace(OLD, started=31, ended=32), replace(NEW, started=33, ended=34)], 0, 0, 0, 1),
    ],
)
def test_what_clients_saw_is_counted(
    answers: list[Answer], failed: int, cut: int, wrong: int, moved_back: int
) -> None:
    found = judge_cell(answers, APPLIED, LETTERS)
    assert (found.failed, found.cut, found.wrong, found.moved_back) == (
        failed,
        cut,
        wrong,
        moved_back,
    )
    assert found.clean == (not any((failed, cut, wrong, moved_back)))
    assert found.requests + found.streams == len(answers)


def test_a_real_model_is_known_by_the_length_of_its_prompt() -> None:
    engine = Vllm()
    events = ['{"choices": []}', '{"usage": {"prompt_tokens": 30, "completion_tokens": 9}}']
    assert engine.find_version(events) == "A"
    assert engine.find_version(['{"usage": {"prompt_tokens": 40}}']) == "B"
    assert engine.find_version(['{"usage": {"prompt_tokens": 20}}', "[DONE]"]) == "?"
    assert engine.find_version(['{"choices": []}']) == ""
    assert engine.whole([*events, "[DONE]"], 9)
    assert not engine.whole([*events, "[DONE]"], 10)
    assert not engine.whole(events, 9)


def test_versions_are_known_by_their_words() -> None:
    assert letters_in("[simulated] version-A hello version-A") == "A"
    assert letters_in("[simulated] version-B hello version-A") == "AB"


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_fair(seed: int) -> None:
    chosen = sample(matrix(), 12, seed)
    assert len({cell.name for cell in chosen}) == 12
    assert set(Counter(cell.strategy for cell in chosen).values()) == {4}
    assert set(Counter(cell.sequence for cell in chosen).values()) == {3}
    assert set(Counter(cell.moment for cell in chosen).values()) == {3}
    assert sum(cell.kill for cell in chosen) == 6


def test_totals_are_sums() -> None:
    row = {"requests": 5, "streams": 2, "failed": 1, "cut": 0, "wrong": 0, "moved_back": 3}
    row |= {"longest_wait_seconds": 4, "kill": True}
    found = total([row, {**row, "longest_wait_seconds": 9, "kill": False}])
    assert (found["requests"], found["failed"], found["moved_back"]) == (10, 2, 6)
    assert (found["longest_wait_seconds"], found["operator_killed"]) == (9, 1)


def body(replicas: int, *revisions: str) -> dict[str, Any]:
    user_config = {"revisions": {number: {} for number in revisions}}
    deployment = {"name": "replica", "num_replicas": replicas, "user_config": user_config}
    return {"applications": [{"name": "llm", "deployments": [deployment]}]}


def status(cluster: Cluster, now: float) -> str:
    return str(cluster.document(now)["applications"]["llm"]["status"])


def test_the_stand_in_is_at_rest_once_every_replica_has_the_newest_declaration() -> None:
    cluster = Cluster()
    assert cluster.document(0)["applications"] == {}
    cluster.declare(body(2, "1"), 0)
    assert cluster.answer("10.0.0.1", "idle", 0, 0)["run"]
    assert status(cluster, 0) == "DEPLOYING"
    for address in ("10.0.0.1", "10.0.0.2"):
        assert cluster.answer(address, "running", 1, 1) == {
            "app": cluster.app,
            "version": 1,
            "run": True,
        }
    assert status(cluster, 1) == "RUNNING"
    cluster.declare(body(2, "1"), 1)
    assert status(cluster, 1) == "RUNNING"
    cluster.declare(body(2, "1", "2"), 1)
    assert status(cluster, 1) == "DEPLOYING"
    assert not cluster.answer("10.0.0.3", "idle", 0, 1)["run"]


def test_the_stand_in_drains_the_newest_and_forgets_the_silent() -> None:
    cluster = Cluster()
    cluster.declare(body(2, "1"), 0)
    for address in ("10.0.0.1", "10.0.0.2"):
        cluster.answer(address, "running", 1, 0)
    cluster.declare(body(1, "1"), 1)
    assert not cluster.answer("10.0.0.2", "running", 1, 1)["run"]
    cluster.answer("10.0.0.2", "draining", 2, 1)
    replicas = cluster.document(1)["applications"]["llm"]["deployments"]["replica"]["replicas"]
    assert [r["state"] for r in replicas] == ["RUNNING", "STOPPING"]
    late = 1 + GONE_SECONDS
    assert cluster.answer("10.0.0.2", "idle", 2, late)["run"]
