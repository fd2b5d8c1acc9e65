"""`status --wait`: which state ends it, with which exit code."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.cli.objects import NOW, Object, condition, deployment, operator, unseen
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import waiting
from llmdeployment_cli.errors import Refusal, Unreachable
from llmdeployment_cli.main import app
from llmdeployment_cli.picture import describe_progress
from llmdeployment_cli.waiting import Outcome, Target, judge, wait_for
from llmdeployment_operator.api.status import ConditionStatus
from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_accepted,
    build_paused,
    build_refused,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_EVERY", 0.001)


def state(conditions: list[Condition], available: str = "True", lag: int = 0) -> Object:
    """An object with the conditions that the operator gives."""
    found = deployment(
        conditions=[
            *(
                condition(each.type, _STATUSES[each.status], each.reason, each.message)
                for each in conditions
                if each.type != "Available"
            ),
            condition("Available", available, "Serving"),
        ],
        observedGeneration=7 - lag,
    )
    found["metadata"]["generation"] = 7
    return found


_STATUSES = {True: "True", False: "False", None: "Unknown"}
SERVING = build_accepted(serving=True, finding=None, message="Revision 3 serves.", now=NOW)


def finding(reason: Reason, *, serving: bool = False) -> list[Condition]:
    return build_accepted(serving, Finding(reason, "Something."), "Revision 3 serves.", NOW)


def lasting(reason: Reason) -> list[Condition]:
    """The conditions of what has needed somebody's help for a while."""
    return build_accepted(
        serving=False,
        finding=Finding(reason, "Something."),
        message="",
        now=NOW,
        troubled_since=NOW - timedelta(minutes=5),
    )


@pytest.mark.parametrize(
    ("found", "ready", "available"),
    [
        (state(SERVING), Outcome.MET, Outcome.MET),
        (state(SERVING, lag=1), None, None),
        (state(SERVING, available="Unknown"), Outcome.MET, None),
        (state(finding(Reason.LOADING_MODEL), "False"), None, None),
        (state(finding(Reason.CANARY)), None, Outcome.MET),
        (state(finding(Reason.CANARY_PAUSED)), None, Outcome.MET),
        # A node may be added.
        (state(finding(Reason.WAITING_FOR_GPU), "False"), None, None),
        # It may heal: a registry comes back.
        (state(finding(Reason.IMAGE_PULL_FAILED), "False"), None, None),
        (state(lasting(Reason.IMAGE_PULL_FAILED), "False"), Outcome.STUCK, Outcome.STUCK),
        (state(finding(Reason.ROLLED_BACK)), Outcome.STUCK, Outcome.MET),
        (state(finding(Reason.SCALED_TO_ZERO), "False"), Outcome.STUCK, Outcome.STUCK),
        (state(build_refused(Finding(Reason.INVALID_SPEC, "")), "Unknown"), *[Outcome.STUCK] * 2),
        (state(build_refused(Finding(Reason.API_ERROR, "")), "Unknown"), None, None),
        (state(build_refused(Finding(Reason.OPERATOR_ERROR, "")), "Unknown"), None, None),
        (
            state(build_paused(finding(Reason.LOADING_MODEL)), "False"),
            Outcome.STUCK,
            Outcome.STUCK,
        ),
        (unseen(), None, None),
    ],
)
def test_how_a_wait_ends(found: Object, ready: Outcome | None, available: Outcome | None) -> None:
    assert judge(found, Target.Ready) is ready
    assert judge(found, Target.Available) is available


def test_the_targets_are_conditions_of_the_operator() -> None:
    assert ConditionStatus.model_fields["type"]
    assert {target.name for target in Target} <= {each.type for each in build_refused(_ANY)}


_ANY = Finding(Reason.INVALID_SPEC, "")


def script(*answers: Object | Refusal) -> Callable[[], Object]:
    """Return one answer after the other, and the last for ever."""
    left = list(answers)

    def read() -> Object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Refusal):
            raise answer
        return answer

    return read


def wait(*answers: Object | Refusal, seconds: float = 60) -> tuple[Outcome, list[str]]:
    with redirect_stderr(io.StringIO()) as printed:
        outcome, _ = wait_for(script(*answers), describe_progress, Target.Ready, seconds)
    return outcome, printed.getvalue().splitlines()


def test_each_new_sentence_is_a_line() -> None:
    loading = state(finding(Reason.LOADING_MODEL), "False")

    outcome, lines = wait(state(SERVING, lag=1), loading, loading, loading, state(SERVING))

    assert outcome is Outcome.MET
    assert lines == [
        "chat: generation 7 is not observed yet. The status describes generation 6.",
        "chat: LoadingModel: Something.",
        "chat: Serving",
    ]


def test_time_runs_out() -> None:
    outcome, lines = wait(state(finding(Reason.LOADING_MODEL), "False"), seconds=0.01)

    assert (outcome, lines) == (Outcome.TIMED_OUT, ["chat: LoadingModel: Something."])


def test_an_api_server_that_restarts_is_asked_again() -> None:
    away = Unreachable("The API server does not answer.")

    outcome, lines = wait(state(finding(Reason.LOADING_MODEL)), away, state(SERVING))

    assert outcome is Outcome.MET
    assert lines[1] == "The API server does not answer."


@pytest.mark.parametrize(
    "answers",
    [(Unreachable("away"),), (state(finding(Reason.LOADING_MODEL)), Refusal("deleted"))],
    ids=["never read", "deleted"],
)
def test_an_object_that_cannot_be_read_ends_it(answers: tuple[Object | Refusal, ...]) -> None:
    with pytest.raises(Refusal):
        wait(*answers)


@pytest.mark.parametrize(
    ("found", "words", "code"),
    [
        (state(SERVING), [], 0),
        (state(finding(Reason.CANARY)), ["--for", "available"], 0),
        (state(finding(Reason.CANARY)), ["--timeout", "0"], 3),
        (state(finding(Reason.CANARY)), ["--for=ready", "--timeout=10ms"], 3),
        (state(finding(Reason.ROLLED_BACK)), [], 4),
        (unseen(), ["--timeout", "0"], 3),
    ],
)
def test_the_exit_code(found: Object, words: list[str], code: int, tmp_path: Path) -> None:
    found["metadata"]["generation"] = 7
    with serve(found, tmp_path, [operator(NAMESPACES="shop")]) as environment:
        command = ["status", "chat", "--wait", "-o", "json", *words]
        done = CliRunner().invoke(app, command, env=environment)

    assert done.exit_code == code, done.output
    assert json.loads(done.stdout)["generation"] == 7
    assert done.stderr.startswith("chat: ")


def test_an_object_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with serve(deployment(), tmp_path) as environment:
        done = CliRunner().invoke(app, ["status", "other", "--wait"], env=environment)

    assert done.exit_code == 1
    assert "no LLMDeployment other" in done.output


def test_ctrl_c_is_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting.time, "sleep", interrupt)
    with serve(state(finding(Reason.CANARY)), tmp_path) as environment:
        done = CliRunner().invoke(app, ["status", "chat", "--wait"], env=environment)

    assert done.exit_code == 130
