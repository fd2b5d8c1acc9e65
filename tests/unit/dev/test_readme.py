"""The README's model is valid, and it shows what `kubectl llm status` prints after a change of the prompt."""

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.unit.cli.objects import NOW, Object, condition, deployment, revision
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import main, times
from llmdeployment_operator.api.arms import merge_patch
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.conditions import Condition, build_accepted
from llmdeployment_operator.plan.base.reasons import Reason

REPOSITORY = Path(__file__).resolve().parents[3]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def after_the_patch() -> Object:
    """Revision 2 serves on the pods of revision 1, which is kept warm."""
    ready = build_accepted(True, None, "Revision 2 serves. 1 of 1 replicas are ready.", NOW)
    answered = Condition(
        "Available", True, Reason.SERVING, "Requests are answered by 1 ready replicas."
    )
    rows = [condition(c.type, str(c.status), c.reason, c.message) for c in (*ready, answered)]
    old, new = (
        {**revision(number, traffic, 1, 1), "runtime": "ac4119e4", "createdAt": created}
        for number, traffic, created in (
            (1, 0, "2026-11-24T11:45:00Z"),
            (2, 100, "2026-11-24T11:59:57Z"),
        )
    )
    arm = {
        "name": "main",
        "weight": 100,
        "stable": 2,
        "warm": [{"revision": 1, "until": "2026-11-24T12:04:59Z"}],
    }
    found = deployment(
        arm,
        conditions=rows,
        revisions=[old, new],
        traffic="rev2 100%",
        replicas=1,
        readyReplicas=1,
        ready="1/1",
        endpoint="http://chat.default/v1",
    )
    found["metadata"]["namespace"] = "default"
    return found


def test_the_readme_has_a_valid_model_and_changes_its_prompt() -> None:
    block = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    patch = re.search(r"kubectl patch llm chat .*?-p '(\{.*\})'", README)
    assert block is not None
    assert patch is not None
    model = merge_patch(
        {"metadata": {"namespace": "default", "uid": "u"}}, yaml.safe_load(block[1])
    )
    before, after = parse(model).spec, parse(merge_patch(model, json.loads(patch[1]))).spec

    assert before.prompt != after.prompt
    assert before.model_copy(update={"prompt": after.prompt}) == after


def test_the_readme_sets_values_of_the_chart_and_variables_of_make() -> None:
    chart = REPOSITORY / "charts/llmdeployment-operator/values.yaml"
    values = yaml.safe_load(chart.read_text(encoding="utf-8"))
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")

    assert [key.split(".") for key in re.findall(r"--set ([\w.]+)=", README)] == [
        ["image", "registry"]
    ]
    assert "registry" in values["image"]
    for name in re.findall(r"make images ([A-Z]+)=\S+ ([A-Z]+)=", README)[0]:
        assert f"$(if $({name})," in makefile


def test_every_command_of_the_readme_names_its_namespace() -> None:
    commands = re.findall(r"^\$ ((?:kubectl|helm) .*)$", README, re.MULTILINE)

    assert len(commands) >= 6
    assert [command for command in commands if " -n " not in command] == []


def test_the_readme_shows_the_status_after_a_new_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "read_clock", lambda: NOW)
    with serve(after_the_patch(), tmp_path, []) as environment:
        done = CliRunner().invoke(
            main.app, ["status", "chat", "-n", "default"], env={**environment, "COLUMNS": "100"}
        )

    assert done.exit_code == 0, done.output
    shown, _, conditions = done.stdout.partition("\nCONDITION")
    printed = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    assert f"$ kubectl llm status chat -n default\n{printed}```" in README, printed
    assert "Stalled" in conditions
