"""Each kind of panel, drawn into its box of a figure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from dev.pictures.ask import Series, Window
from dev.pictures.board import Panel
from dev.pictures.layout import WIDTH, Box, wrap_words
from dev.pictures.units import format_value

TEXT, PALE, EDGE = "#24292e", "#6e7781", "#d8dee4"
SMALL, NORMAL = 6.8, 8.5
"""Sizes of letters in points."""
NAMED = {"blue": "#5794f2", "orange": "#ff9830", "green": "#56a64b"}
"""Grafana's names of colors."""
COLORS = tuple(mpl.colormaps["tab20"].colors[0::2] + mpl.colormaps["tab20"].colors[1::2])  # type: ignore[attr-defined]  # because matplotlib types no list of colors
LEGEND_LINES, LEGEND_LINE = 3, 14
TITLE = 22
TRANSPARENT = "transparent"
LABEL_LETTERS = 26
SHORTEST_WORD = 30
"""Pixels that a part of a state needs to show its word."""


@dataclass(frozen=True)
class Event:
    """What is drawn into every panel.

    Attributes:
        at: Unix time in seconds.
        text: what happened.
        color: of its line.
    """

    at: float
    text: str
    color: str


@dataclass(frozen=True)
class Canvas:
    """A figure with its size, and what all panels share."""

    figure: Figure
    height: float
    window: Window
    events: tuple[Event, ...]

    def write(self, x: float, y: float, text: str, **style: Any) -> None:  # noqa: ANN401  # because matplotlib's styles are of any type
        """Write words; x and y are pixels from the upper left corner."""
        words = {"fontsize": SMALL, "color": TEXT, "va": "center", "parse_math": False, **style}
        self.figure.text(x / WIDTH, 1 - y / self.height, text, **words)

    def fill(self, box: Box, color: str, edge: str = "none") -> None:
        """Draw a rectangle."""
        place = (box.x / WIDTH, 1 - (box.y + box.height) / self.height)
        size = (box.width / WIDTH, box.height / self.height)
        self.figure.add_artist(
            Rectangle(place, *size, facecolor=color, edgecolor=edge, linewidth=0.8, zorder=-1)
        )

    def open_axes(self, box: Box) -> Axes:
        """Return axes in a box, with the time from side to side."""
        bottom = 1 - (box.y + box.height) / self.height
        axes = self.figure.add_axes((box.x / WIDTH, bottom, box.width / WIDTH, box.height / self.height))  # fmt: skip
        axes.set_xlim(self.window.start, self.window.end)
        axes.tick_params(labelsize=SMALL, colors=PALE, length=0, pad=2)
        for side in axes.spines.values():
            side.set_visible(False)
        ticks = [self.window.start + part * (self.window.end - self.window.start) / 6 for part in range(1, 6)]  # fmt: skip
        axes.set_xticks(ticks, [format_time(at) for at in ticks])
        axes.grid(color=EDGE, linewidth=0.5)
        axes.set_axisbelow(True)
        for event in self.events:
            axes.axvline(event.at, color=event.color, linewidth=0.8, linestyle=(0, (3, 2)))
        return axes


