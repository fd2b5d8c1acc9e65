"""Text from others, made safe for a terminal."""

import typer
from rich.console import Console, RenderableType
from rich.text import Text


def strip_controls(text: str) -> str:
    r"""Return a text without control characters: engines' messages and models' answers may hold any.

    >>> strip_controls("one\ttwo\n\x1b[31mred\x07")
    'one\ttwo\n[31mred'
    """
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def make_text(text: object, style: str = "") -> Text:
    """Return a text for rich that takes brackets literally."""
    return Text(strip_controls(str(text)), style=style)


def print_lines(shown: RenderableType, console: Console | None = None) -> None:
    """Print something; where no terminal reads it, without blanks at the end of a line."""
    console = console or Console()
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())
