"""What `kubectl llm experiment` prints, as files to be read in a review. Renew them with LLMD_UPDATE_GOLDEN=1."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.experiments import priced, running, shifted, timed_out, won
from tests.unit.cli.objects import NOW, Object, deployment
from tests.unit.cli.scripted_cluster import serve
from tests.unit.cli.test_picture import printed, same_as_golden
from typer.testing import CliRunner, Result

from llmdeployment_cli import main
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.experiment_picture import (
    draw_experiment,
    format_patch,
    summarize_experiment,
)

WORLDS: dict[str, Callable[[], Object]] = {
    "running": running,
    "won": won,
    "priced": priced,
    "shifted": shifted,
    "timed-out": timed_out,
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_picture_of_an_experiment(name: str) -> None:
    same_as_golden(f"experiment-{name}", printed(draw_experiment(WORLDS[name](), NOW, 100), 100))


@pytest.mark.parametrize("name", ["won", "priced"])
@pytest.mark.parametrize("width", [50, 80])
def test_the_picture_fits_a_narrow_terminal(width: int, name: str) -> None:
    text = printed(draw_experiment(WORLDS[name](), NOW, width), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    same_as_golden(f"experiment-{name}-{width}", text)


def test_the_patch_is_a_command_that_a_shell_reads_back() -> None:
    words = shlex.split(format_patch(won()))
    assert words[:-1] == ["kubectl", "patch", "llm", "chat", "-n", "shop", "--type", "json", "-p"]
    assert format_patch(shifted()) == format_patch(won())
    assert json.loads(words[-1]) == [
        {"op": "test", "path": "/spec/arms/1/name", "value": "terse"},
        {"op": "replace", "path": "/spec/arms/1/weight", "value": 100},
        {"op": "remove", "path": "/spec/arms/2"},
        {"op": "remove", "path": "/spec/arms/0"},
        {"op": "remove", "path": "/spec/experiment"},
    ]


def test_programs_get_no_evidence() -> None:
    found = summarize_experiment(won())
    assert (found["outcome"], found["winner"], found["control"]) == ("Winner", "terse", "control")
    assert [arm["name"] for arm in found["arms"]] == ["terse", "kind"]
    assert all(not {"evidence", "growth"} & arm.keys() for arm in found["arms"])
    assert summarize_experiment(running())["endedAt"] is None


def test_without_an_experiment_it_says_what_to_do() -> None:
    waiting = deployment()
    waiting["spec"]["experiment"] = {"control": "a"}
    for found, sentence in (
        (deployment(), "Set spec.experiment"),
        (waiting, "has not begun"),
    ):
        with pytest.raises(Refusal, match=sentence):
            draw_experiment(found, NOW, 100)
    with pytest.raises(Refusal, match=r"no answer \(Running\), so there is no patch"):
        format_patch(running())
    with pytest.raises(Refusal, match=r"no answer \(TimedOut\), so there is no patch"):
        format_patch(timed_out())


def test_what_another_version_wrote_is_shown_as_far_as_it_can_be_read() -> None:
    found = won()
    found["status"]["experiment"] = {"outcome": "Certain", "arms": [{"metrics": [{}]}]}
    assert "Certain" in printed(draw_experiment(found, NOW, 100), 100)


def run(tmp_path: Path, *words: str, found: Object) -> Result:
    with serve(found, tmp_path) as environment:
        return CliRunner().invoke(
            main.app, ["experiment", "chat", "-n", "shop", *words], env=environment
        )


def test_the_command_prints_the_table_the_document_or_the_patch(tmp_path: Path) -> None:
    assert "Winner terse" in run(tmp_path, found=won()).stdout
    assert json.loads(run(tmp_path, "-o", "json", found=won()).stdout) == summarize_experiment(
        won()
    )
    assert run(tmp_path, "--patch", found=won()).stdout == format_patch(won()) + "\n"
    refused = run(tmp_path, "--patch", found=running())
    assert refused.exit_code == 1
    assert "has no answer" in refused.stderr


@pytest.mark.parametrize("words", [["--watch", "--patch"], ["--patch", "-o", "json"]])
def test_two_ways_to_print_are_refused(words: list[str], tmp_path: Path) -> None:
    found = run(tmp_path, *words, found=won())
    assert found.exit_code == 2
    assert "cannot be combined" in found.stderr