def format_time(at: float) -> str:
    """Return hours, minutes and seconds of a Unix time, in UTC.

    >>> format_time(3661)
    '01:01:01'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def paint_panel(canvas: Canvas, panel: Panel, box: Box, series: Sequence[Series]) -> None:
    """Draw one panel."""
    canvas.fill(box, "white", EDGE)
    canvas.write(box.x + 8, box.y + 12, panel.title, fontsize=NORMAL, fontweight="bold")
    inner = Box(box.x + 8, box.y + TITLE, box.width - 16, box.height - TITLE - 6)
    PAINTERS[panel.kind](canvas, panel, inner, series)


def _paint_lines(canvas: Canvas, panel: Panel, box: Box, series: Sequence[Series]) -> None:
    names = [each.name or panel.title for each in series]
    legend = _paint_legend(canvas, box, names)
    axes = canvas.open_axes(Box(box.x + 56, box.y, box.width - 56, box.height - legend - 16))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(lambda value, _: format_value(value, panel.unit))
    if panel.stacked:
        _stack(axes, series)
    else:
        for number, each in enumerate(series):
            times, values = _break_gaps(each, canvas.window.step)
            marker = "o" if len(each.points) == 1 else None
            axes.plot(times, values, color=COLORS[number % len(COLORS)], linewidth=1.2, marker=marker, markersize=3)  # fmt: skip
    low, high = axes.get_ylim()
    # As our dashboards say with axisSoftMin: from 0 on, unless something is below it.
    bottom = low if any(value < 0 for each in series for _, value in each.points) else 0
    axes.set_ylim(bottom, high + 0.06 * (high - bottom))


def _stack(axes: Axes, series: Sequence[Series]) -> None:
    times = sorted({at for each in series for at, _ in each.points})
    rows = [[dict(each.points).get(at, 0.0) for at in times] for each in series]
    colors = [COLORS[number % len(COLORS)] for number in range(len(series))]
    axes.stackplot(times, rows, colors=colors, alpha=0.45, linewidth=0)
    total = [0.0] * len(times)
    for row, color in zip(rows, colors, strict=True):
        total = [a + b for a, b in zip(total, row, strict=True)]
        axes.plot(times, total, color=color, linewidth=1)


def _break_gaps(series: Series, step: float) -> tuple[list[float], list[float]]:
    """Return times and values, with no line over a time without samples."""
    times, values = [], list[float]()
    for (at, value), after in zip(series.points, [*series.points[1:], None], strict=True):
        times.append(at)
        values.append(value)
        if after is not None and after[0] - at > 1.5 * step:
            times.append(at + step)
            values.append(math.nan)
    return times, values


def _paint_legend(canvas: Canvas, box: Box, names: Sequence[str]) -> float:
    """Draw a legend at the bottom of a box, and return its height in pixels."""
    placed = wrap_words(names, box.width - 60, LEGEND_LINES)
    lines = 1 + max(line for line, _, _ in placed)
    top = box.y + box.height - lines * LEGEND_LINE
    for line, index, left in placed:
        y = top + line * LEGEND_LINE + 9
        canvas.fill(Box(box.x + left, y - 2, 9, 3), to_hex(COLORS[index % len(COLORS)]))
        canvas.write(box.x + left + 13, y, names[index], color=PALE)
    if len(placed) < len(names):
        right = box.x + box.width
        canvas.write(right, box.y + box.height - 5, f"+{len(names) - len(placed)} more", color=PALE, ha="right")  # fmt: skip
    return lines * LEGEND_LINE + 4


def _paint_numbers(canvas: Canvas, panel: Panel, box: Box, series: Sequence[Series]) -> None:
    part = box.width / len(series)
    for number, each in enumerate(series):
        x = box.x + part * (number + 0.5)
        text = format_value(each.points[-1][1], panel.unit)
        canvas.write(x, box.y + box.height * 0.42, text, fontsize=17, color="#1a7f37", ha="center")
        canvas.write(x, box.y + box.height * 0.82, each.name, color=PALE, ha="center")


def _paint_states(canvas: Canvas, panel: Panel, box: Box, series: Sequence[Series]) -> None:
    longest = max(len(each.name) for each in series)
    label = 5.5 * min(longest, LABEL_LETTERS) + 8
    axes = canvas.open_axes(Box(box.x + label, box.y, box.width - label, box.height - 16))
    axes.set_ylim(len(series) - 0.5, -0.5)
    names = [shorten(each.name, LABEL_LETTERS) for each in series]
    axes.set_yticks(range(len(series)), names)
    axes.grid(visible=False, axis="y")
    pixels = (box.width - label) / (canvas.window.end - canvas.window.start)
    for row, each in enumerate(series):
        for start, end, value in join_states(each, canvas.window.step):
            word, color = panel.words.get(f"{value:g}", (format_value(value, panel.unit), "green"))
            if color == TRANSPARENT:
                axes.plot([start, end], [row, row], color=EDGE, linewidth=0.8)
                continue
            axes.broken_barh([(start, end - start)], (row - 0.4, 0.8), color=NAMED[color], alpha=0.7)  # fmt: skip
            if (end - start) * pixels > SHORTEST_WORD:
                axes.text(
                    start + 4 / pixels,
                    row,
                    word,
                    fontsize=SMALL,
                    color="white",
                    va="center",
                    clip_on=True,
                )


def join_states(series: Series, step: float) -> list[tuple[float, float, float]]:
    """Return begin, end and value of each part of a series in which its value is one.

    >>> join_states(Series({}, "", ((0, 1), (5, 1), (10, 0), (30, 0))), 5)
    [(0, 10, 1), (10, 15, 0), (30, 35, 0)]
    """
    parts: list[tuple[float, float, float]] = []
    times = [at for at, _ in series.points]
    lasts = [after if after - at <= 1.5 * step else at + step for at, after in pairwise(times)]
    lasts.append(times[-1] + step)
    for (at, value), end in zip(series.points, lasts, strict=True):
        if parts and parts[-1][2] == value and parts[-1][1] == at:
            parts[-1] = (parts[-1][0], end, value)
        else:
            parts.append((at, end, value))
    return parts


def _paint_table(canvas: Canvas, panel: Panel, box: Box, series: Sequence[Series]) -> None:
    columns = sorted({name for each in series for name in each.labels} - panel.hidden)
    cells = [[each.labels.get(name, "") for name in columns] for each in series]
    if "Value" not in panel.hidden:
        columns.append("Value")
        cells = [[*row, format_value(each.points[-1][1], panel.unit)] for row, each in zip(cells, series, strict=True)]  # fmt: skip
    part = box.width / len(columns)
    lines = int(box.height // 18) - 1
    for number, name in enumerate(columns):
        canvas.write(box.x + part * number, box.y + 9, name, color=NAMED["blue"])
        for line, row in enumerate(cells[:lines]):
            y = box.y + 27 + 18 * line
            canvas.write(box.x + part * number, y, shorten(row[number], int(part / 5.5)))
    if len(cells) > lines:
        canvas.write(box.x + box.width, box.y + 9, f"+{len(cells) - lines} more", color=PALE, ha="right")  # fmt: skip


def shorten(text: str, letters: int) -> str:
    """Return a text that is not longer than so many letters.

    >>> shorten("abcdef", 4), shorten("abcd", 4)
    ('abc…', 'abcd')
    """
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


PAINTERS: dict[str, Callable[[Canvas, Panel, Box, Sequence[Series]], None]] = {
    "timeseries": _paint_lines,
    "stat": _paint_numbers,
    "state-timeline": _paint_states,
    "table": _paint_table,
}
