"""`kubectl llm simulate --rollout`: what it prints for people and programs, and the sentences for what cannot be rehearsed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result as Ran
from tests.unit.cli.test_picture import same_as_golden
from tests.unit.operator.rehearsal.rollouts import document
from typer.testing import CliRunner

from llmdeployment_cli.main import app

Rehearse = Callable[..., Ran]

ANALYSIS = {
    "metrics": [{"name": "errorRate"}, {"name": "ttft", "milliseconds": 500}],
    "minDuration": "1m",
}
ROLLOUT = {
    "strategy": "Canary",
    "steps": [
        {"weight": 25, "pause": {"duration": "3m"}, "analysis": True},
        {"weight": 50, "pause": {"duration": "2m"}},
    ],
    "analysis": ANALYSIS,
}
SPEC = document(**ROLLOUT)


def write(**rollout: Any) -> None:
    """Write another rollout; a field of None is left out."""
    kept = {name: value for name, value in {**ROLLOUT, **rollout}.items() if value is not None}
    changed = {**SPEC, "spec": {**SPEC["spec"], "rollout": kept}}
    Path("new.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearse:
    """Runs the command in a folder with a new.yaml: few runs, many requests, users who are not alike."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write()

    def run(*words: str) -> Ran:
        base = ["--rollout", "new.yaml", "--trace", "poisson:rate=12,seconds=240"]
        short = ["--runs", "3", "--correlation", "0", "--users", "900", "--warm-up", "30"]
        return CliRunner().invoke(app, ["simulate", *base, *short, *words])

    return run


def test_for_people(rehearse: Rehearse) -> None:
    ran = rehearse("--harm", "errors=8", "--harm", "outputTokens=2x")

    assert ran.exit_code == 0, ran.output
    same_as_golden("rehearsal", ran.stdout)


def test_for_people_who_compare_nothing(rehearse: Rehearse) -> None:
    write(analysis=None, steps=[{"weight": 10, "pause": {}}], maxSurge=1)
    ran = rehearse("--harm", "errors=8")

    assert ran.exit_code == 0, ran.output
    same_as_golden("rehearsal-bare", ran.stdout)


def test_why_a_rollout_without_harm_ends_badly(rehearse: Rehearse) -> None:
    write(progressDeadlineSeconds=30)
    late = rehearse("--warm-up", "60")
    write()
    few = rehearse("--trace", "poisson:rate=0.05,seconds=900")

    assert (
        "Rolled back without harm, for example: Revision 2 was rolled back. 0 of 1" in late.stdout
    )
    assert "Undecided without harm, for example: Step 1 of 3: revision 2 gets 25 %." in few.stdout


def test_for_programs(rehearse: Rehearse) -> None:
    ran = rehearse("-o", "json")
    found = json.loads(ran.stdout)

    assert list(found) == [
        "name",
        "strategy",
        "trace",
        "assumed",
        "runs",
        "seed",
        "replicas",
        "accelerators",
        "canaries",
        "notes",
    ]
    same, errors, slow = found["canaries"]
    assert [each["harm"] for each in (same, errors, slow)] == ["none", "errors=5", "ttft=2x"]
    assert same["runs"] == {"promoted": 3, "rolledBack": 0, "undecided": 0}
    assert same["falseAlarm"] == {"share": 0.0, "low": 0.0, "high": 0.5615}
    assert (same["missed"], errors["falseAlarm"]) == (None, None)
    assert same["secondsToRollback"] is None
    assert slow["missed"]["share"] < 1
    assert slow["usersExposed"]["median"] < same["usersExposed"]["median"]
    assert [step["percent"] for step in same["steps"]] == [25, 50, 100]
    assert found["accelerators"]["nvidia.com/gpu"]["most"] == found["replicas"]["most"] == 8
    assert found["assumed"]["stablePercent"] == {"errorRate": 0.2, "ttft>500ms": 10.0}


def test_the_same_seed_prints_the_same(rehearse: Rehearse) -> None:
    words = ("--harm", "errors=20", "--runs", "1", "-o", "json")
    one, other = rehearse(*words).stdout, rehearse(*words, "--seed", "2").stdout

    assert rehearse(*words).stdout == one != other


