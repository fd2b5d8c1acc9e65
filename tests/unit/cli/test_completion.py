"""The words that a shell completes, as kubectl and as each shell asks for them."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.objects import on_its_way
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import candidates, kube, plugin_completion
from llmdeployment_cli.main import app


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    # The program sets them for itself.
    for name in ("_KUBECTL_LLM_COMPLETE", "_TYPER_COMPLETE_FISH_ACTION", "_TYPER_COMPLETE_ARGS"):
        monkeypatch.setenv(name, "")
    with serve(on_its_way(), tmp_path) as found:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        yield monkeypatch


def complete(
    *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-llm", *words])
    plugin_completion.main()
    printed = capsys.readouterr()
    assert printed.err == ""
    return [line.partition("\t")[0] for line in printed.out.splitlines()]


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (["sta"], ["status", ":4"]),
        (["exp"], ["experiment", ":4"]),
        (["experiment", ""], ["chat", ":4"]),
        (["get", ""], ["chat", ":4"]),
        (["get", "chat", ""], [":4"]),
        (["status", ""], ["chat", ":4"]),
        (["status", "ch"], ["chat", ":4"]),
        (["status", "x"], [":4"]),
        (["diff", "chat", ""], ["4", "3", "2", ":4"]),
        (["diff", "chat", "3", ""], ["4", "3", "2", ":4"]),
        (["undo", "chat", "--to", ""], ["4", "3", "2", ":4"]),
        (["promote", "chat", "--arm", ""], ["main", ":4"]),
        (["status", "chat", "--for", ""], ["ready", "available", ":4"]),
        (["simulate", "-f", ""], [":0"]),
        (["--kubeconfig", "/none", "status", ""], [":4"]),
        (["status", "--context", "mars", ""], [":4"]),
        (["status", "it's", ""], [":4"]),
    ],
)
def test_what_kubectl_is_offered(
    words: list[str],
    candidates: list[str],
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert complete(*words, monkeypatch=environment, capsys=capsys) == candidates


def test_a_command_has_a_description(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setattr(sys, "argv", ["kubectl_complete-llm", "promo"])
    plugin_completion.main()

    assert capsys.readouterr().out.splitlines()[0] == "promote\tPromote a canary to its next step."


def test_a_slow_cluster_is_not_waited_for(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = threading.Event()
    environment.setattr(kube, "connect", lambda _: release.wait(60))
    environment.setattr(candidates, "SECONDS", 0.01)
    begun = time.monotonic()

    assert complete("status", "", monkeypatch=environment, capsys=capsys) == [":4"]

    assert time.monotonic() - begun < 30
    release.set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])

    assert done.exit_code == 0
    assert "kubectl-llm" in done.output
    assert "_KUBECTL_LLM_COMPLETE" in done.output or shell == "powershell"


def test_bash_completes_with_its_script(environment: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # because the child reads it
    folder = Path(sys.executable).parent
    script = (
        'eval "$(kubectl-llm completion bash)"; COMP_WORDS=(kubectl-llm status ""); COMP_CWORD=2; '
        '_kubectl_llm_completion kubectl-llm; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "chat\n"
