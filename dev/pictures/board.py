"""A dashboard as Grafana's JSON has it, with the viewer's choices filled in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("timeseries", "stat", "table", "state-timeline")
"""The kinds of panel that can be drawn."""
COLUMNS = 24
"""Columns of a dashboard."""


class UnknownBoardError(Exception):
    """A dashboard asks for something that this renderer does not draw, or that nobody chose."""


@dataclass(frozen=True)
class Target:
    """A query of a panel.

    Attributes:
        expression: PromQL.
        legend: name of its series, with labels as `{{label}}`; empty for all labels.
        instant: whether it asks for one moment instead of a range.
    """

    expression: str
    legend: str
    instant: bool


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: what it shows.
        kind: one of `KINDS`.
        unit: unit as Grafana names it.
        width: in columns of 24.
        height: in rows of the grid.
        targets: its queries.
        stacked: whether its lines stand on each other.
        words: from a value's text to its word and color.
        hidden: columns that a table does not show.
    """

    title: str
    kind: str
    unit: str
    width: int
    height: int
    targets: tuple[Target, ...]
    stacked: bool
    words: Mapping[str, tuple[str, str]]
    hidden: frozenset[str]


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Mark:
    """Events that are drawn into every panel.

    Attributes:
        name: what they are.
        target: the query that has a value above 0 at an event.
        color: of its line.
    """

    name: str
    target: Target
    color: str


@dataclass(frozen=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    what: str
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]

    def list_panels(self) -> list[Panel]:
        """Return the panels of all rows."""
        return [panel for row in self.rows for panel in row.panels]


def read_board(text: str, choices: Mapping[str, str], rate_seconds: int) -> Board:
    """Return a dashboard from its JSON.

    Args:
        text: the JSON.
        choices: values of its variables; one that can have all values has all of them without a choice.
        rate_seconds: value of Grafana's `$__rate_interval`, in seconds.

    Raises:
        UnknownBoardError: a panel is of another kind, or a variable has no value.
    """
    found = json.loads(text)
    values = {"__rate_interval": f"{rate_seconds}s", **_choose(found, choices)}
    return Board(
        uid=found["uid"],
        title=found["title"],
        what=found.get("description", ""),
        rows=tuple(_read_rows(found["panels"], values)),
        marks=tuple(_read_mark(each, values) for each in _list_annotations(found)),
    )


def _choose(found: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for variable in found.get("templating", {}).get("list", ()):
        name = variable["name"]
        if variable["type"] == "datasource":
            continue
        value = variable.get("allValue") if variable.get("includeAll") else choices.get(name)
        if not value:
            raise UnknownBoardError(f"dashboard {found['uid']} needs a value of {name}: give --{name}")  # fmt: skip
        values[name] = value
    return values


def _list_annotations(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in found.get("annotations", {}).get("list", ()) if "expr" in each]


def _read_rows(panels: list[dict[str, Any]], values: Mapping[str, str]) -> Iterator[Row]:
    title, mine = "", list[Panel]()
    for each in panels:
        if each["type"] != "row":
            mine.append(_read_panel(each, values))
            continue
        if mine:
            yield Row(title, tuple(mine))
        title, mine = each["title"], []
    if mine:
        yield Row(title, tuple(mine))


def _read_panel(panel: dict[str, Any], values: Mapping[str, str]) -> Panel:
    if panel["type"] not in KINDS:
        raise UnknownBoardError(
            f"panel {panel['title']!r} is a {panel['type']}, which dev/pictures does not draw: add it to draw.py"
        )
    defaults = panel["fieldConfig"]["defaults"]
    stacking = defaults.get("custom", {}).get("stacking", {})
    words = {
        value: (row["text"], row["color"])
        for mapping in defaults.get("mappings", ())
        for value, row in mapping["options"].items()
    }
    hidden = {
        name
        for change in panel.get("transformations", ())
        for name, gone in change["options"].get("excludeByName", {}).items()
        if gone
    }
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        unit=defaults.get("unit", "short"),
        width=panel["gridPos"]["w"],
        height=panel["gridPos"]["h"],
        targets=tuple(
            Target(
                fill(each["expr"], values), each.get("legendFormat", ""), bool(each.get("instant"))
            )
            for each in panel["targets"]
        ),
        stacked=stacking.get("mode", "none") != "none",
        words=words,
        hidden=frozenset(hidden),
    )


def _read_mark(mark: Mapping[str, Any], values: Mapping[str, str]) -> Mark:
    target = Target(fill(mark["expr"], values), mark.get("titleFormat", ""), instant=False)
    return Mark(mark["name"], target, mark["iconColor"])


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables filled in; the longest name first, because `$name` begins `$namespace`.

    >>> fill('x{namespace="$namespace", name="$name"}', {"name": "chat", "namespace": "team"})
    'x{namespace="team", name="chat"}'
    """
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${name}", values[name])
    if "$" in text:
        raise UnknownBoardError(f"query {text!r} has a variable that the dashboard does not list")
    return text
