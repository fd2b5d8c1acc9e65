"""The command: `kubectl llm`, which kubectl finds as `kubectl-llm` on PATH."""

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from llmdeployment_cli import control, listing, show
from llmdeployment_cli.console import console
from llmdeployment_cli.converse import converse
from llmdeployment_cli.experiment import experiment
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.options import accept_flags
from llmdeployment_cli.simulate import simulate

PROGRAM, VARIABLE = "kubectl-llm", "_KUBECTL_LLM_COMPLETE"
"""The file on PATH, and the variable by which a shell asks it to complete words."""

app = typer.Typer(
    name="kubectl llm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Shell(StrEnum):
    """Shells that can complete words."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"
    powershell = "powershell"


@app.callback()
@accept_flags
def start(flags: Flags) -> None:
    """Show LLMDeployments and control their rollouts.

    kubectl's flags may stand before or behind the command. The later one wins.
    """


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell.", show_default=False)],
) -> None:
    """Print the script by which a shell completes the words after kubectl-llm."""
    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)
    typer.echo(script)


_LOOK, _CONTROL, _TRY, _OTHER = "Look", "Control a rollout", "Try a model", "Other"
for command, panel in (
    (listing.get, _LOOK),
    (show.status, _LOOK),
    (show.history, _LOOK),
    (show.diff, _LOOK),
    (experiment, _LOOK),
    (console, _LOOK),
    (control.promote, _CONTROL),
    (control.pause, _CONTROL),
    (control.resume, _CONTROL),
    (control.abort, _CONTROL),
    (control.retry, _CONTROL),
    (control.undo, _CONTROL),
    (converse, _TRY),
):
    name = "chat" if command is converse else command.__name__
    app.command(name=name, rich_help_panel=panel)(accept_flags(command))
app.command(rich_help_panel=_TRY)(simulate)
app.command(rich_help_panel=_OTHER)(accept_flags(show.version))
app.command(rich_help_panel=_OTHER)(completion)


def main() -> None:
    """Run the command."""
    # Without it no shell is known: `add_completion` would do it, together with options that write into a user's start-up files.
    completion_init()
    app(prog_name="kubectl llm", complete_var=VARIABLE)
