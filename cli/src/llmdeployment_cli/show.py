"""The commands that show one LLMDeployment, and the versions."""

import sys
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.syntax import Syntax

from llmdeployment_cli import history as past
from llmdeployment_cli import kube, live, picture, times, versions, waiting
from llmdeployment_cli.arms import Object, get_name
from llmdeployment_cli.candidates import complete_revisions
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.operators import explain_silence
from llmdeployment_cli.options import ArmName, Name, take_duration
from llmdeployment_cli.output import DocumentFormat, format_document, summarize
from llmdeployment_cli.terminal import make_text, print_lines, strip_controls

_TIMEOUT = 600.0
"""Seconds that --wait waits without --timeout."""

Output = Annotated[
    DocumentFormat | None,
    typer.Option("--output", "-o", help="Print a document for programs.", show_default=False),
]


def status(
    flags: Flags,
    name: Name,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a condition, and exit with 3 or 4 without it.")
    ] = False,
    target: Annotated[
        waiting.Target | None,
        typer.Option(
            "--for",
            help="Condition to wait for: the newest spec serves (ready), or requests are answered.",
            show_default="ready",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            help="How long to wait, such as 90s or 10m.",
            show_default="10m",
            metavar="DURATION",
            parser=take_duration,
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Show what an LLMDeployment waits for, its arms, revisions and conditions."""
    if watch and (wait or output is not None):
        raise typer.BadParameter("--watch cannot be combined with --wait or --output.")
    if not wait and (target is not None or timeout is not None):
        raise typer.BadParameter("--for and --timeout need --wait.")
    cluster = kube.connect(flags)

    def read() -> Object:
        return kube.get_deployment(cluster, name)

    if watch:
        live.watch(lambda width: _draw(cluster, read(), width))
    elif not wait:
        _print_status(cluster, read(), output)
    else:
        outcome, found = waiting.wait_for(
            read,
            lambda deployment: _describe(cluster, deployment),
            target or waiting.Target.Ready,
            _TIMEOUT if timeout is None else timeout,
        )
        _print_status(cluster, found, output)
        raise typer.Exit(outcome)


def history(flags: Flags, name: Name) -> None:
    """List the kept revisions and what changed from one to the next."""
    found, records = read_history(kube.connect(flags), name)
    if not records:
        raise Refusal(
            f"{name} has no revisions yet. `kubectl llm status {name}` shows what it waits for."
        )
    console = Console()
    entries = past.list_entries(found, records)
    print_lines(picture.draw_history(entries, times.read_clock(), console.width), console)


def diff(
    flags: Flags,
    name: Name,
    one: Annotated[
        int,
        typer.Argument(
            metavar="A", help="A revision.", show_default=False, autocompletion=complete_revisions
        ),
    ],
    other: Annotated[
        int | None,
        typer.Argument(
            metavar="[B]",
            help="Another revision (default: the stable one).",
            show_default=False,
            autocompletion=complete_revisions,
        ),
    ] = None,
    *,
    arm: ArmName = None,
) -> None:
    """Show the difference between revisions A and B."""
    found, records = read_history(kube.connect(flags), name)
    to = past.find_serving(found, arm) if other is None else other
    old, new = (past.find_record(found, records, number) for number in (one, to))
    lines = strip_controls(past.format_diff(old, new))
    if not lines:
        typer.echo(f"Revisions {one} and {to} are the same.")
    elif sys.stdout.isatty():
        Console().print(Syntax(lines, "diff", background_color="default", word_wrap=True))
    else:
        typer.echo(lines)


def version(flags: Flags, *, output: Output = None) -> None:
    """Show the versions of this command, the operators and the API."""
    document = versions.build_document(versions.read_client_version())
    try:
        versions.read_versions(kube.connect(flags), document)
    finally:
        # Without a cluster too: the version of this command is known.
        if output is None:
            typer.echo(strip_controls(versions.format_versions(document)))
        else:
            typer.echo(format_document(document, output))


def read_history(cluster: kube.Cluster, name: str) -> tuple[Object, tuple[past.Record, ...]]:
    """Return an LLMDeployment and the records of its revisions."""
    return kube.get_deployment(cluster, name), past.read_records(kube.list_revisions(cluster, name))


def _print_status(cluster: kube.Cluster, deployment: Object, output: DocumentFormat | None) -> None:
    if output is not None:
        typer.echo(format_document(summarize(deployment), output))
        return
    console = Console()
    print_lines(_draw(cluster, deployment, console.width), console)


def _draw(cluster: kube.Cluster, deployment: Object, width: int) -> RenderableType:
    if picture.is_observed(deployment):
        return picture.draw_status(deployment, times.read_clock(), width)
    return make_text(f"{get_name(deployment)}: {explain_silence(cluster)}", "yellow")


def _describe(cluster: kube.Cluster, deployment: Object) -> str:
    if picture.is_observed(deployment):
        return picture.describe_progress(deployment)
    return explain_silence(cluster)
