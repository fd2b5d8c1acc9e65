"""Tasks of the real lm-evaluation-harness, asked of the simulated engine as the evaluation's pod asks them, without a network.

lm-eval has 0.6 GB of dependencies, some of which do not fit the development environment's. So it has an environment in the cache, made
from the file that the image is made from.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from dev import tool_env
from dev.cluster.stages import StageError
from tests.support.ports import free_port
from tests.support.simulated_server import run_simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.component, pytest.mark.timeout(900)]

SOURCES = Path(__file__).parents[3] / "serving/src"
USERS = {"revisions": {"1": {}, "2": {"prompt": {"system": "Wrong."}}}}
ECHO: dict[str, Any] = {
    "task": "echo",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "data/echo.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "Repeat this: {{word}}",
    "doc_to_target": "[simulated] Repeat this: {{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
GSM8K = """\
---
configs:
- config_name: main
  data_files:
  - {split: train, path: train.jsonl}
  - {split: test, path: test.jsonl}
---
"""


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return tool_env.ensure("lm-eval", "serving-lm-eval.txt") / "bin/python"
    except StageError as error:
        pytest.skip(reason=f"lm-eval cannot be had here: {error.explain()}")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with run_simulated(USERS) as found:
        yield found


@pytest.fixture(scope="module")
def claim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A claim with a task of 10 questions, of which the simulated engine answers 9 as expected, and with tasks that cannot be asked."""
    folder = tmp_path_factory.mktemp("claim")
    data = folder / "data"
    data.mkdir()
    rows = [{"word": f"w{n}", "answer": "other" if n == 7 else f"w{n}"} for n in range(10)]
    (data / "echo.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lost = {"dataset_kwargs": {"data_files": {"test": "data/lost.jsonl"}}}
    for name, change in {
        "echo": {},
        "again": {"generation_kwargs": {"until": ["w", "\n"], "max_gen_toks": 4}},
        "lost": lost,
        "odds": {"output_type": "loglikelihood"},
        "blank": {"doc_to_text": "{{nothing}}"},
    }.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**ECHO, **change, "task": name}))
    (folder / "both.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["echo", "again"]}))
    shipped = folder / "openai/gsm8k"
    shipped.mkdir(parents=True)
    (shipped / "README.md").write_text(GSM8K)
    for split in ("train", "test"):
        rows = [{"question": f"{n} + {n}?", "answer": f"so\n#### {n + n}"} for n in range(8)]
        (shipped / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def ask(
    python: Path, url: str, claim: Path, tasks: str, *more: str, revision: str = "1"
) -> tuple[int, str]:
    """Return the exit code and the last words of the program, which sees no proxy and no cache of this machine."""
    home = claim.parent / "home"
    home.mkdir(exist_ok=True)
    log = home / "log"
    log.unlink(missing_ok=True)
    options = ("--url", url, "--revision", revision, "--model", "chat", "--golden", str(claim))
    done = subprocess.run(
        [
            str(python),
            *("-m", "llmdeployment_serving.main", "evaluate", *options),
            *("--golden-name", "pvc://sets/tasks", "--lm-eval", tasks, *more),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(SOURCES),
            "LLMD_TERMINATION_LOG": str(log),
        },
        timeout=300,
        check=False,
    )
    return done.returncode, log.read_text(encoding="utf-8").strip()


def result(*arguments: Any, **options: Any) -> dict[str, Any]:
    code, said = ask(*arguments, **options)
    assert code == 0, said
    return dict(json.loads(said))


def test_a_task_of_ones_own_says_which_questions_passed(
    python: Path, url: str, claim: Path
) -> None:
    first = result(python, url, claim, "echo")
    assert (first["score"], first["passed"], first["total"]) == (90, 9, 10)
    assert first["wrong"] == [[8, "echo/7"]]
    assert first["answers"] == "/sA="  # all but the eighth bit
    assert first["failures"] == [
        {
            "id": "echo/7",
            "why": "is '[simulated] Repeat this: w7', not '[simulated] Repeat this: other'",
        }
    ]
    second = result(python, url, claim, "echo", revision="2")
    assert (second["score"], second["contents"]) == (0, first["contents"])
    fewer = result(python, url, claim, "echo", "--limit", "3")
    assert (fewer["passed"], fewer["total"]) == (3, 3)
    assert fewer["contents"] != first["contents"]


def test_a_group_and_a_text_that_ends_the_answer(python: Path, url: str, claim: Path) -> None:
    found = result(python, url, claim, "both", "--limit", "2")
    assert (found["passed"], found["total"]) == (2, 4)
    assert found["failures"][0] == {
        "id": "again/0",
        "why": "is '[simulated] Repeat this:', not '[simulated] Repeat this: w0'",
    }


def test_a_task_that_is_shipped_finds_its_data_on_the_claim(
    python: Path, url: str, claim: Path
) -> None:
    found = result(python, url, claim, "gsm8k", "--limit", "2", "--num-fewshot", "1")
    assert (found["score"], found["total"]) == (0, 2)
    assert [name for _, name in found["wrong"]] == ["gsm8k/0", "gsm8k/1"]


def test_a_revision_that_refuses_is_wrong_and_no_failure_of_the_run(
    python: Path, url: str, claim: Path
) -> None:
    found = result(python, url, claim, "echo", "--limit", "1", revision="9")
    assert found["score"] == 0
    assert found["failures"][0]["why"].startswith("answered 503: ")


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ("nowhere", "task nowhere is neither in pvc://sets/tasks nor one of lm-evaluation-harness"),
        ("lost", "the data of task lost cannot be read: FileNotFoundError: Unable to find"),
        ("arc_easy", "the data of task arc_easy cannot be read: "),
        ("odds", "task odds compares probabilities of texts (loglikelihood)"),
        ("blank", "task blank cannot be loaded: UndefinedError: 'nothing' is undefined."),
    ],
)
def test_an_unusable_task_is_refused_in_one_sentence(
    python: Path, url: str, claim: Path, tasks: str, sentence: str
) -> None:
    code, said = ask(python, url, claim, tasks)
    assert code == 1
    assert said.startswith(sentence)
    assert "\n" not in said


def test_a_revision_that_cannot_be_reached_gives_no_result(python: Path, claim: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    code, said = ask(python, gone, claim, "echo", "--limit", "1")
    assert code == 1
    assert said.startswith(f"revision 1 at {gone} cannot be reached after 5 tries")
