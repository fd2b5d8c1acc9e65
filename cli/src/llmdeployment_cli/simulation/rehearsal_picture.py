"""A rehearsal as tables for people."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmdeployment_cli.simulation.rehearsal_document import Rehearsal, write_notes
from llmdeployment_cli.terminal import make_text
from llmdeployment_cli.times import format_span
from llmdeployment_operator.rehearsal.harms import SAME
from llmdeployment_operator.rehearsal.report import Case, Chance, Spread
from llmdeployment_operator.rehearsal.run import Outcome

_TROUBLE = {Outcome.ROLLED_BACK: "Rolled back", Outcome.UNDECIDED: "Undecided"}


def draw_rehearsal(found: Rehearsal) -> RenderableType:
    """Return the steps, what becomes of each canary, what it takes, and what was assumed."""
    parts: list[RenderableType] = [_draw_headline(found), Text(), _draw_steps(found.same), Text()]
    parts += [_draw_cases(found), Text()]
    parts += [make_text(line) for line in _describe(found)]
    parts += [Text(), make_text("Assumed:", "bold")]
    parts += [_draw_note(note) for note in write_notes(found)]
    return Group(*parts)


def _draw_headline(found: Rehearsal) -> Text:
    world, policy = found.world, found.world.change.policy
    speed = f", {found.speed:g} times as fast" if found.speed != 1 else ""
    summary = (
        f"  {policy.strategy}, {found.source}{speed}: {world.traffic.rate:.1f} requests/s, "
        f"{found.runs} runs of each canary"
    )
    return Text.assemble(make_text(world.change.name, "bold"), make_text(summary))


def _draw_steps(same: Case) -> RenderableType:
    table = _make_table("traffic", "begins", "90 %", "runs")
    for weight, times, runs in same.spread_steps():
        row = (format_span(times.median), format_span(times.p90))
        table.add_row(f"{weight} %", *row, f"{runs} of {len(same.endings)}")
    return table


def _draw_cases(found: Rehearsal) -> RenderableType:
    table = _make_table(
        "canary",
        "promoted",
        "rolled back",
        "undecided",
        "ends",
        "90 %",
        "users",
        "90 %",
        "requests",
    )
    # A terminal of 80 columns has room for a short name only.
    table.padding = (0, 1, 0, 0)
    table.columns[0].no_wrap = False
    for case in found.cases:
        time = case.spread_time(case.usual)
        users = case.spread(lambda ending: ending.users)
        requests = case.spread(lambda ending: ending.requests)
        table.add_row(
            make_text("no harm" if case.harm.name == SAME else case.harm.name),
            *(_format_part(case, outcome) for outcome in Outcome),
            *_format_times(time, case),
            f"{users.median:,.0f}",
            f"{users.p90:,.0f}",
            f"{requests.median:,.0f}",
        )
    return table


def _format_part(case: Case, outcome: Outcome) -> str:
    return f"{100 * case.count(outcome) / len(case.endings):.0f} %"


def _format_times(time: Spread | None, case: Case) -> tuple[str, str]:
    if time is None or case.usual is Outcome.UNDECIDED:
        return "-", "-"
    return format_span(time.median), format_span(time.p90)


def _describe(found: Rehearsal) -> Iterator[str]:
    for case in found.cases:
        if case.harm.name == SAME:
            yield f"False alarm (no harm, rolled back): {format_chance(case.wrong)}"
        else:
            yield f"Missed {case.harm.name} (promoted or undecided): {format_chance(case.wrong)}"
    for outcome, words in _TROUBLE.items():
        endings = [each for each in found.same.endings if each.outcome is outcome]
        if endings:
            yield f"{words} without harm, for example: {endings[-1].message}"
    change = found.world.change
    usual, most = change.replicas, found.most
    yield f"Replicas: {most} at the most, {most - usual} more than the {usual} that serve."
    for name, each in sorted(change.accelerators.items()):
        hours = found.spread_hours(each)
        yield (
            f"{name}: {most * each} at the most, {(most - usual) * each} more. "
            f"A rollout without harm costs {hours.median:.2f} hours more (90 %: {hours.p90:.2f})."
        )
    if not change.accelerators:
        hours = found.spread_hours()
        yield f"A rollout without harm costs {hours.median:.2f} replica-hours more (90 %: {hours.p90:.2f})."


def format_chance(chance: Chance) -> str:
    """Return a chance with how sure it is.

    >>> format_chance(Chance(0.025, 0.0044, 0.1287))
    '2.5 % (0.4 to 12.9 %)'
    """
    return f"{100 * chance.share:.1f} % ({100 * chance.low:.1f} to {100 * chance.high:.1f} %)"


def _draw_note(note: str) -> Table:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row("-", make_text(note))
    return line


def _make_table(*columns: str) -> Table:
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        found.add_column(column.upper(), no_wrap=True)
    return found
