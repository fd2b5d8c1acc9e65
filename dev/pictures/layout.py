"""Where panels and words stand in a picture, in pixels from its upper left corner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dev.pictures.board import COLUMNS, Panel, Row

WIDTH = 1200
"""Pixels from side to side."""
GAP = 8
ROW = 27
"""Pixels of a row of the grid."""
HEADING = 26
"""Pixels of the heading of a row of panels."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Where everything stands.

    Attributes:
        headings: title and upper edge of each row of panels.
        panels: panels with their boxes.
        height: pixels from the top to the bottom.
    """

    headings: tuple[tuple[str, float], ...]
    panels: tuple[tuple[Panel, Box], ...]
    height: float


def place_panels(rows: Sequence[Row], left_out: Iterable[str], top: float) -> Layout:
    """Place the panels one after the other, without those that are left out. A row without panels has no heading.

    Args:
        rows: the rows of a dashboard.
        left_out: titles of panels that are not drawn.
        top: upper edge of the first row, in pixels.
    """
    gone = set(left_out)
    headings, placed = [], []
    for row in rows:
        panels = [panel for panel in row.panels if panel.title not in gone]
        if not panels:
            continue
        headings.append((row.title, top))
        found, top = _flow(panels, top + HEADING)
        placed += found
    return Layout(tuple(headings), tuple(placed), top)


def _flow(panels: Sequence[Panel], top: float) -> tuple[list[tuple[Panel, Box]], float]:
    column = WIDTH / COLUMNS
    placed, left, high = [], 0, 0
    for panel in panels:
        if left + panel.width > COLUMNS:
            left, top, high = 0, top + high * ROW, 0
        box = Box(left * column + GAP / 2, top, panel.width * column - GAP, panel.height * ROW - GAP)  # fmt: skip
        placed.append((panel, box))
        left, high = left + panel.width, max(high, panel.height)
    return placed, top + high * ROW


def wrap_words(words: Sequence[str], width: float, lines: int) -> list[tuple[int, int, float]]:
    """Return line, index and left edge of each word that fits into so many lines; see `estimate_width`.

    >>> wrap_words(["aa", "bb", "cc", "dd"], 70, 2)
    [(0, 0, 0.0), (0, 1, 31.0), (1, 2, 0.0), (1, 3, 31.0)]
    """
    found, line, left = [], 0, 0.0
    for index, word in enumerate(words):
        wide = estimate_width(word)
        if left and left + wide > width:
            line, left = line + 1, 0.0
        if line == lines:
            break
        found.append((line, index, left))
        left += wide
    return found


def estimate_width(word: str) -> float:
    """Return the pixels that a word of a legend takes, with its color before it and a gap after it."""
    return 20 + 5.5 * len(word)
