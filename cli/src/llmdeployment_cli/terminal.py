"""Text that others wrote, made fit for a terminal."""

from rich.text import Text


def strip_controls(text: str) -> str:
    r"""Return a text without what would steer the terminal: engines' messages and models' answers may hold anything.

    >>> strip_controls("one\ttwo\n\x1b[31mred\x07")
    'one\ttwo\n[31mred'
    """
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def make_text(text: object, style: str = "") -> Text:
    """Return a text as it is: brackets in it are no markup."""
    return Text(strip_controls(str(text)), style=style)