BY_ROUTE = {"mode": "HTTPRoute", "httpRoute": {"parentRefs": [{"name": "g"}]}}


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"rollout": {**ROLLOUT, "evaluation": {"golden": {"pvc": "pvc://a/b.jsonl"}}}}, "golden"),
        ({"rollout": {**ROLLOUT, "shadow": {"minAgreementPercent": 80}}}, "The shadow is taken"),
        (
            {"gateway": BY_ROUTE, "rollout": {"strategy": "BlueGreen"}},
            "HTTPRoute",
        ),
        ({"rollout": {"strategy": "BlueGreen"}}, "compares nothing, so no harm would be noticed."),
        (
            {"rollout": {**ROLLOUT, "steps": [{"weight": 25, "pause": {"duration": "1m"}}]}},
            "No step has analysis: true, so a canary without a verdict is promoted as well.",
        ),
    ],
)
def test_the_output_names_each_assumption(
    rehearse: Rehearse, more: dict[str, Any], note: str
) -> None:
    whole = {**SPEC, "spec": {**SPEC["spec"], **more}}
    Path("new.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    ran = rehearse("--harm", "errors=20", "--runs", "1", "-o", "yaml")

    assert ran.exit_code == 0, ran.output
    assert note in " ".join(yaml.safe_load(ran.stdout)["notes"])


def test_a_trace_is_read_and_replayed_faster(rehearse: Rehearse) -> None:
    rows = [f"{at / 5},100,20" for at in range(600)]
    text = "\n".join(["seconds,prompt_tokens,output_tokens", *rows])
    Path("t.csv").write_text(text, encoding="utf-8")
    ran = rehearse("--trace", "t.csv", "--speed", "2", "-o", "json", "--replicas", "6")
    found = json.loads(ran.stdout)

    assert found["trace"]["requestsPerSecond"] == 10
    assert found["trace"]["rounds"] > 1
    assert found["assumed"]["replicas"] == 6


def test_what_is_known_of_the_stable_revision_is_used(rehearse: Rehearse) -> None:
    ran = rehearse("--stable", "ttft=3", "--stable", "errors=0.1", "-o", "yaml")

    assumed = yaml.safe_load(ran.stdout)["assumed"]
    assert assumed["stablePercent"] == {"errorRate": 0.1, "ttft>500ms": 3.0}


ONE = "seconds,prompt_tokens,output_tokens\n1,2,2"


@pytest.mark.parametrize(
    ("files", "words", "sentence"),
    [
        ({}, ("--trace", "none.csv"), "none.csv cannot be read: [Errno 2] No such file"),
        ({"one.csv": ONE}, ("--trace", "one.csv"), "one.csv holds 1 request at one time"),
        ({"new.yaml": "a: ["}, (), "new.yaml is not valid YAML: while parsing"),
        ({"new.yaml": "kind: Secret"}, (), "new.yaml holds no LLMDeployment"),
        ({}, ("--rollout", "none.yaml"), "none.yaml cannot be read"),
        ({}, ("--harm", "speed=2x"), "--harm speed=2x: speed is no metric. Use none, or one of"),
        ({}, ("--stable", "ttft=0"), "--stable ttft=0: '0' is no number above 0"),
        ({}, ("--users", "0"), "--users is 0; it must be from 1 to 100000."),
        ({}, ("--runs", "0"), "--runs is 0; it must be from 1 to 10000."),
        ({}, ("--replicas", "0"), "--replicas is 0; it must be from 1 to 1000."),
        ({}, ("--correlation", "1"), "--correlation is 1; it must be from 0 to below 1"),
        ({}, ("--warm-up", "-1"), "--warm-up is -1; it must be a number of seconds, 0 to 86400."),
        ({}, ("--speed", "0"), "a speed of 0.0 is not above 0"),
        ({}, ("--compare", "--sweep"), "--compare and --sweep cannot be combined with --rollout."),
        ({}, ("-f", "new.yaml"), "--filename cannot be combined with --rollout. Leave one out."),
    ],
)
def test_what_is_wrong_is_one_sentence(
    rehearse: Rehearse, files: dict[str, str], words: tuple[str, ...], sentence: str
) -> None:
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    ran = rehearse(*words)

    assert ran.exit_code == 1
    assert ran.stderr.startswith("kubectl llm: ")
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Give -f FILE to simulate autoscaling, or --rollout FILE to rehearse a rollout."),
        (("-f", "a.yaml", "--harm", "errors=5"), "--harm cannot be combined with --filename."),
        (("-f", "a.yaml", "-o", "json"), "--output cannot be combined with --filename."),
    ],
)
def test_one_thing_at_a_time(words: tuple[str, ...], sentence: str) -> None:
    ran = CliRunner().invoke(app, ["simulate", "--trace", "t.csv", *words])

    assert ran.exit_code == 1
    assert sentence in ran.stderr
