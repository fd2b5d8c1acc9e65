"""What ends a command with a sentence instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from llmdeployment_cli.terminal import plain


class Refusal(Exception):
    """The command cannot be done; the message says why and what to do."""


class Conflict(Refusal):
    """The object was changed by somebody else since it was read."""


def complain(error: Refusal) -> None:
    """Say on stderr why it cannot be done."""
    typer.echo(f"kubectl llm: {plain(str(error))}", err=True)


@contextmanager
def sentences() -> Iterator[None]:
    """End with a sentence and exit code 1 where a command is refused; quietly at Ctrl-C."""
    try:
        yield
    except Refusal as error:
        complain(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
