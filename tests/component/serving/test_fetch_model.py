"""The init container's command against a hub on this machine; a process of its own, since `huggingface_hub` reads its address once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support.hub import COMMIT, FILES, Hub
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.component
RIGHT, WRONG = "hf_right", "hf_wrong"
WANTED = {"config.json", "model.safetensors", "tokenizer.json"}


@dataclass
class Fetched:
    code: int
    told: str
    """The termination log."""
    errors: str
    folder: Path

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.name in FILES}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


def fetch(url: str, tmp_path: Path, source: str = "hf://acme/tiny", token: str = "") -> Fetched:
    folder, log = tmp_path / "model", tmp_path / "termination-log"
    folder.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": token,
        "LLMD_TERMINATION_LOG": str(log),
    }
    command = [sys.executable, "-m", "llmdeployment_serving.main", "fetch-model"]
    done = subprocess.run(
        [*command, "--source", source, "--to", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = log.read_text() if log.exists() else ""
    return Fetched(done.returncode, told, done.stderr, folder)


def test_a_model_arrives_with_what_an_engine_reads_and_is_fetched_once(
    hub: Hub, tmp_path: Path
) -> None:
    first = fetch(hub.url, tmp_path)
    assert (first.code, first.told, first.files()) == (0, "", WANTED)
    assert (first.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    hub.downloads.clear()

    assert fetch(hub.url, tmp_path).code == 0
    assert hub.downloads == []


def test_a_commit_and_a_token_are_passed_on(hub: Hub, tmp_path: Path) -> None:
    hub.token = RIGHT

    assert fetch(hub.url, tmp_path, f"hf://acme/tiny@{COMMIT}", token=RIGHT).code == 0


def failure(fetched: Fetched) -> str:
    assert fetched.code == 1
    assert "Traceback" not in fetched.errors
    assert "\n" not in fetched.told
    assert fetched.told in fetched.errors
    return fetched.told


def test_a_revision_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    told = failure(fetch(hub.url, tmp_path, "hf://acme/tiny@nope"))

    assert told == "hf://acme/tiny@nope has no such revision: check spec.model.source"


def test_a_repository_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    told = failure(fetch(hub.url, tmp_path, "hf://acme/missing"))

    expected = "hf://acme/missing@main was not found, or it may need a token"
    assert told == f"{expected} (spec.model.tokenSecretRef)"


def test_a_gated_repository(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    told = failure(fetch(hub.url, tmp_path))

    expected = "hf://acme/tiny@main is gated: accept its licence, and set spec.model.tokenSecretRef"
    assert told == expected


def test_a_token_that_may_not_read_it(hub: Hub, tmp_path: Path) -> None:
    hub.token = RIGHT
    told = failure(fetch(hub.url, tmp_path, token=WRONG))

    expected = "hf://acme/tiny@main was not found, or the token in HF_TOKEN may not read it"
    assert told == f"{expected} (spec.model.tokenSecretRef)"


def test_a_file_that_arrives_cut_is_not_a_model_and_the_next_try_mends_it(
    hub: Hub, tmp_path: Path
) -> None:
    hub.cut = "model.safetensors"
    told = failure(fetch(hub.url, tmp_path))
    assert told.startswith("hf://acme/tiny@main could not be downloaded")
    hub.cut = None

    assert fetch(hub.url, tmp_path).files() == WANTED


def test_no_network(tmp_path: Path) -> None:
    told = failure(fetch(f"http://127.0.0.1:{free_port()}", tmp_path))

    assert told.startswith("hf://acme/tiny@main could not be downloaded (ConnectError")
    assert told.endswith("check the network from this pod to the hub")
