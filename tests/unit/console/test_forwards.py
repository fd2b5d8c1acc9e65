"""Port-forwards are opened once, kept while they are used, and ended; with a kubectl that is a few lines of shell."""

import asyncio
import os
from pathlib import Path

import pytest

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags
from llmdeployment_console import forwards
from llmdeployment_console.forwards import MOST, PortForwards

CHAT = ("shop", "svc/chat-1", 30000)
FORWARDS = "echo 'Forwarding from 127.0.0.1:5 -> 1'; exec tail -f /dev/null"


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of kubectl, which forwards; `calls` beside it has a line for each start."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return write(tmp_path / "kubectl", FORWARDS)


def write(file: Path, script: str) -> Path:
    file.write_text(f'#!/bin/sh\necho "$$ $*" >>{file.parent}/calls\n{script}\n')
    file.chmod(0o755)
    return file


def calls(kubectl: Path) -> list[str]:
    return (kubectl.parent / "calls").read_text().splitlines()


def runs(call: str) -> bool:
    return Path(f"/proc/{call.split(maxsplit=1)[0]}").exists()


async def test_all_who_go_to_one_place_take_one_way(kubectl: Path) -> None:
    ways = PortForwards(Flags(context="test"))
    found = await asyncio.gather(ways.find(CHAT), ways.find(CHAT))
    assert [*found, await ways.find(CHAT)] == ["http://127.0.0.1:5"] * 3
    (call,) = calls(kubectl)
    assert call.split()[1:] == [
        "--context=test",
        "-n",
        "shop",
        "port-forward",
        "svc/chat-1",
        ":30000",
    ]
    assert runs(call)
    await ways.drop(CHAT)
    await ways.drop(CHAT)
    assert not runs(call)
    await ways.find(CHAT)
    assert len(calls(kubectl)) == 2
    ways.close()
    assert not any(map(runs, calls(kubectl)))


async def test_the_way_that_was_not_used_for_longest_ends_first(kubectl: Path) -> None:
    ways = PortForwards(Flags())
    for port in range(1, MOST + 1):
        await ways.find(("shop", "svc/chat", port))
    await ways.find(("shop", "svc/chat", 1))
    await ways.find(("shop", "svc/chat", MOST + 1))
    assert [call.rpartition(":")[2] for call in calls(kubectl) if not runs(call)] == ["2"]
    ways.close()


async def test_a_kubectl_that_fails_or_hangs_is_explained_and_keeps_nobody_else(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = PortForwards(Flags())
    write(kubectl, "echo 'no pods'; exit 1")
    with pytest.raises(Refusal, match="kubectl port-forward ended: no pods"):
        await ways.find(CHAT)
    fifo = kubectl.parent / "fifo"
    os.mkfifo(fifo)
    write(kubectl, f"cat {fifo}; {FORWARDS}")
    monkeypatch.setattr(forwards, "SECONDS", 0.05)
    with pytest.raises(Refusal, match="takes longer than"):
        await ways.find(CHAT)
    monkeypatch.setattr(forwards, "SECONDS", 20)
    write(kubectl, FORWARDS)
    assert await ways.find(("shop", "svc/other", 1)) == "http://127.0.0.1:5"
    # The one that hung goes on, and who comes next has it.
    waiting = asyncio.create_task(ways.find(CHAT))
    await asyncio.to_thread(fifo.write_text, "")
    assert await waiting == "http://127.0.0.1:5"
    ways.close()
    assert not any(map(runs, calls(kubectl)))
