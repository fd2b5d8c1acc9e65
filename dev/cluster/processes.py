"""Long-lived processes, identified by their recorded pid and start time."""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.cluster.stages import StageError, wait_until


@dataclass(frozen=True)
class Record:
    """A process as it was started.

    Attributes:
        pid: its process id.
        started: its start time in clock ticks since boot. Pids are reused; the pair is unique.
    """

    pid: int
    started: int


def read_start_time(pid: int) -> int | None:
    """Return the start time of a live process, or None if there is none (or only a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in field 2 may hold spaces and brackets: count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def locate_record(folder: Path, name: str) -> Path:
    """Return the file that records the process of this name."""
    return folder / f"{name}.pid"


def find_running(folder: Path, name: str) -> Record | None:
    """Return the recorded process, if it still lives."""
    try:
        record = Record(**json.loads(locate_record(folder, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    reap(record.pid)
    return record if read_start_time(record.pid) == record.started else None


def reap(pid: int) -> None:
    """Collect a dead child; do nothing for other processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def start(
    folder: Path, name: str, command: list[str], log: Path, *, end_with_parent: bool = False
) -> None:
    """Start a process in a session of its own, unless it already runs.

    Args:
        folder: the folder of its record.
        name: its name.
        command: the program and its arguments.
        log: the file that its output is appended to.
        end_with_parent: whether the kernel ends it when the calling process ends for any reason.
    """
    if find_running(folder, name):
        return
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    if end_with_parent and (setpriv := shutil.which("setpriv")):
        command = [setpriv, "--pdeathsig", "KILL", *command]
    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    # The record identifies it from here on; without this line Python warns about a child that is still running.
    child.returncode = 0
    started = read_start_time(child.pid)
    if started is None:
        raise StageError(f"{name} ended right after its start", log=log)
    locate_record(folder, name).write_text(json.dumps(asdict(Record(child.pid, started))))


def stop(folder: Path, name: str, *, seconds: float = 10) -> None:
    """Stop a process: send SIGTERM, wait `seconds`, then kill it. Do nothing if it does not run."""
    if record := find_running(folder, name):
        send(record.pid, signal.SIGTERM)
        try:
            wait_until(lambda: find_running(folder, name) is None, f"{name} ends", seconds=seconds)
        except StageError:
            send(record.pid, signal.SIGKILL)
            wait_until(lambda: find_running(folder, name) is None, f"{name} is killed", seconds=5)
    locate_record(folder, name).unlink(missing_ok=True)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
