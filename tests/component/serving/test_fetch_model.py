"""The init container's command against servers on this machine; a process of its own, since `huggingface_hub` reads its address once.

The hub is a stand-in (tests/support/hub.py); `huggingface_hub`, which speaks to it, is the real one.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.hub import COMMIT, FILES, NEXT_COMMIT, Hub
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.component
RIGHT, WRONG = "hf_right", "hf_wrong"
WANTED = {"config.json", "model.safetensors", "tokenizer.json"}
LARGE = {**FILES, "model.safetensors": bytes(range(256)) * 65536}
"""A model of 16 MiB."""
PICKLED = {"config.json": b"{}", "pytorch_model.bin": b"weights"}


@dataclass
class Fetched:
    code: int
    told: str
    """The termination log."""
    errors: str
    folder: Path

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.name in FILES}

    def report(self) -> dict[str, Any]:
        assert self.code == 0, self.errors
        return dict(json.loads(self.told))


@dataclass
class Fetch:
    """A process that fetches, as the init container of a pod."""

    process: subprocess.Popen[str]
    log: Path
    folder: Path

    def finish(self) -> Fetched:
        _, errors = self.process.communicate(timeout=60)
        told = self.log.read_text() if self.log.exists() else ""
        return Fetched(self.process.returncode, told, errors, self.folder)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


def start(
    root: Path, source: str, environment: dict[str, str], *arguments: str, pod: str = "pod"
) -> Fetch:
    home = root / pod
    folder, log = home / "model", home / "termination-log"
    home.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    whole = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_HOME": str(home / "home"),
        "LLMD_TERMINATION_LOG": str(log),
        "LLMD_POD_UID": pod,
        **environment,
    }
    command = [sys.executable, "-m", "llmdeployment_serving.main", "fetch-model"]
    process = subprocess.Popen(
        [*command, "--source", source, "--to", str(folder), *arguments],
        env=whole,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Fetch(process, log, folder)


def fetch(
    url: str, tmp_path: Path, source: str = "hf://acme/tiny", token: str = "", **more: str
) -> Fetched:
    environment = {"HF_ENDPOINT": url, "HF_TOKEN": token, **more}
    return start(tmp_path, source, environment).finish()


def test_a_model_arrives_with_what_an_engine_reads_and_is_fetched_once(
    hub: Hub, tmp_path: Path
) -> None:
    first = fetch(hub.url, tmp_path)
    assert first.report() == {"source": "hf://acme/tiny@main", "commit": COMMIT}
    assert first.files() == WANTED
    assert (first.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    hub.sent.names.clear()

    assert fetch(hub.url, tmp_path).code == 0
    assert hub.sent.names == []


def test_a_commit_and_a_token_are_passed_on(hub: Hub, tmp_path: Path) -> None:
    hub.token = RIGHT

    assert fetch(hub.url, tmp_path, f"hf://acme/tiny@{COMMIT}", token=RIGHT).code == 0


def test_a_later_replica_gets_the_commit_that_the_first_one_found(hub: Hub, tmp_path: Path) -> None:
    hub.main = NEXT_COMMIT
    found = fetch(hub.url, tmp_path, LLMD_MODEL_PIN=COMMIT)
    assert found.report()["commit"] == COMMIT


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


def test_connections_that_break_bring_the_file_in_the_end(hub: Hub, tmp_path: Path) -> None:
    hub.cut = "model.safetensors"

    assert fetch(hub.url, tmp_path).files() == WANTED
    assert hub.sent.bytes == sum(len(FILES[name]) for name in WANTED)


def test_a_file_that_is_cut_at_the_hub_is_not_a_model_and_the_next_try_mends_it(
    hub: Hub, tmp_path: Path
) -> None:
    hub.short = "model.safetensors"
    told = failure(fetch(hub.url, tmp_path))
    assert told.startswith("model.safetensors of hf://acme/tiny@main arrived with")
    hub.short = None

    assert fetch(hub.url, tmp_path).files() == WANTED


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_not_a_model_and_the_next_try_mends_it(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    hub.damaged = name
    told = failure(fetch(hub.url, tmp_path))
    assert told.startswith(f"{name} of hf://acme/tiny@main is not what it should be")
    hub.damaged = None

    assert fetch(hub.url, tmp_path).files() == WANTED


def test_another_commit_into_the_same_folder_replaces_what_differs(
    hub: Hub, tmp_path: Path
) -> None:
    assert fetch(hub.url, tmp_path).code == 0
    changed = b'{"architectures": ["LlamaForCausalXY"]}'
    assert len(changed) == len(FILES["config.json"])
    hub.main, hub.content["config.json"] = NEXT_COMMIT, changed
    hub.sent.names.clear()
    found = fetch(hub.url, tmp_path, f"hf://acme/tiny@{NEXT_COMMIT}")
    assert (found.folder / "config.json").read_bytes() == changed
    assert hub.sent.names == ["config.json"]


def test_pickles_are_refused_unless_the_spec_says_otherwise(tmp_path: Path) -> None:
    with Hub(PICKLED) as hub:
        told = failure(fetch(hub.url, tmp_path))
        assert "has its weights as pickle files only (pytorch_model.bin)" in told
        assert told.endswith("or set spec.model.allowPickle")
        assert fetch(hub.url, tmp_path, LLMD_ALLOW_PICKLE="true").code == 0


def test_no_network(tmp_path: Path) -> None:
    told = failure(fetch(f"http://127.0.0.1:{free_port()}", tmp_path))

    assert told.startswith("hf://acme/tiny@main could not be downloaded (ConnectError")
    assert told.endswith("check the network from this pod to the hub")


# The cache of a node.


def cached(hub: Hub, tmp_path: Path, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "LLMD_MODEL_CACHE": str(tmp_path / "cache"), **more}


def check(fetched: Fetched, content: dict[str, bytes]) -> None:
    assert fetched.code == 0, fetched.errors
    for name in WANTED:
        assert (fetched.folder / name).read_bytes() == content[name]


def test_three_replicas_at_once_are_one_download(tmp_path: Path) -> None:
    with Hub(LARGE) as hub:
        given = cached(hub, tmp_path)
        pods = [start(tmp_path, "hf://acme/tiny", given, pod=f"pod-{n}") for n in range(3)]
        for pod in pods:
            check(pod.finish(), LARGE)
        assert hub.sent.bytes == sum(len(LARGE[name]) for name in WANTED)
        assert sorted(hub.sent.names) == sorted(WANTED)


def test_a_model_of_a_known_commit_needs_no_hub_any_more(tmp_path: Path) -> None:
    with Hub(FILES) as hub:
        given = cached(hub, tmp_path)
        check(start(tmp_path, f"hf://acme/tiny@{COMMIT}", given).finish(), FILES)
    check(start(tmp_path, f"hf://acme/tiny@{COMMIT}", given, pod="second").finish(), FILES)


def wait_for(path: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, f"{path} did not grow to {size}"
        time.sleep(0.01)  # why: another process writes it


@pytest.mark.parametrize("with_cache", [True, False])
def test_a_download_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, *, with_cache: bool
) -> None:
    whole = LARGE["model.safetensors"]
    half = len(whole) // 2
    digest = hashlib.sha256(whole).hexdigest()
    with Hub(LARGE) as hub:
        given = cached(hub, tmp_path) if with_cache else {"HF_ENDPOINT": hub.url}
        hub.stall_at = half
        first = start(tmp_path, "hf://acme/tiny", given)
        part = tmp_path / "cache" / "partial" / f"sha256-{digest}"
        if not with_cache:
            part = first.folder / ".parts" / "model.safetensors"
        wait_for(part, half)
        first.process.kill()
        assert first.finish().code == -9
        hub.stall_at = None
        check(start(tmp_path, "hf://acme/tiny", given).finish(), LARGE)
        twice = hub.sent.bytes - sum(len(LARGE[name]) for name in WANTED)
    # The bytes that the kernel held for the one that was killed.
    assert 0 <= twice <= 0.05 * len(whole)


def test_a_damaged_file_of_the_cache_is_fetched_anew_and_nothing_else(tmp_path: Path) -> None:
    with Hub(FILES) as hub:
        given = cached(hub, tmp_path)
        first = start(tmp_path, "hf://acme/tiny", given).finish()
        blob = (first.folder / "model.safetensors").resolve()
        blob.write_bytes(b"x" + blob.read_bytes()[1:])
        hub.sent.names.clear()
        check(start(tmp_path, "hf://acme/tiny", given, pod="second").finish(), FILES)
        assert hub.sent.names == ["model.safetensors"]


def test_a_model_that_does_not_fit_the_cache_is_told(hub: Hub, tmp_path: Path) -> None:
    given = cached(hub, tmp_path, LLMD_MODEL_CACHE_BYTES="1000")
    told = failure(start(tmp_path, "hf://acme/tiny", given).finish())
    assert told.startswith("hf://acme/tiny@main needs 0.0 GiB, and the model cache lacks")


def test_progress_is_told_while_a_model_arrives(tmp_path: Path) -> None:
    port = free_port()
    with Hub(LARGE) as hub:
        hub.stall_at = len(LARGE["model.safetensors"]) // 2
        pod = start(tmp_path, "hf://acme/tiny", cached(hub, tmp_path, LLMD_PROGRESS_PORT=str(port)))
        digest = hashlib.sha256(LARGE["model.safetensors"]).hexdigest()
        wait_for(tmp_path / "cache" / "partial" / f"sha256-{digest}", hub.stall_at)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/fetch", timeout=10) as answer:
            told = json.load(answer)
        hub.go_on.set()
        check(pod.finish(), LARGE)
    assert told["totalBytes"] == sum(len(LARGE[name]) for name in WANTED)
    assert hub.stall_at <= told["bytes"] < told["totalBytes"]
    assert told["bytesPerSecond"] >= 0
