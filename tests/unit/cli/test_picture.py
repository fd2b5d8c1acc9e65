"""What `kubectl llm status` and `history` print, as files to be read in a review. Renew them with LLMD_UPDATE_GOLDEN=1."""

import io
import os
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from tests.support.evaluations import build_result
from tests.unit.cli.objects import (
    BUDGET,
    COST,
    NOW,
    OVER,
    RECORDS,
    Object,
    analysis,
    condition,
    deployment,
    on_its_way,
    revision,
)

from llmdeployment_cli.history import list_entries, read_records
from llmdeployment_cli.picture import draw_history, draw_status
from llmdeployment_cli.terminal import print_lines
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import RevisionStatus, Status
from llmdeployment_operator.api.status_document import dump_status
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.answers import read_answers
from llmdeployment_operator.plan.rollout.canary import plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.evaluation_result import EvaluationResult, build_row
from llmdeployment_operator.plan.rollout.golden_comparison import compare_results
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.types import RolloutInputs
from llmdeployment_operator.plan.status.shares import build_shares

GOLDEN = Path(__file__).parent / "golden"

ARMS = [
    {
        "name": "control",
        "weight": 90,
        "stable": 3,
        "warm": [{"revision": 2, "until": "2026-11-24T12:04:05Z"}],
    },
    {
        "name": "terse",
        "weight": 10,
        "stable": 4,
        "canary": 6,
        "canaryWeight": 5,
        "canaryReady": 2,
        "step": 1,
        "attempt": 2,
    },
]

ROLLED_BACK = plan_step(
    RolloutSpec(),
    RolloutInputs(
        stable=3,
        target=4,
        weight=0,
        ready={},
        alive={3: 1},
        answered={3},
        applied=True,
        replicas=1,
        lacking="The engine fails in a replica. It says: [simulated] \x1b[31mout of memory.",
    ),
    RolloutState(stable=3, canary=4, progress_at=NOW - timedelta(hours=1)),
    Commands(),
    NOW,
).stage
assert ROLLED_BACK is not None
REJECTION = ROLLED_BACK.message
"""As the operator writes it."""


def evaluated(good: str, contents: str = "5ee") -> EvaluationResult:
    """The result of an evaluation with these answers."""
    passed = good.count("1")
    answers = read_answers(build_result(good, contents), passed, len(good))
    return EvaluationResult("set", 1, "2026-11-24T11:30:00Z", passed, len(good), "", answers)


BEFORE, AFTER = evaluated("1" * 98 + "00"), evaluated("00001" + "1" * 93 + "10")
POLICY = EvaluationSpec.model_validate({"golden": {"configMapRef": {"name": "questions"}}})
COMPARED = dump_status(
    Status(
        revisions=(
            RevisionStatus(
                name="x",
                number=4,
                hash="x",
                runtime="x",
                evaluation=build_row(AFTER).model_copy(
                    update={"comparison": compare_results(POLICY, BEFORE, AFTER, 3)}
                ),
            ),
        )
    )
)["revisions"][0]["evaluation"]
"""As the operator writes it."""
BROKEN = {"golden": "set", "attempt": 1, "message": "key golden.jsonl, line 3: is not JSON"}


def share(name: str, total: int, bad: int) -> Object:
    """Return the row of a share as the operator writes it."""
    counts = {3: {CountKey(name): Counts(total, bad)}}
    (row,), _ = build_shares(ClusterState(recent=counts), 3, None, NOW)
    return row.model_dump(mode="json", by_alias=True)


