"""`get`, and what `-o` prints."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli.objects import NOW, deployment, on_its_way, unseen
from tests.unit.cli.scripted_cluster import serve
from typer.testing import CliRunner

from llmdeployment_cli import times
from llmdeployment_cli.main import app


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "read_clock", lambda: NOW)


def run(tmp_path: Path, *words: str, found: Any = None) -> tuple[int, str, str]:
    with serve(found or on_its_way(), tmp_path) as environment:
        done = CliRunner().invoke(app, list(words), env=environment)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "heads", "cells"),
    [
        (["get"], "NAME READY UP-TO-DATE AVAILABLE REASON TRAFFIC AGE", ["chat", "Analyzing"]),
        (["get", "chat"], "NAME READY UP-TO-DATE AVAILABLE REASON TRAFFIC AGE", ["chat"]),
        (
            ["get", "-o", "wide"],
            "NAME READY UP-TO-DATE AVAILABLE REASON TRAFFIC AGE MODEL SOURCE ENDPOINT",
            ["pvc://models/chat", "http://chat.shop/v1"],
        ),
        (
            ["get", "-A"],
            "NAMESPACE NAME READY UP-TO-DATE AVAILABLE REASON TRAFFIC AGE",
            ["shop", "chat"],
        ),
    ],
)
def test_the_columns_are_those_of_the_server(
    words: list[str], heads: str, cells: list[str], tmp_path: Path
) -> None:
    code, out, _ = run(tmp_path, *words)

    head, row = out.splitlines()
    assert code == 0
    assert head.split() == heads.split()
    for cell in cells:
        assert cell in row.split()
    assert all(line == line.rstrip() for line in out.splitlines())


def test_columns_without_a_value_are_empty(tmp_path: Path) -> None:
    _, out, _ = run(tmp_path, "get", found=unseen())

    assert out.splitlines()[1].split() == ["chat", "2d2h"]


def test_an_object_is_printed_as_kubectl_does(tmp_path: Path) -> None:
    found = deployment()
    found["metadata"]["managedFields"] = [{"manager": "kubectl"}]

    _, one, _ = run(tmp_path, "get", "chat", "-o", "json", found=found)
    _, all_, _ = run(tmp_path, "get", "-o", "yaml", found=found)
    _, name, _ = run(tmp_path, "get", "-o", "name", found=found)

    found["metadata"].pop("managedFields")
    assert json.loads(one) == found
    assert yaml.safe_load(all_) == {
        "apiVersion": "v1",
        "kind": "List",
        "items": [found],
        "metadata": {},
    }
    assert name == "llmdeployment.llmdeployment.dev/chat\n"


def test_what_is_there_is_printed_beside_what_is_not(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "get", "chat", "other")

    assert code == 1
    assert len(out.splitlines()) == 2
    assert err == (
        "kubectl llm: no LLMDeployment other in namespace shop. Choose another namespace with -n.\n"
    )


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_document_of_a_status(form: str, tmp_path: Path) -> None:
    found = on_its_way()
    found["metadata"]["generation"] = 5
    found["status"]["observedGeneration"] = 4

    code, out, _ = run(tmp_path, "status", "chat", "-o", form, found=found)

    status = found["status"]
    assert code == 0
    assert (json.loads(out) if form == "json" else yaml.safe_load(out)) == {
        "name": "chat",
        "namespace": "shop",
        "generation": 5,
        "observedGeneration": 4,
        "url": "http://chat.shop/v1",
        "conditions": status["conditions"],
        "arms": status["arms"],
        "revisions": status["revisions"],
    }


def test_the_document_of_an_object_that_nobody_acted_on_has_the_same_keys(tmp_path: Path) -> None:
    _, out, _ = run(tmp_path, "status", "chat", "-o", "json", found=unseen())

    assert json.loads(out) == {
        "name": "chat",
        "namespace": "shop",
        "generation": 0,
        "observedGeneration": 0,
        "url": None,
        "conditions": [],
        "arms": [],
        "revisions": [],
    }
