"""Errors that end a command with a sentence instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from llmdeployment_cli.terminal import strip_controls


class Refusal(Exception):
    """The command cannot be carried out; the message says why and what to do."""


class Conflict(Refusal):
    """Somebody else changed the object after it was read."""


class Unreachable(Refusal):
    """The API server does not answer."""


class Forbidden(Refusal):
    """The user lacks a right."""


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
