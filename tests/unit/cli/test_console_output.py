"""The pages show what `kubectl llm` prints. Write its output into them anew with LLMD_UPDATE_GOLDEN=1.

A block below `<!-- output: WORLD -->` begins with a command; the lines after it are what the command prints in that world.
A block whose mark ends with `, slow` takes more than ten seconds, and is only run when the pages are written.
"""

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.experiments import priced as priced_experiment
from tests.unit.cli.experiments import won
from tests.unit.cli.objects import (
    NOW,
    Object,
    analysis,
    deployment,
    on_its_way,
    operator,
    priced,
    revision,
    unseen,
)
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import main, times

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md")))
BLOCK = re.compile(
    r"^<!-- output: (?P<world>\w+)(?P<slow>, slow)? -->\n```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$",
    re.MULTILINE,
)
UPDATE = bool(os.environ.get("LLMD_UPDATE_GOLDEN"))
FOUND = [
    (page, block["command"])
    for page in PAGES
    for block in BLOCK.finditer(page.read_text(encoding="utf-8"))
    if UPDATE or not block["slow"]
]


def serving() -> Object:
    """Revision 3 serves, and came from a file."""
    found = deployment(revisions=[revision(2), revision(3, 100, 4, 4)])
    found["metadata"] |= {
        "generation": 3,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    found["spec"]["engine"] = {"args": {"max-model-len": 4096}}
    return found


WORLDS: dict[str, Callable[[], tuple[Object, list[Object]]]] = {
    "canary": lambda: (on_its_way(analysis=analysis()), [operator()]),
    "priced": lambda: (priced(), [operator()]),
    "experiment": lambda: (won(), [operator()]),
    "priced_experiment": lambda: (priced_experiment(), [operator()]),
    "serving": lambda: (serving(), [operator()]),
    "simulation": lambda: (deployment(), []),
    "unwatched": lambda: (unseen(), [operator(NAMESPACES="shop,lab")]),
}
"""The LLMDeployment and the operators that a page's command meets."""


def run(world: str, command: str, page: str, folder: Path) -> str:
    """Return what a command prints in a world; `llm.yaml` is the page's own, recorded traffic that of `bench/data`."""
    for example in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:1]:
        (folder / "llm.yaml").write_text(example, encoding="utf-8")
    for traffic in (REPOSITORY / "bench/data").glob("*.csv.gz"):
        (folder / traffic.name).symlink_to(traffic)
    program, name, *arguments = shlex.split(command)
    assert (program, name) == ("kubectl", "llm")
    found, operators = WORLDS[world]()
    with serve(found, folder, operators) as environment:
        done = CliRunner().invoke(main.app, arguments, env={**environment, "COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("page", "command"), FOUND, ids=[f"{page.name}: {command}" for page, command in FOUND]
)
def test_a_page_shows_what_the_command_prints(
    page: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(times, "read_clock", lambda: NOW)
    text = page.read_text(encoding="utf-8")
    block = next(found for found in BLOCK.finditer(text) if found["command"] == command)

    printed = run(block["world"], command, text, tmp_path)

    if UPDATE:
        before, after = text[: block.start("output")], text[block.end("output") :]
        page.write_text(f"{before}{printed}{after}", encoding="utf-8")
    else:
        assert block["output"] == printed


def test_every_mark_is_followed_by_a_command() -> None:
    marks = sum(page.read_text(encoding="utf-8").count("<!-- output: ") for page in PAGES)

    blocks = sum(len(BLOCK.findall(page.read_text(encoding="utf-8"))) for page in PAGES)
    assert marks == blocks > 0


def test_the_pages_mark_all_output_of_the_command() -> None:
    """A block that begins with `kubectl llm` and goes on with output, and has no mark, would not be held."""
    shown = re.compile(r"(?<!-->\n)^```console\n\$ kubectl llm .*\n(?!\$|```)", re.MULTILINE)

    assert [page.name for page in PAGES if shown.search(page.read_text(encoding="utf-8"))] == []
