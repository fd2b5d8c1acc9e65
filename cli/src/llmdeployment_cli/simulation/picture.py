"""The picture of a simulation: pure functions from results to what rich prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmdeployment_cli.terminal import make_text
from llmdeployment_cli.times import format_span
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.scalers import MadeDecision
from llmdeployment_operator.simulation.series import latency, slots
from llmdeployment_operator.simulation.study import Outcome, find_scaler

_WIDTH = 44
"""Cells of a line that shows values over time."""
_CELLS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class FinishedRun:
    """One simulated run, and what was simulated."""

    name: str
    trace: str
    speed: float
    result: Result
    own: Outcome
    made: Sequence[MadeDecision]
    """The changes that were decided."""
    price: float | None


def draw_run(shown: FinishedRun, decisions: int) -> RenderableType:
    """Return the picture of one run, with at most `decisions` of its decisions."""
    parts: list[RenderableType] = [_draw_headline(shown), Text(), _draw_targets(shown.own)]
    parts += [*_draw_costs(shown), Text(), _draw_over_time(shown)]
    if shown.made and decisions > 0:
        parts += [Text(), _draw_decisions(shown.made, decisions)]
    return Group(*parts)


def draw_outcomes(title: str, rows: Sequence[Outcome], price: float | None) -> RenderableType:
    """Return a table with one row per run; `title` heads the first column and says what differs."""
    refused = any(row.failed for row in rows)
    targets = rows[0].targets
    found = _make_table(
        title,
        *(f"{target.metric} p{target.percentile}" for target in targets),
        *(["all"] if len(targets) > 1 else []),
        "replicas",
        *(["hours"] if price is None else ["cost", "per 1,000"]),
        "changes",
        *(["refused"] if refused else []),
    )
    # A terminal of 80 columns has room for two targets and the costs.
    found.padding = (0, 1, 0, 0)
    for row in rows:
        met = zip(row.targets, row.attainments, strict=True)
        found.add_row(
            make_text(row.name),
            *(_color_share(share, target.percentile) for target, share in met),
            *([format_percent(row.good)] if len(targets) > 1 else []),
            f"{row.mean_replicas:.2f}",
            *_format_costs(row, price),
            str(row.decisions),
            *([str(row.failed)] if refused else []),
        )
    return Group(Text(), found)


def draw_line(values: Sequence[float | None], top: float) -> str:
    """Return values as a line of blocks; `top` is the highest. Every value above 0 is visible, and None is a blank.

    >>> draw_line([0.0, 0.1, 5.0, 10.0, 20.0, None], 10.0)
    ' ▁▄██ '
    """
    highest = len(_CELLS) - 1
    levels = (0.0 if value is None else value / top if top else 0.0 for value in values)
    return "".join(
        _CELLS[0 if level <= 0 else min(highest, max(1, int(min(level, 1.0) * highest + 1e-6)))]
        for level in levels
    )


def format_percent(share: float) -> str:
    """Return a share (0 to 1) in percent; only 1 itself becomes 100 %.

    >>> format_percent(0.958), format_percent(1.0), format_percent(0.99999)
    ('95.8 %', '100 %', '99.9 %')
    """
    return "100 %" if share == 1 else f"{min(share * 100, 99.9):.1f} %"


def _format_costs(row: Outcome, price: float | None) -> tuple[str, ...]:
    if price is None:
        return (f"{row.replica_hours:.2f}",)
    return f"{row.replica_hours * price:.2f}", _format_token_cost(row, price)


def _color_share(share: float, percentile: int) -> Text:
    return make_text(format_percent(share), "green" if share * 100 >= percentile else "red")


def _draw_headline(shown: FinishedRun) -> Text:
    result, speed = shown.result, f", {shown.speed:g} times as fast," if shown.speed != 1 else ""
    each = result.requests / result.end if result.end else 0.0
    summary = f"  {result.requests:,} requests of {shown.trace}{speed} in {format_span(result.end)}: {each:.1f}/s"
    return Text.assemble(make_text(shown.name, "bold"), make_text(summary))


def _draw_targets(own: Outcome) -> RenderableType:
    found = _make_table("target", "within it", "")
    for target, share in zip(own.targets, own.attainments, strict=True):
        met = share * 100 >= target.percentile
        found.add_row(
            find_scaler(target),
            format_percent(share),
            make_text("kept" if met else "missed", "green" if met else "red"),
        )
    if len(own.targets) > 1:
        found.add_row("all of them", format_percent(own.good), "")
    return found if own.targets else make_text("spec.scaling has no targets", "yellow")


def _draw_costs(shown: FinishedRun) -> Iterator[RenderableType]:
    own, result = shown.own, shown.result
    most = max(change.existing for change in result.changes)
    least = min(change.ready for change in result.changes)
    yield Text()
    yield make_text(
        f"{own.mean_replicas:.2f} replicas on average (from {least} ready to {most} paid), {own.replica_hours:.2f} replica-hours, "
        f"{len(shown.made)} changes"
    )
    if shown.price is not None:
        yield make_text(
            f"cost {own.replica_hours * shown.price:.2f}: {own.mean_replicas * shown.price:.2f} an hour, "
            f"{_format_token_cost(own, shown.price)} per 1,000 tokens"
        )
    if result.failed:
        yield make_text(_describe_refusals(result), "red")


def _describe_refusals(result: Result) -> str:
    large = f", {result.too_large} of them because they exceed a replica's KV cache"
    return f"{result.failed} requests were refused{large if result.too_large else ''}"


def _draw_over_time(shown: FinishedRun) -> RenderableType:
    result = shown.result
    over = slots(result, _WIDTH)
    found = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        found.add_column(no_wrap=True)
    top = max(over.load)
    found.add_row("requests/s", Text(draw_line(over.load, top), "cyan"), f"{top:.1f} at most")
    for target in shown.own.targets:
        values = latency(result, target.metric, target.percentile, _WIDTH)
        known = [value for value in values if value is not None]
        worst = max(known, default=0.0)
        bars = Text()
        for value in values:
            missed = value is not None and value > target.seconds
            bars.append(draw_line([value], target.seconds * 2), "red" if missed else "green")
        found.add_row(
            f"{target.metric} p{target.percentile}", bars, f"{_format_seconds(worst)} at worst"
        )
    most = max(over.existing)
    found.add_row("replicas", Text(draw_line(over.ready, most), "blue"), f"{most:.0f} at most")
    end = format_span(result.end)
    found.add_row(
        "",
        Text("0" + end.rjust(_WIDTH - 1), "dim"),
        Text(f"a cell is {format_span(over.seconds)}", "dim"),
    )
    return found


def _format_seconds(value: float) -> str:
    if value == inf:
        return "refused"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _draw_decisions(made: Sequence[MadeDecision], number: int) -> RenderableType:
    found = _make_table("at", "replicas", "reason", "why")
    found.columns[-1].no_wrap = False
    for one in made[:number]:
        found.add_row(
            format_span(one.at),
            f"{one.before} to {one.decision.replicas}",
            make_text(one.decision.reason),
            make_text(one.decision.message),
        )
    left = len(made) - number
    if left <= 0:
        return found
    return Group(found, make_text(f"and {left} more (--decisions {len(made)} lists all)", "dim"))


def _format_token_cost(row: Outcome, price: float) -> str:
    cost = row.per_1000_tokens(price)
    return "-" if cost is None else f"{cost:.5f}"


def _make_table(*columns: str) -> Table:
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        found.add_column(column.upper(), no_wrap=True)
    return found
