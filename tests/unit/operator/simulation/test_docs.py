"""docs/reference/simulator.md says what is so."""

import re
from pathlib import Path

import pytest
import yaml

from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.spec import profile_for, subject

PAGE = Path("docs/reference/simulator.md").read_text(encoding="utf-8")


def test_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    rows = [f"{at},300,40" for at in range(0, 400, 2)]
    text = "\n".join(["seconds,prompt_tokens,output_tokens", *rows])
    (tmp_path / "traffic.csv").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(program, {})  # noqa: S102  # because it is our own page's

    attainment, replicas = map(float, capsys.readouterr().out.split())
    assert (attainment, replicas >= 1) == (1.0, True)


def test_the_example_can_be_simulated() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    wanted = subject([yaml.safe_load(text)], "the page")

    assert len(wanted.policy.targets) == 2
    assert profile_for(wanted, None).warm_up_seconds == 18


def test_the_table_of_a_profile_is_complete() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([0-9]+) \|", PAGE, re.MULTILINE))

    assert {name: float(value) for name, value in rows.items()} == Profile().model_dump()
