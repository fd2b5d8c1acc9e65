"""The README's first section, word for word on an empty cluster, by the way that it gives without a GPU."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dev.cluster import tools
from dev.demo.kube import REPOSITORY, Kube
from dev.images import OWN
from tests.support.live import Live
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

README = (REPOSITORY / "README.md").read_text()
SECTION = README.split("## On a cluster that you have")[1].split("\n## ")[0]
IN_PLACE = {
    # The images are on the node already, under the name that a registry would give them.
    "registry.example.com/team": OWN[0].reference.partition("/")[0],
    # "Without a GPU ... apply `manifests/samples/simulated.yaml`".
    "-f chat.yaml": "-f manifests/samples/simulated.yaml",
    "service/chat ": "service/simulated ",
    'model="chat"': 'model="simulated"',
}
"""What the README tells a reader to write in place of its own words."""


def read_blocks(language: str) -> list[str]:
    """Return the section's blocks of a language, with the reader's own words in place."""
    found = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    for old, new in IN_PLACE.items():
        found = [block.replace(old, new) for block in found]
    return found


def read_commands() -> list[str]:
    """Return the section's commands, each with its continuation lines."""
    text = "\n".join(read_blocks("console")).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


@pytest.fixture
def empty(kube: Kube) -> Iterator[Kube]:
    """The cluster without our operator and our CRD, as a stranger has it."""
    place = Kube(kube.kubeconfig, "default")
    kube.uninstall_operator()
    kube.run("delete", "crd", "llmdeployments.llmdeployment.dev", "--ignore-not-found")
    yield place
    place.run("delete", "llm", "--all", "--wait")
    Kube(kube.kubeconfig, "llm-system").helm("uninstall", "llm", "--wait")
    kube.run("delete", "crd/llmdeployments.llmdeployment.dev", "namespace/llm-system")
    kube.install_operator()


@pytest.fixture
def environment(kube: Kube, tmp_path: Path) -> dict[str, str]:
    """A shell in which kubectl and helm are on PATH."""
    for name in ("kubectl", "helm"):
        (tmp_path / name).symlink_to(tools.find(name))
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {**os.environ, "KUBECONFIG": str(kube.kubeconfig), "PATH": path}


@contextmanager
def running(command: str, environment: dict[str, str]) -> Iterator[None]:
    """Run a command of the README that does not end by itself."""
    process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=REPOSITORY, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_the_first_section_ends_with_an_answer(empty: Kube, environment: dict[str, str]) -> None:
    images, install, apply, watch, forward = read_commands()
    assert images.startswith("make images REGISTRY=")
    for command in (install, apply):
        subprocess.run(["bash", "-c", command], cwd=REPOSITORY, env=environment, check=True)
    model = Live(empty, "simulated")
    with running(watch, environment):
        model.until_condition("Available", lambda now: now.get("status") == "True", 300)
    (snippet,) = read_blocks("python")
    ask = [sys.executable, "-c", snippet]
    with running(forward, environment):

        def answered() -> str:
            done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=60)
            return done.stdout

        assert "[simulated]" in until(answered, 60, "the snippet prints an answer")