STATUSES: dict[str, Object] = {
    "serving": deployment(),
    "canary": on_its_way(analysis=analysis()),
    "passed": on_its_way(analysis=analysis("Pass", None)),
    "rolled-back": deployment(
        {
            "name": "main",
            "weight": 100,
            "stable": 3,
            "rejected": {
                "revision": 4,
                "attempt": 1,
                "at": "2026-11-24T11:30:00Z",
                "message": REJECTION,
            },
        },
        conditions=[
            condition("Accepted", "True", "Accepted"),
            condition("Progressing", "False", "RolledBack", REJECTION),
            condition("Ready", "False", "RolledBack", REJECTION),
            condition("Degraded", "True", "RolledBack", REJECTION),
        ],
    ),
    "leaving": deployment(
        {"name": "main", "weight": 100, "stable": 3, "canary": 4, "canaryWeight": 25}
    ),
    "arms": deployment(
        *ARMS,
        revisions=[
            revision(2, 0, 4, 4),
            revision(3, 90, 4, 4),
            revision(4, 9, 1, 1),
            revision(6, 1, 1, 2),
        ],
        traffic="control rev3 90% terse rev4 9% rev6 1%",
    ),
    "cost": deployment(
        *ARMS, cost=COST, conditions=[*deployment()["status"]["conditions"], BUDGET]
    ),
    "cost-over": deployment(
        cost={**COST, "monthToDate": "1000", "budgetPercent": 100, "revisions": []},
        conditions=[*deployment()["status"]["conditions"], OVER],
    ),
    "cost-new": deployment(cost={"currency": "EUR", "month": "2026-11"}),
}

STATUSES["shares"] = on_its_way()
STATUSES["shares"]["status"]["revisions"] = [
    {**revision(2), "shares": [share("refusal", 9, 3)]},
    {**revision(3, 75, 4, 4), "shares": [share("refusal", 1234, 15), share("invalidJson", 0, 0), share("pattern/brand", 1230, 1)]},
    {**revision(4, 25, 1, 1), "shares": [share("refusal", 0, 0)]},
]  # fmt: skip  # because a line each is easier to read
STATUSES["evaluated"] = on_its_way()
STATUSES["evaluated"]["status"]["revisions"] = [
    {**revision(2), "evaluation": {"score": 50, "passed": 1, "total": 2}},
    {**revision(3, 75, 4, 4), "evaluation": BROKEN},
    {**revision(4, 25, 1, 1), "evaluation": COMPARED},
]


def printed(shown: RenderableType, width: int) -> str:
    """Return what a pipe gets, whose lines have no blanks at the end."""
    with redirect_stdout(io.StringIO()) as out:
        print_lines(shown, Console(width=width, force_terminal=False))
    assert all(line == line.rstrip() for line in out.getvalue().splitlines())
    return out.getvalue()


def same_as_golden(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STATUSES)
def test_the_picture_of_a_status(name: str) -> None:
    same_as_golden(f"status-{name}", printed(draw_status(STATUSES[name], NOW, 100), 100))


@pytest.mark.parametrize("width", [50, 80])
@pytest.mark.parametrize("name", ["arms", "canary", "cost", "rolled-back", "shares"])
def test_the_picture_fits_a_narrow_terminal(name: str, width: int) -> None:
    text = printed(draw_status(STATUSES[name], NOW, width), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    same_as_golden(f"status-{name}-{width}", text)


@pytest.mark.parametrize("width", [50, 80])
def test_the_history_fits_a_narrow_terminal(width: int) -> None:
    found = list_entries(on_its_way(), read_records(RECORDS))
    text = printed(draw_history(found, NOW, width), width)
    assert max(map(len, text.splitlines())) <= width
    same_as_golden(f"history-{width}", text)


def test_the_table_of_a_history() -> None:
    found = list_entries(on_its_way(), read_records(reversed(RECORDS)))
    same_as_golden("history", printed(draw_history(found, NOW, 100), 100))


def test_a_message_cannot_steer_the_terminal() -> None:
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    console.print(draw_status(STATUSES["rolled-back"], NOW, 100))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()


def test_the_documentation_shows_the_picture_as_it_is() -> None:
    page = Path("docs/reference/cli.md").read_text(encoding="utf-8")
    for name in ("status-canary", "history"):
        assert (GOLDEN / f"{name}.txt").read_text(encoding="utf-8") in page
