"""A whole dashboard as a PNG."""

import io
import textwrap
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dev.pictures.ask import Data, Window, flatten, list_moments
from dev.pictures.board import Board
from dev.pictures.layout import WIDTH, place_panels, wrap_words
from dev.pictures.paint import (
    LEGEND_LINE,
    NAMED,
    NORMAL,
    PALE,
    Canvas,
    Event,
    format_time,
    paint_panel,
)

DPI = 100
HEAD, FOOT = 46, 26
"""Pixels above and below the panels."""
EVENT_LINES = 3
COLORS = 256
"""Colors of a picture: half the bytes, and nobody sees it."""
FOOT_LETTERS = 230


def draw_board(
    board: Board, data: Data, window: Window, source: str, left_out: Sequence[str] = ()
) -> bytes:
    """Return a dashboard as PNG. Its foot says who drew it from what.

    Args:
        board: what to draw.
        data: what its queries found.
        window: which time it shows.
        source: where the data are from.
        left_out: titles of panels that are not drawn; the picture says so.
    """
    foot = textwrap.wrap(describe_origin(source, left_out), FOOT_LETTERS)
    events = list_events(board, data, window)
    words = [f"{format_time(event.at)} {event.text}" for event in events]
    placed = wrap_words(words, WIDTH - 90, EVENT_LINES)
    lines = 1 + max(line for line, _, _ in placed) if placed else 0
    layout = place_panels(board.rows, left_out, HEAD + lines * LEGEND_LINE)
    height = layout.height + FOOT + (len(foot) - 1) * LEGEND_LINE
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="#f6f8fa")
    canvas = Canvas(figure, height, window, tuple(events))
    _write_head(canvas, board)
    for line, index, left in placed:
        canvas.write(10 + left, HEAD + line * LEGEND_LINE - 2, words[index], color=events[index].color)  # fmt: skip
    if len(placed) < len(words):
        y = HEAD + (lines - 1) * LEGEND_LINE - 2
        canvas.write(WIDTH - 8, y, f"+{len(words) - len(placed)} more", color=PALE, ha="right")
    for title, top in layout.headings:
        canvas.write(8, top + 13, title, fontsize=NORMAL + 1, fontweight="bold")
    for panel, box in layout.panels:
        paint_panel(canvas, panel, box, flatten(data, panel.title))
    for number, text in enumerate(foot):
        canvas.write(8, layout.height + FOOT / 2 + number * LEGEND_LINE, text, color=PALE)
    return _encode(figure)


def describe_origin(source: str, left_out: Sequence[str]) -> str:
    """Return what a picture is made from.

    >>> describe_origin("a demo", ["Outcome"])
    'Drawn by dev/pictures, not by Grafana, from manifests/dashboards and a demo. Without data there, so left out: Outcome.'
    """
    text = f"Drawn by dev/pictures, not by Grafana, from manifests/dashboards and {source}."
    gone = f" Without data there, so left out: {', '.join(left_out)}."
    return text + gone if left_out else text


def list_events(board: Board, data: Data, window: Window) -> list[Event]:
    """Return the events of all marks, in the order of time."""
    found = [
        Event(at, series.name, NAMED[mark.color])
        for mark in board.marks
        for series in flatten(data, mark.name)
        for at in list_moments(series, window.step)
    ]
    return sorted(found, key=lambda event: event.at)


def _write_head(canvas: Canvas, board: Board) -> None:
    canvas.write(8, 14, board.title, fontsize=12, fontweight="bold")
    canvas.write(8, 32, board.what, fontsize=NORMAL - 0.5, color=PALE)
    times = f"{format_time(canvas.window.start)} to {format_time(canvas.window.end)} UTC"
    canvas.write(WIDTH - 8, 14, times, color=PALE, ha="right")


def _encode(figure: Figure) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    buffer = io.BytesIO()
    small = picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    small.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
