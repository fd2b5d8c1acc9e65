"""The program as the evaluation's pod runs it, against the simulated engine's own server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.simulated_server import PROGRAM, run_simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.component

SYSTEM = {"1": "", "2": "Wrong.", "3": "Answer in one sentence."}
USERS = {"revisions": {n: {"prompt": {"system": s} if s else {}} for n, s in SYSTEM.items()}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with run_simulated(USERS) as found:
        yield found


def run(url: str, golden: Path, log: Path, revision: str = "1", *more: str) -> int:
    options = ("--url", url, "--revision", revision, "--model", "chat", "--golden", str(golden))
    environment = {**os.environ, "LLMD_TERMINATION_LOG": str(log)}
    return subprocess.run(
        [*PROGRAM, "evaluate", *options, *more], env=environment, timeout=100, check=False
    ).returncode


def test_each_revision_is_asked_with_its_own_prompt(url: str, tmp_path: Path) -> None:
    golden, log = tmp_path / "golden.jsonl", tmp_path / "log"
    rows: list[dict[str, Any]] = [
        {
            "id": "echo",
            "prompt": "Paris is the capital",
            "expect": {"regex": r"^\[simulated\] Paris", "contains": ["Paris is"]},
            "parameters": {"max_tokens": 4},
        },
        {"id": "long", "prompt": "a", "expect": {"json": True}, "parameters": {"max_tokens": 2}},
    ]
    golden.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert run(url, golden, log) == 0
    found = json.loads(log.read_text(encoding="utf-8"))
    assert (found["score"], found["passed"], found["total"]) == (50, 1, 2)
    assert found["failures"] == [{"id": "long", "why": "is not JSON: '[simulated] a'"}]
    assert run(url, golden, log, "2") == 0
    found = json.loads(log.read_text(encoding="utf-8"))
    assert found["score"] == 0
    assert found["failures"][0]["why"].startswith("does not match")


def test_a_revision_the_replica_does_not_know_answers_nothing_well(
    url: str, tmp_path: Path
) -> None:
    golden, log = tmp_path / "golden.jsonl", tmp_path / "log"
    golden.write_text('{"prompt": "a", "expect": {"contains": ["a"]}}', encoding="utf-8")
    assert run(url, golden, log, "9") == 0
    found = json.loads(log.read_text(encoding="utf-8"))
    assert found["score"] == 0
    assert "answered 503" in found["failures"][0]["why"]


def test_a_line_that_cannot_be_read_is_the_last_word(url: str, tmp_path: Path) -> None:
    golden, log = tmp_path / "golden.jsonl", tmp_path / "log"
    golden.write_text('\n{"prompt": "a"}\n', encoding="utf-8")
    assert run(url, golden, log, "1", "--golden-name", "key g of ConfigMap c") == 1
    said = log.read_text(encoding="utf-8")
    assert said.startswith("key g of ConfigMap c, line 2: expect must be an object")


def test_the_samples_questions_are_answered_as_they_expect(url: str, tmp_path: Path) -> None:
    sample = Path("manifests/samples/canary-evaluation.yaml").read_text(encoding="utf-8")
    questions = next(d for d in yaml.safe_load_all(sample) if d["kind"] == "ConfigMap")
    golden, log = tmp_path / "golden.jsonl", tmp_path / "log"
    golden.write_text(questions["data"]["golden.jsonl"], encoding="utf-8")
    assert run(url, golden, log, "3") == 0
    assert json.loads(log.read_text(encoding="utf-8"))["score"] == 100
    assert run(url, golden, log, "2") == 0
    assert json.loads(log.read_text(encoding="utf-8"))["score"] == 0
