"""What the dashboards show: panels with their queries, as tables. `$namespace`, `$name` and `$arm` are what the viewer chose."""

from dataclasses import dataclass
from enum import StrEnum

from dev.monitoring.recording import PERCENTILES


class Kind(StrEnum):
    """How a panel draws its series."""

    LINES = "lines"
    STACK = "stack"
    NUMBER = "number"
    STATES = "states"
    TABLE = "table"


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of its series in the legend."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: what it shows.
        queries: what it asks.
        unit: unit as Grafana names it.
        kind: how it draws.
        note: what a reader must know, as a tooltip.
        width: of 24 columns.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = Kind.LINES
    note: str = ""
    width: int = 12


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
        expression: PromQL that has a value above 0 at an event.
        title: what one says, with labels as `{{label}}`.
        color: of its line.
    """

    name: str
    expression: str
    title: str
    color: str


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes:
        uid: its address in Grafana, and the name of its file.
        title: its title.
        what: what question it answers.
        rows: its panels.
        variables: what the viewer chooses, from the outermost to the innermost: label and the metric that has its values.
        marks: events.
    """

    uid: str
    title: str
    what: str
    rows: tuple[Row, ...]
    variables: tuple[tuple[str, str], ...] = ()
    marks: tuple[Mark, ...] = ()


CHOSEN = 'namespace="$namespace", name="$name"'
NAMESPACE = 'namespace=~"$namespace"'
RATE = "[$__rate_interval]"
"""Grafana's window for a rate: at least four scrapes."""
ONE = (("namespace", "llmdeployment_condition"), ("name", "llmdeployment_condition"))
DECISIONS = Mark(
    "Decisions of autoscaling",
    f"sum by (reason) (increase(llmdeployment_scaling_decisions_total{{{CHOSEN}}}[1m])) > 0",
    "Scaled: {{reason}}",
    "blue",
)
ROLLOUTS = Mark(
    "Shares of revisions",
    f"sum by (arm, revision) (changes(llmdeployment_revision_traffic_ratio{{{CHOSEN}}}[1m])) > 0",
    "Share of revision {{revision}} in arm {{arm}} changed",
    "orange",
)


def ask(expression: str, legend: str = "") -> tuple[Query, ...]:
    """Return a panel's only query."""
    return (Query(expression, legend),)


def ask_percentiles(metric: str) -> tuple[Query, ...]:
    """Return the percentiles of a histogram by revision, from the recording rules."""
    return tuple(
        Query(
            f"namespace_name_revision:{metric}:p{percent}_rate5m{{{CHOSEN}}}",
            f"p{percent} r{{{{revision}}}}",
        )
        for percent in PERCENTILES
    )


def divide_rates(top: str, bottom: str, labels: str) -> str:
    """Return a query for the rate of one counter divided by that of another, for each value of the labels.

    >>> divide_rates("a", "b", "arm").replace(CHOSEN, "").replace(RATE, "[1m]")
    'sum by (arm) (rate(a{}[1m])) / sum by (arm) (rate(b{}[1m]))'
    """
    return " / ".join(
        f"sum by ({labels}) (rate({each}{{{CHOSEN}}}{RATE}))" for each in (top, bottom)
    )
