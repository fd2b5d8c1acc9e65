"""The command that shows an experiment."""

from typing import Annotated

import typer
from rich.console import Console, RenderableType

from llmdeployment_cli import experiment_picture, kube, live, times
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.options import Name
from llmdeployment_cli.output import DocumentFormat, format_document
from llmdeployment_cli.terminal import print_lines, strip_controls


def experiment(
    flags: Flags,
    name: Name,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")
    ] = False,
    patch: Annotated[
        bool,
        typer.Option(
            "--patch", help="Print the command that ends it and gives the winner all users."
        ),
    ] = False,
    output: Annotated[
        DocumentFormat | None,
        typer.Option("--output", "-o", help="Print a document for programs.", show_default=False),
    ] = None,
) -> None:
    """Show how the arms of an experiment compare with the control."""
    if watch + patch + (output is not None) > 1:
        raise typer.BadParameter("--watch, --patch and --output cannot be combined. Use one.")
    cluster = kube.connect(flags)

    def draw(width: int) -> RenderableType:
        found = kube.get_deployment(cluster, name)
        return experiment_picture.draw_experiment(found, times.read_clock(), width)

    if watch:
        live.watch(draw)
        return
    if output is None and not patch:
        console = Console()
        print_lines(draw(console.width), console)
        return
    found = kube.get_deployment(cluster, name)
    if patch:
        typer.echo(strip_controls(experiment_picture.format_patch(found)))
    elif output is not None:
        typer.echo(format_document(experiment_picture.summarize_experiment(found), output))
