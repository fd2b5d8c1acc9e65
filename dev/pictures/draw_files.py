"""Draws the committed dashboards into files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.monitoring.files import MANIFESTS, REPOSITORY
from dev.pictures.ask import Ask, QueryError, Window, collect_board, find_end, find_silent, flatten
from dev.pictures.board import Board, UnknownBoardError, read_board
from dev.pictures.draw import draw_board

BOARDS = MANIFESTS / "dashboards"
PICTURES = REPOSITORY / "docs" / "pictures"
PREFIX = "llmdeployment-"
POINTS = 240
"""Points of a line, about: a panel has twice as many pixels."""


@dataclass(frozen=True)
class Request:
    """What to draw.

    Attributes:
        choices: values of the dashboards' variables.
        minutes: how much of the past, in minutes.
        scrape_seconds: how often Prometheus scrapes, in seconds.
        may_be_empty: titles of panels that are left out if they have no data.
        boards: names of dashboards; none for all.
        source: where the data are from, for the foot of the pictures.
    """

    choices: Mapping[str, str]
    minutes: float
    scrape_seconds: int
    may_be_empty: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()
    source: str = "a Prometheus"


def draw_files(ask: Ask, request: Request, folder: Path) -> Iterator[Path]:
    """Draw dashboards, and yield each file that was written.

    Raises:
        UnknownBoardError: there is no such dashboard or panel, or it has something that cannot be drawn.
        QueryError: Prometheus does not answer, or a query has no data; all such queries are in the message.
    """
    window = choose_window(find_end(ask), request)
    boards = read_boards(request)
    drawn, silent = [], list[str]()
    for board in boards:
        data = collect_board(ask, board, window)
        empty = find_silent(board, data)
        wrong = sorted(empty.keys() - set(request.may_be_empty))
        silent += [f"{board.uid}: {title}: {query}" for title in wrong for query in empty[title]]
        left_out = [title for title in empty if not flatten(data, title)]
        drawn.append((board, data, left_out))
    if silent:
        raise QueryError("these queries have no data:\n  " + "\n  ".join(silent))
    for board, data, left_out in drawn:
        path = folder / f"dashboard-{board.uid.removeprefix(PREFIX)}.png"
        path.write_bytes(draw_board(board, data, window, request.source, left_out))
        yield path


def choose_window(end: float, request: Request) -> Window:
    """Return the time to draw; no two points are closer than two scrapes.

    >>> choose_window(1000, Request({}, minutes=10, scrape_seconds=5))
    Window(start=400, end=1000, step=5)
    >>> choose_window(10_000, Request({}, minutes=120, scrape_seconds=5)).step
    30.0
    """
    seconds = request.minutes * 60
    return Window(end - seconds, end, max(request.scrape_seconds, seconds / POINTS))


def count_rate_seconds(window: Window, scrape_seconds: int) -> int:
    """Return Grafana's `$__rate_interval` in seconds: a step and a scrape, and at least four scrapes.

    >>> count_rate_seconds(Window(0, 600, 5), 5), count_rate_seconds(Window(0, 7200, 30), 5)
    (20, 35)
    """
    return round(max(window.step + scrape_seconds, 4 * scrape_seconds))


def read_boards(request: Request) -> list[Board]:
    """Return the dashboards of a request, as they are committed.

    Raises:
        UnknownBoardError: there is no such dashboard, or no such panel.
    """
    files = {path.stem: path for path in sorted(BOARDS.glob("*.json"))}
    if unknown := set(request.boards) - files.keys():
        raise UnknownBoardError(f"there is no dashboard {', '.join(sorted(unknown))}; there are {', '.join(files)}")  # fmt: skip
    rate = count_rate_seconds(choose_window(0, request), request.scrape_seconds)
    # A title may be of a dashboard that is not drawn this time.
    every = {
        uid: read_board(path.read_text(encoding="utf-8"), request.choices, rate)
        for uid, path in files.items()
    }
    titles = {panel.title for board in every.values() for panel in board.list_panels()}
    if unknown := set(request.may_be_empty) - titles:
        raise UnknownBoardError(f"no panel has the title {', '.join(sorted(unknown))}")
    return [board for uid, board in every.items() if uid in request.boards or not request.boards]
