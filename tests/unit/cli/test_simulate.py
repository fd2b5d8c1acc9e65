"""`kubectl llm simulate`: what it prints, what it draws, and the sentences for what cannot be simulated."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result as Ran
from rich.console import Console, RenderableType
from tests.unit.cli.test_picture import same_as_golden
from typer.testing import CliRunner

from llmdeployment_cli.main import app
from llmdeployment_cli.simulation import plot
from llmdeployment_cli.simulation.picture import FinishedRun, draw_outcomes, draw_run
from llmdeployment_operator.autoscaler.recommend import ScalingDecision
from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy, Target
from llmdeployment_operator.simulation import generators
from llmdeployment_operator.simulation.generators import fixed_tokens
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.scalers import MadeDecision, fixed
from llmdeployment_operator.simulation.study import Outcome, Setting, outcome
from llmdeployment_operator.simulation.trace import Request

TARGETS = (Target("ttft", 90, 0.5), Target("itl", 95, 0.05))


def setting(*targets: Target) -> Setting:
    def traffic() -> list[Request]:
        stages = [(60.0, 5.0), (60.0, 20.0), (60.0, 5.0)]
        return list(generators.steps(stages, fixed_tokens(500, 100), seed=7))

    profile = Profile(batch_tokens_per_second=700, warm_up_seconds=10, kv_cache_tokens=40_000)
    return Setting(traffic, profile, ScalingPolicy(0, 8, targets))


def scaler(_: Observation, now: float) -> int:
    return 2 if now < 65 else 4 if now < 130 else 1


def shown(price: float | None = 2.5, *targets: Target) -> FinishedRun:
    """A run of a scripted scaler: the law's own decisions are not this test's matter."""
    forwarded = setting(*targets)
    result = forwarded.run(scaler)
    own = outcome("operator", result, targets)
    made = [
        MadeDecision(
            asked.at,
            asked.before,
            ScalingDecision(asked.replicas, "Scripted", f"It is {asked.at:g} s."),
        )
        for asked in result.decisions
    ]
    return FinishedRun("chat", "trace.csv", 4.0, result, own, made, price)


def printed(renderable: RenderableType) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines())


def test_the_picture_of_a_run() -> None:
    same_as_golden("simulate", printed(draw_run(shown(2.5, *TARGETS), 2)))


def test_the_picture_without_targets_and_price() -> None:
    same_as_golden("simulate-bare", printed(draw_run(shown(None), 0)))


def rows() -> list[Outcome]:
    forwarded = setting(*TARGETS)
    runs = {"operator": scaler, "fixed 3": fixed(3), "none": fixed(0)}
    return [outcome(name, forwarded.run(one), TARGETS) for name, one in runs.items()]


def test_scalers_side_by_side() -> None:
    text = printed(draw_outcomes("scaler", rows(), 2.5)) + printed(
        draw_outcomes("scaler", rows()[:2], None)
    )
    same_as_golden("simulate-compare", text)


def test_the_png_has_an_axis_for_load_each_target_and_replicas(tmp_path: Path) -> None:
    run = shown(2.5, *TARGETS)
    axes = plot.draw_figure(run).axes
    plot.write_png(run, tmp_path / "out.png")

    assert [axis.get_ylabel() for axis in axes] == [
        "requests/s",
        "ttft p90, ms",
        "itl p95, ms",
        "replicas",
    ]
    assert axes[1].get_title(loc="right").endswith("within ttft p90 500 ms")
    (paid, ready) = axes[-1].get_lines()
    assert max(paid.get_ydata()) == pytest.approx(4)
    assert max(ready.get_ydata()) == pytest.approx(4)
    assert axes[1].get_lines()[1].get_ydata()[0] == 500.0
    assert (tmp_path / "out.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


Simulate = Callable[..., Ran]

SPEC: dict[str, Any] = {
    "kind": "LLMDeployment",
    "metadata": {"name": "chat"},
    "spec": {
        "engine": {"name": "simulated", "args": {"warm-up-seconds": 5}},
        "scaling": {"maxReplicas": 3, "targets": {"ttft": {"milliseconds": 500}}},
    },
}


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Runs the command in a folder with an llm.yaml and a trace.csv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("llm.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    requests = generators.poisson(4, 120, fixed_tokens(200, 50), seed=1)
    lines = ["seconds,prompt_tokens,output_tokens", *(",".join(map(str, r)) for r in requests)]
    Path("trace.csv").write_text("\n".join(lines), encoding="utf-8")

    def run(*words: str) -> Ran:
        words = words if "--trace" in words else ("--trace", "trace.csv", *words)
        return CliRunner().invoke(app, ["simulate", "-f", "llm.yaml", *words])

    return run


def test_a_run(simulate: Simulate) -> None:
    ran = simulate("--price-per-replica-hour", "3", "--picture", "out.png", "--speed", "2")

    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("chat  ")
    assert "requests of trace.csv, 2 times as fast, in 1m" in ran.stdout
    assert "ttft p90 500 ms" in ran.stdout
    assert "per 1,000 tokens" in ran.stdout
    assert "Wrote the picture to out.png." in ran.stdout
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


EIGHT = {"schedule": "0 8 * * *", "duration": "1h", "minReplicas": 3}


def scheduled() -> None:
    """Three replicas from 8 o'clock on, as long as the trace lasts."""
    scaling = {**SPEC["spec"]["scaling"], "schedules": [EIGHT]}
    text = yaml.safe_dump({**SPEC, "spec": {**SPEC["spec"], "scaling": scaling}})
    Path("llm.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("begins", "most"),
    [("2026-11-24T08:30:00", 3), ("2026-11-24T08:30:00+01:00", 1), ("2026-11-24T09:30:00", 1)],
)
def test_schedules_need_the_time_of_day(simulate: Simulate, begins: str, most: int) -> None:
    scheduled()
    ran = simulate("--begins", begins)

    assert ran.exit_code == 0, ran.output
    assert f"from 1 ready to {most} paid" in ran.stdout


