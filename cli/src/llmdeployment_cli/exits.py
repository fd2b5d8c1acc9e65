"""How a command ends that cannot be carried out."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.terminal import strip_controls


def print_error(error: Refusal) -> None:
    """Print an error to stderr."""
    typer.echo(f"kubectl llm: {strip_controls(str(error))}", err=True)


@contextmanager
def report_errors() -> Iterator[None]:
    """End the program with a sentence and exit code 1 at a `Refusal`, and silently with 130 at Ctrl-C."""
    try:
        yield
    except Refusal as error:
        print_error(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
