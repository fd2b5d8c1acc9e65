"""Dashboards as Grafana reads them, made with its foundation SDK."""

import re
from collections.abc import Callable

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dev.monitoring.panels import Board, Kind, Mark, Panel, Query

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "llmdeployment"
HEIGHTS = {Kind.NUMBER: 4}
"""Rows of the grid, where a kind does not have 8."""
AnyPanel = timeseries.Panel | stat.Panel | statetimeline.Panel | table.Panel


def draw_board(board: Board) -> str:
    """Return the dashboard's JSON."""
    drawn = (
        boards.Dashboard(board.title)
        .uid(board.uid)
        .description(board.what)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            boards.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .link(
            boards.DashboardLink("LLMDeployment")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for name, query in list_variable_queries(board):
        drawn = drawn.with_variable(_draw_variable(name, query, many=board.uid.endswith("fleet")))
    for mark in board.marks:
        drawn = drawn.annotation(_draw_mark(mark))
    for row in board.rows:
        drawn = drawn.with_row(boards.Row(row.title))
        for panel in row.panels:
            drawn = drawn.with_panel(_draw_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(drawn.build()) + "\n"


def list_variable_queries(board: Board) -> list[tuple[str, str]]:
    """Return the name of each variable and the query for its values; an inner one depends on the outer ones."""
    found, outer = [], ""
    for label, metric in board.variables:
        selector = f"{metric}{{{outer}}}" if outer else metric
        found.append((label, f"label_values({selector}, {label})"))
        outer = f'{outer}{", " if outer else ""}{label}="${label}"'
    return found


def _draw_variable(name: str, query: str, *, many: bool) -> boards.QueryVariable:
    variable = (
        boards.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".*") if many else variable


def _draw_mark(mark: Mark) -> boards.AnnotationQuery:
    return (
        boards.AnnotationQuery()
        .name(mark.name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(mark.color)
        .expr(mark.expression)
        .step("1m")
        .title_format(mark.title)
        .tag_keys(",".join(re.findall(r"\{\{(\w+)\}\}", mark.title)))
    )


def _draw_panel(panel: Panel) -> AnyPanel:
    drawn = (
        _PAINTERS[panel.kind]()
        .title(panel.title)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHTS.get(panel.kind, 8))
    )
    if panel.note:
        drawn = drawn.description(panel.note)
    for number, query in enumerate(panel.queries):
        drawn = drawn.with_target(_draw_query(query, "ABCDEFGH"[number], panel.kind))
    return drawn


def _draw_query(query: Query, letter: str, kind: Kind) -> prometheus.Dataquery:
    drawn = prometheus.Dataquery().ref_id(letter).expr(query.expression)
    if query.legend:
        drawn = drawn.legend_format(query.legend)
    match kind:
        case Kind.NUMBER:
            return drawn.instant()
        case Kind.TABLE:
            return drawn.instant().format(PromQueryFormat.TABLE)
        case Kind.LINES | Kind.STACK | Kind.STATES:
            return drawn.range()


def _paint_lines() -> timeseries.Panel:
    legend = (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    return timeseries.Panel().legend(legend).fill_opacity(5).axis_soft_min(0)


def _paint_stack() -> timeseries.Panel:
    stacking = common_builders.StackingConfig().mode(StackingMode.NORMAL)
    return _paint_lines().fill_opacity(30).stacking(stacking)


def _paint_states() -> statetimeline.Panel:
    # No red and green: True is good of some conditions and bad of others.
    words = {"0": ValueMappingResult("no", "transparent"), "1": ValueMappingResult("yes", "blue")}
    return statetimeline.Panel().mappings([models.ValueMap(words)])


def _paint_table() -> table.Panel:
    # Each row is 1, and of now.
    hidden = {"excludeByName": {"Time": True, "Value": True}}
    return table.Panel().with_transformation(models.DataTransformerConfig("organize", options=hidden))  # fmt: skip


_PAINTERS: dict[Kind, Callable[[], AnyPanel]] = {
    Kind.LINES: _paint_lines,
    Kind.STACK: _paint_stack,
    Kind.NUMBER: stat.Panel,
    Kind.STATES: _paint_states,
    Kind.TABLE: _paint_table,
}
