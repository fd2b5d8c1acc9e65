"""Progress for people: one line per stage, and errors that say what to do."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TAIL_LINES = 20
"""Lines of a log that an error shows."""


class StageError(Exception):
    """A stage failed.

    Attributes:
        advice: what the reader can do.
        log: the file whose last lines explain the failure.
    """

    def __init__(self, message: str, *, advice: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.advice = advice
        self.log = log

    def explain(self) -> str:
        """Return the message, the end of the log and the advice, as text for a terminal."""
        parts = [f"error: {self}"]
        if self.log and self.log.exists():
            lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            parts += [f"the end of {self.log}:", *(f"  | {line}" for line in lines)]
        if self.advice:
            parts.append(f"what to do: {self.advice}")
        return "\n".join(parts)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Print the title now and the elapsed time when the block ends."""
    started = time.monotonic()
    print(f"  {title} ", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:  # because an interrupted stage also ends its line; it is raised again
        print(f"failed after {time.monotonic() - started:.1f} s", file=sys.stderr)
        raise
    print(f"{'.' * max(2, 52 - len(title))} {time.monotonic() - started:5.1f} s", file=sys.stderr)


def wait_until(
    predicate: Callable[[], bool],
    what: str,
    *,
    seconds: float,
    advice: str = "",
    log: Path | None = None,
) -> None:
    """Poll until the predicate holds.

    Raises:
        StageError: the predicate does not hold within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise StageError(
                f"gave up after {seconds:.0f} s waiting for: {what}", advice=advice, log=log
            )
        time.sleep(0.05)  # why: polling


def run_logged(
    command: list[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    advice: str = "",
) -> None:
    """Run a program with its output in a log file.

    Raises:
        StageError: the program could not be started, or did not exit with 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=env,
                stdout=out,
                stderr=out,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            raise StageError(f"cannot run {command[0]}: {error}", advice=advice) from error
    if done.returncode:
        raise StageError(f"{command[0]} exited with {done.returncode}", advice=advice, log=log)


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a file lock that all processes of this project on the machine use. It ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  waiting for another process that holds {path}", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
