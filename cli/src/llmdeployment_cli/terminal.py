"""Text from others, made safe for a terminal."""

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
