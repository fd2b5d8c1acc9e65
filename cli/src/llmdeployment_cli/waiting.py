"""Waiting for a condition, with an exit code for pipelines."""

import time
from collections.abc import Callable
from enum import IntEnum, StrEnum

import typer

from llmdeployment_cli.arms import Object, get_name
from llmdeployment_cli.errors import Unreachable
from llmdeployment_cli.terminal import strip_controls

_EVERY = 1.0
"""Seconds between two reads."""


class Target(StrEnum):
    """What can be waited for; the name is that of the condition."""

    Ready = "ready"
    Available = "available"


class Outcome(IntEnum):
    """How a wait ended, as the exit code."""

    MET = 0
    TIMED_OUT = 3
    STUCK = 4


def judge(deployment: Object, target: Target) -> Outcome | None:
    """Return how waiting for a condition ends, or None while it may still come true.

    Only conditions of the newest generation count: those of an earlier one describe an earlier spec.
    """
    status = deployment.get("status") or {}
    generation = deployment["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return None
    found = {
        each["type"]: each
        for each in status.get("conditions") or ()
        if each.get("observedGeneration", generation) >= generation
    }
    values = {kind: each.get("status") for kind, each in found.items()}
    if values.get(target.name) == "True":
        return Outcome.MET
    if values.get("Stalled") == "True" or _needs_change(found):
        return Outcome.STUCK
    return None


def wait_for(
    read: Callable[[], Object],
    describe: Callable[[Object], str],
    target: Target,
    seconds: float,
) -> tuple[Outcome, Object]:
    """Read an object until a condition is true or cannot come true, and return how it ended and the object.

    Args:
        read: reads the object.
        describe: says what the object waits for. A new sentence goes to stderr.
        target: the condition.
        seconds: how long to wait.

    Raises:
        Refusal: the object cannot be read. Once it was read, an API server that does not answer is asked again.
    """
    end = time.monotonic() + seconds
    found, said = read(), ""
    while True:
        if (sentence := strip_controls(f"{get_name(found)}: {describe(found)}")) != said:
            typer.echo(sentence, err=True)
            said = sentence
        outcome = judge(found, target)
        if outcome is not None:
            return outcome, found
        left = end - time.monotonic()
        if left <= 0:
            return Outcome.TIMED_OUT, found
        time.sleep(min(_EVERY, left))
        try:
            found = read()
        except Unreachable as error:
            typer.echo(strip_controls(str(error)), err=True)


def _needs_change(found: dict[str, Object]) -> bool:
    """Return whether nothing moves because the spec says so: only a change of the spec goes on from there."""
    return found.get("Progressing", {}).get("reason") in {"Paused", "ScaledToZero"}
