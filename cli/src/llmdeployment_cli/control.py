"""The commands that write: what a person decides about a rollout."""

from collections.abc import Callable
from typing import Annotated

import typer

from llmdeployment_cli import history as past
from llmdeployment_cli import kube, patches, times
from llmdeployment_cli.arms import Object
from llmdeployment_cli.candidates import complete_revisions
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.gitops import find_caveat
from llmdeployment_cli.options import ArmName, Name
from llmdeployment_cli.rollout_changes import apply_change, apply_undo


def undo(
    flags: Flags,
    name: Name,
    *,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            help="Revision (default: the one that served before).",
            show_default=False,
            autocompletion=complete_revisions,
        ),
    ] = None,
) -> None:
    """Restore an earlier revision's fields in the spec."""
    before, after, record = apply_undo(kube.connect(flags), name, to)
    if after["metadata"]["generation"] == before["metadata"]["generation"]:
        typer.echo(
            f"The spec of {name} already asks for revision {record.number}. Nothing changed."
        )
        return
    old = {key: before["spec"].get(key, {}) for key in patches.TEMPLATE_FIELDS}
    new = {key: after["spec"].get(key, {}) for key in patches.TEMPLATE_FIELDS}
    changes = past.list_changes(old, new)
    typer.echo(past.describe_undo(before, record, changes, times.read_clock()))
    if who := find_caveat(before):
        typer.echo(who)


def promote(
    flags: Flags,
    name: Name,
    *,
    step: Annotated[
        int | None,
        typer.Option(
            "--step",
            help="Pass steps up to this one (default: the current step).",
            show_default=False,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Skip all remaining steps, and a failed analysis.")
    ] = False,
    arm: ArmName = None,
) -> None:
    """Promote a canary to its next step."""
    if full and step is not None:
        raise typer.BadParameter("--step and --full cannot be combined. Use one of them.")
    if full:
        _annotate(flags, name, lambda found: patches.promote_fully(found, arm))
    else:
        _annotate(flags, name, lambda found: patches.promote(found, arm, step))


def abort(flags: Flags, name: Name, *, arm: ArmName = None) -> None:
    """Abort a rollout: return the canary's traffic to the stable revision."""
    _annotate(flags, name, lambda found: patches.abort(found, arm))


def pause(flags: Flags, name: Name, *, arm: ArmName = None) -> None:
    """Pause a rollout: keep the canary at its current weight."""
    _annotate(flags, name, lambda found: patches.pause(found, arm))


def resume(flags: Flags, name: Name, *, arm: ArmName = None) -> None:
    """Resume a rollout that was paused with `pause`."""
    _annotate(flags, name, lambda found: patches.resume(found, arm))


def retry(flags: Flags, name: Name, *, arm: ArmName = None) -> None:
    """Retry a revision that was rolled back or aborted."""
    _annotate(flags, name, lambda found: patches.retry(found, arm))


def _annotate(flags: Flags, name: str, build: Callable[[Object], patches.Change]) -> None:
    typer.echo(apply_change(kube.connect(flags), name, build).sentence)