def test_without_the_time_of_day_schedules_are_refused(simulate: Simulate) -> None:
    scheduled()
    ran = simulate()

    assert ran.exit_code == 1
    assert "Give the start of the trace, such as --begins 2026-11-24T08" in ran.stderr


def test_made_up_traffic(simulate: Simulate) -> None:
    ran = simulate("--trace", "poisson:rate=4,seconds=60,prompt=100,output=20")

    assert ran.exit_code == 0, ran.output
    assert "requests of poisson:rate=4,seconds=60,prompt=100,output=20 in " in ran.stdout


def test_others_and_other_targets_beside_it(simulate: Simulate) -> None:
    ran = simulate("--compare", "--sweep")

    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    (compared,) = [number for number, line in enumerate(lines) if line.startswith("SCALER")]
    names = [line.split()[0] for line in lines[compared + 1 : compared + 8]]
    assert names == ["operator", "fixed", "hpa", "kpa", "apa", "llm-d", "clairvoyant"]
    for line, value in zip(lines[-6:], (200, 300, 500, 750, 1000, 1500), strict=True):
        assert line.startswith(f"ttft p90 {value} ms ")


def test_a_profile_and_a_warm_up_are_taken(simulate: Simulate) -> None:
    slow = Profile(prefill_tokens_per_second=100).model_dump_json()
    Path("slow.json").write_text(slow, encoding="utf-8")

    assert "kept" in simulate().stdout
    assert "missed" in simulate("--engine-profile", "slow.json", "--warm-up", "0").stdout


@pytest.mark.parametrize(
    ("files", "words", "sentence"),
    [
        ({}, ("--trace", "none.csv"), "none.csv cannot be read: [Errno 2] No such file"),
        ({"llm.yaml": "a: ["}, (), "llm.yaml is not valid YAML: while parsing"),
        ({"llm.yaml": "kind: Secret"}, (), "llm.yaml holds no LLMDeployment"),
        (
            {"trace.csv": "seconds,prompt_tokens,output_tokens\n1,,2"},
            (),
            "prompt_tokens is missing",
        ),
        ({"trace.csv": "seconds,prompt_tokens,output_tokens\n-1,2,2"}, (), "seconds is -1, before"),
        ({"trace.csv": "when,what\n1,2"}, (), "trace.csv is no trace that is known"),
        ({"p.json": '{"max_num_seqs": 0}'}, ("--engine-profile", "p.json"), "p.json: max_num_seqs"),
        ({}, ("--engine-profile", "p.json"), "p.json cannot be read"),
        ({}, ("--trace", "poisson:rate=0,seconds=9"), "rate is 0, which is not above 0"),
        ({}, ("--speed", "0"), "--speed is 0; it must be a number above 0"),
        ({}, ("--speed", "nan"), "--speed is nan; it must be a number above 0"),
        ({}, ("--warm-up", "-1"), "--warm-up is -1; it must be a number of seconds, 0 or more"),
        ({}, ("--price-per-replica-hour", "inf"), "--price-per-replica-hour is inf; it must be"),
        ({}, ("--picture", "no/folder/out.png"), "no/folder/out.png cannot be written"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    simulate: Simulate, files: dict[str, str], words: tuple[str, ...], sentence: str
) -> None:
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    ran = simulate(*words)

    assert ran.exit_code == 1
    assert ran.stderr.startswith("kubectl llm: ")
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_bar_tells_how_far_it_is(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "run 1" in simulate().stderr


def python(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Another process, since what is imported stays imported."""
    return subprocess.run(
        [sys.executable, "-c", program, *words], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("missing", ["llmdeployment_operator", "matplotlib"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    without = f"import sys; sys.modules[{missing!r}] = None; "
    program = f"{without}from llmdeployment_cli.main import main; main()"
    ran = python(program, "simulate", "-f", "llm.yaml", "--trace", "trace.csv")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("kubectl llm: simulate runs the operator's own code, which is not")
    assert "pip install 'llmdeployment-cli[simulate]'" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_other_commands_do_not_load_the_operator() -> None:
    loaded = python("import sys, llmdeployment_cli.main; print(*sys.modules)").stdout.split()

    assert "llmdeployment_cli.simulate" in loaded
    assert not {"llmdeployment_operator", "matplotlib"} & set(loaded)
