"""What Prometheus answers to the queries of a dashboard."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dev.pictures.board import Board, Target

SECONDS = 30
"""Seconds that one query may take."""


class QueryError(Exception):
    """Prometheus does not answer, or refuses a query."""


@dataclass(frozen=True)
class Window:
    """The time that a picture shows.

    Attributes:
        start: Unix time in seconds.
        end: Unix time in seconds.
        step: seconds between two points.
    """

    start: float
    end: float
    step: float


@dataclass(frozen=True)
class Series:
    """A series.

    Attributes:
        labels: its labels.
        name: as the legend has it.
        points: Unix time and value; what is no finite number is left out.
    """

    labels: Mapping[str, str]
    name: str
    points: tuple[tuple[float, float], ...]


Data = Mapping[str, tuple[tuple[Series, ...], ...]]
"""The series of each query of each panel and each mark, by title."""
Ask = Callable[[str, Mapping[str, str]], Any]
"""From a path and its arguments to the answer's `data`."""


def connect(url: str) -> Ask:
    """Return what asks the Prometheus at an address."""

    def ask(path: str, arguments: Mapping[str, str]) -> Any:  # noqa: ANN401  # because JSON may be anything
        query = urllib.parse.urlencode(arguments)
        try:
            with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=SECONDS) as answer:  # noqa: S310  # because the caller names a Prometheus
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")[:300]
            raise QueryError(f"Prometheus answers {error.code}: {text}") from error
        except OSError as error:
            raise QueryError(f"Prometheus at {url} does not answer: {error}") from error

    return ask


def find_end(ask: Ask) -> float:
    """Return the Unix time of the newest sample, in seconds."""
    return float(ask("status/tsdb", {})["headStats"]["maxTime"]) / 1000


def collect_board(ask: Ask, board: Board, window: Window) -> Data:
    """Return the series of each query of each panel and each mark."""
    targets = {panel.title: panel.targets for panel in board.list_panels()}
    targets |= {mark.name: (mark.target,) for mark in board.marks}
    return {
        title: tuple(ask_target(ask, target, window) for target in mine)
        for title, mine in targets.items()
    }


def ask_target(ask: Ask, target: Target, window: Window) -> tuple[Series, ...]:
    """Return the series that a query has; those without any number are left out."""
    if target.instant:
        rows = ask("query", {"query": target.expression, "time": f"{window.end:.3f}"})["result"]
        found = [(row["metric"], [row["value"]]) for row in rows]
    else:
        times = {"start": f"{window.start:.3f}", "end": f"{window.end:.3f}"}
        arguments = {"query": target.expression, **times, "step": f"{window.step:g}"}
        rows = ask("query_range", arguments)["result"]
        found = [(row["metric"], row["values"]) for row in rows]
    read = [
        Series(labels, name_series(target.legend, labels), _read_points(points))
        for labels, points in found
    ]
    return tuple(series for series in read if series.points)


def _read_points(points: list[tuple[float, str]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(at), float(v)) for at, v in points if math.isfinite(float(v)))


def name_series(legend: str, labels: Mapping[str, str]) -> str:
    """Return the name of a series in the legend.

    >>> name_series("{{arm}} r{{revision}}", {"arm": "main", "revision": "2"}), name_series("", {"a": "b"}), name_series("", {})
    ('main r2', 'a="b"', '')
    """
    if legend:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip()
    return ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))


def find_silent(board: Board, data: Data) -> dict[str, list[str]]:
    """Return the queries without data, by the title of their panel."""
    found = {
        panel.title: [
            target.expression
            for target, series in zip(panel.targets, data[panel.title], strict=True)
            if not series
        ]
        for panel in board.list_panels()
    }
    return {title: queries for title, queries in found.items() if queries}


def flatten(data: Data, title: str) -> list[Series]:
    """Return the series of all queries of a panel or a mark."""
    return [series for mine in data[title] for series in mine]


def list_moments(series: Series, step: float) -> list[float]:
    """Return when a series begins to have values, each time: the moments of a mark.

    >>> list_moments(Series({}, "", ((10, 1), (15, 1), (40, 1))), 5)
    [10, 40]
    """
    times = [at for at, _ in series.points]
    before = [None, *times[:-1]]
    return [at for at, last in zip(times, before, strict=True) if last is None or at - last > 1.5 * step]  # fmt: skip
