"""The picture of a status: pure functions from the object and the time to what rich prints."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmdeployment_cli.arms import Arm, Object, get_name, read_arms
from llmdeployment_cli.cost import draw_cost
from llmdeployment_cli.history import Entry
from llmdeployment_cli.shares import draw_shares
from llmdeployment_cli.terminal import make_text
from llmdeployment_cli.times import format_age, format_span, parse_time

_NARROW = 72
"""Columns of a terminal below which texts get lines of their own."""
_GOOD = {
    "Accepted": "True",
    "Available": "True",
    "Ready": "True",
    "Progressing": "False",
    "Degraded": "False",
    "Stalled": "False",
    "Drifting": "False",
    "BudgetExceeded": "False",
}
"""Status of each condition when nothing is to be done."""
_SHOWN = 6
"""Changed fields that a line of the history names; the rest is counted."""
_REVISION_COLUMNS = ("REVISION", "AGE", "RUNTIME", "READY", "TRAFFIC", "ROLE")
_WRAPPED = {"MESSAGE", "CHANGED", "STABLE", "CANARY"}
"""Columns of texts, which may take several lines."""


def draw_status(deployment: Object, now: datetime, width: int) -> RenderableType:
    """Return the picture of an LLMDeployment: what it waits for, its arms, its revisions and their answers, its cost, its conditions.

    Args:
        deployment: the object, with conditions.
        now: the time.
        width: columns of the terminal.
    """
    status = deployment["status"]
    arms = read_arms(deployment)
    parts: list[RenderableType] = [_draw_headline(deployment), _describe_wait(status)]
    parts += [_draw_arm(arm, now, width) for arm in arms]
    parts += [Text(), _draw_revisions(status, arms, now, width)]
    in_use = {number for arm in arms for number in (arm.stable, arm.canary) if number is not None}
    parts += draw_shares(status, in_use)
    parts += _draw_evaluations(status, arms)
    parts += draw_cost(status, width)
    parts += [Text(), _draw_conditions(status, now, width)]
    return Group(*parts)


def is_observed(deployment: Object) -> bool:
    """Return whether an operator has acted on the object."""
    return bool((deployment.get("status") or {}).get("conditions"))


def describe_progress(deployment: Object) -> str:
    """Return in one sentence what an observed LLMDeployment waits for."""
    generation = deployment["metadata"].get("generation", 0)
    observed = deployment["status"].get("observedGeneration", 0)
    if observed < generation:
        return f"generation {generation} is not observed yet. The status describes generation {observed}."
    return _describe_wait(deployment["status"]).plain


def draw_history(entries: Sequence[Entry], now: datetime, width: int) -> RenderableType:
    """Return the table of a history, oldest first."""
    rows = [
        (
            make_text(entry.number),
            make_text(format_age(entry.created, now)),
            make_text(f"{entry.traffic} %"),
            make_text(entry.role or "-", _choose_style(entry.role)),
            make_text(_format_changes(entry.changed)),
        )
        for entry in entries
    ]
    return _draw_rows(("REVISION", "AGE", "TRAFFIC", "ROLE", "CHANGED"), rows, width)


def draw_bar(percent: int, cells: int) -> str:
    """Return a bar for a share in percent; 1 % is visible, and so is the missing 1 % of 99 %.

    >>> draw_bar(50, 30)[14:16], draw_bar(0, 8)[0], draw_bar(1, 8)[0], draw_bar(99, 8)[-1]
    ('█░', '░', '█', '░')
    """
    filled = round(percent * cells / 100)
    if 0 < percent < 100:  # noqa: PLR2004  # because the value is in percent
        filled = min(max(filled, 1), cells - 1)
    return "█" * filled + "░" * (cells - filled)


def _draw_headline(deployment: Object) -> Text:
    status = deployment["status"]
    line = make_text(get_name(deployment), "bold")
    for part in (status.get("traffic") or "no traffic yet", status.get("endpoint")):
        if part:
            line.append("  ").append(make_text(part))
    line.append(f"  {status.get('readyReplicas', 0)} of {status.get('replicas', 0)} replicas ready")
    if deployment["spec"].get("paused"):
        line.append("  spec.paused", "yellow")
    return line


def _describe_wait(status: Mapping[str, Any]) -> Text:
    """Return what the LLMDeployment waits for, in the operator's words.

    The operator says it in Ready while that is False, else in Degraded or Progressing; Paused is in Progressing alone.
    """
    found = {condition["type"]: condition for condition in status["conditions"]}
    values = {kind: condition["status"] for kind, condition in found.items()}
    bad = values.get("Accepted") == "False" or values.get("Degraded") == "True"
    paused = found.get("Progressing", {}).get("reason") == "Paused"
    for kind in ("Ready", "Degraded", "Progressing"):
        condition = found.get("Progressing" if paused else kind)
        if condition is not None and (paused or condition["status"] != _GOOD[kind]):
            style = "red" if bad else "yellow"
            line = make_text(condition["reason"], style)
            return line.append(": ").append(make_text(condition.get("message") or ""))
    ready = found.get("Ready", {})
    return make_text(ready.get("reason", "Serving"), "green")


def _draw_arm(arm: Arm, now: datetime, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    cells = min(30, max(6, width - 34))
    step = _describe_step(arm, now)
    below: list[RenderableType] = []
    if arm.stable is not None:
        share = _draw_share(arm.stable, 100 - arm.canary_weight, "green", cells)
        table.add_row("stable", *share, Text())
    if arm.canary is not None:
        beside, below = (Text(), [step]) if width < _NARROW else (step, [])
        table.add_row("canary", *_draw_share(arm.canary, arm.canary_weight, "cyan", cells), beside)
    below += [*_draw_verdict(arm), *_draw_warm(arm, now), *_draw_rejected(arm, now)]
    title = make_text(arm.name, "bold").append(f"  {arm.weight} % of the requests", "not bold")
    return Group(Text(), title, Padding(Group(table, *below), (0, 0, 0, 2)))


def _draw_share(revision: int, percent: int, style: str, cells: int) -> tuple[Text, Text, Text]:
    bar = make_text(draw_bar(percent, cells), style)
    return make_text(f"r{revision}"), bar, make_text(f"{percent} %")


def _describe_step(arm: Arm, now: datetime) -> Text:
    if arm.leaving:
        return make_text("is being rolled back", "yellow")
    line = f"step {arm.step} of {arm.steps}"
    if arm.since is not None:
        line += f" for {format_age(arm.since, now)}"
    line += f", {arm.canary_ready} {'replica' if arm.canary_ready == 1 else 'replicas'} ready"
    return make_text(f"{line}, attempt {arm.attempt}" if arm.attempt > 1 else line)


def _draw_verdict(arm: Arm) -> Iterator[RenderableType]:
    if arm.analysis is None:
        return
    result = arm.analysis.get("result", "?")
    styles = {"Pass": "green", "Fail": "red"}
    line = make_text("verdict ").append(make_text(result, styles.get(result, "yellow")))
    if message := arm.analysis.get("message"):
        line.append(": ").append(make_text(message))
    if (left := arm.analysis.get("requestsLeft")) is not None:
        line.append(f" (about {left} more requests of the canary)")
    yield line
    table = _make_table("METRIC", "STABLE", "CANARY")
    for metric in arm.analysis.get("metrics") or ():
        shares = (_format_counts(metric, "stable"), _format_counts(metric, "canary"))
        table.add_row(make_text(metric.get("name", "?")), *shares)
    if table.row_count:
        yield Padding(table, (0, 0, 0, 2))


def _format_counts(metric: Mapping[str, Any], side: str) -> str:
    total, bad = int(metric.get(side) or 0), int(metric.get(f"{side}Bad") or 0)
    return f"{bad} bad of {total} ({100 * bad / total:.1f} %)" if total else "none yet"


def _draw_warm(arm: Arm, now: datetime) -> Iterator[RenderableType]:
    for warm in arm.warm:
        until = parse_time(warm.get("until"))
        left = format_span((until - now).total_seconds()) if until is not None else "?"
        yield make_text(
            f"kept warm  r{warm['revision']} for {left}: a rollback to it takes effect at once"
        )


def _draw_rejected(arm: Arm, now: datetime) -> Iterator[RenderableType]:
    if arm.rejected is None:
        return
    gone = arm.rejected
    line = make_text(
        f"r{gone['revision']} was rolled back {format_age(gone.get('at'), now)} ago", "red"
    )
    yield line.append(f" (attempt {gone.get('attempt', 1)}). `kubectl llm retry` retries it.")


def _draw_revisions(
    status: Mapping[str, Any], arms: Sequence[Arm], now: datetime, width: int
) -> RenderableType:
    stable = {arm.stable for arm in arms}
    canary = {arm.canary for arm in arms}
    warm = {warm["revision"] for arm in arms for warm in arm.warm}
    groups = (("stable", stable), ("canary", canary), ("kept warm", warm))
    rows = []
    for row in status.get("revisions") or ():
        number = row["number"]
        role = next((name for name, numbers in groups if number in numbers), "")
        cells = {
            "REVISION": make_text(number),
            "AGE": make_text(format_age(row.get("createdAt"), now)),
            "RUNTIME": make_text(row.get("runtime", "-")),
            "READY": make_text(f"{row.get('ready', 0)}/{row.get('replicas', 0)}"),
            "TRAFFIC": make_text(f"{row.get('trafficPercent', 0)} %"),
            "ROLE": make_text(role or "-", _choose_style(role)),
        }
        rows.append(cells)
    # A name of 8 characters that only matters to who looks for pods.
    names = [n for n in _REVISION_COLUMNS if n != "RUNTIME" or width >= _NARROW]
    table = _make_table(*names)
    for cells in rows:
        table.add_row(*(cells[name] for name in names))
    return table


def _draw_evaluations(status: Mapping[str, Any], arms: Sequence[Arm]) -> Iterator[RenderableType]:
    """Yield how the revisions that serve, are on their way or were rolled back answered the golden set."""
    shown = {number for arm in arms for number in (arm.stable, arm.canary)}
    shown |= {arm.rejected["revision"] for arm in arms if arm.rejected is not None}
    for row in status.get("revisions") or ():
        found = row.get("evaluation")
        if found is None or row["number"] not in shown:
            continue
        line = make_text(f"golden set  r{row['number']}: ")
        if found.get("score") is None:
            line.append("no result. ", "yellow").append(make_text(found.get("message") or ""))
        else:
            counts = (
                f"{found.get('passed')} of {found.get('total')} as expected ({found['score']} %). "
            )
            said = (found.get("comparison") or {}).get("message") or ""
            line.append(counts).append(make_text(said))
        line.rstrip()
        yield line


def _draw_conditions(status: Mapping[str, Any], now: datetime, width: int) -> RenderableType:
    rows: list[tuple[Text, ...]] = []
    printed: dict[str, str] = {}
    for condition in status["conditions"]:
        wanted = _GOOD.get(condition["type"], condition["status"])
        style = "" if condition["status"] == wanted else "yellow"
        message = condition.get("message") or ""
        rows.append(
            (
                make_text(condition["type"]),
                make_text(condition["status"], style),
                make_text(condition["reason"]),
                make_text(format_age(condition.get("lastTransitionTime"), now)),
                make_text(f"see {printed[message]}" if message in printed else message),
            )
        )
        if message:
            printed.setdefault(message, condition["type"])
    return _draw_rows(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows, width)


def _format_changes(changed: Sequence[str] | None) -> str:
    if changed is None:
        return "- (no revision before it is kept)"
    more = f", and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return ", ".join(changed[:_SHOWN]) + more


def _choose_style(role: str) -> str:
    """Return the color of a role; of the first one if a revision has several."""
    if not role:
        return "dim"
    styles = {"stable": "green", "canary": "cyan", "rolled back": "red"}
    return next((style for name, style in styles.items() if role.startswith(name)), "")


def _draw_rows(
    names: Sequence[str], rows: Sequence[tuple[Text, ...]], width: int
) -> RenderableType:
    """Return a table whose last column is a text; on a narrow terminal the text stands below its row."""
    if width >= _NARROW:
        table = _make_table(*names)
        for row in rows:
            table.add_row(*row)
        return table
    heads = tuple(make_text(name, "bold") for name in names[:-1])
    widest = [max(map(len, column)) for column in zip(heads, *(r[:-1] for r in rows), strict=True)]
    parts: list[RenderableType] = []
    for *cells, text in ((*heads, Text()), *rows):
        line = Text("  ").join(_pad(cell, size) for cell, size in zip(cells, widest, strict=True))
        line.rstrip()
        parts += [line, Padding(text, (0, 0, 0, 2))] if text.plain else [line]
    return Group(*parts)


def _pad(text: Text, size: int) -> Text:
    padded = text.copy()
    padded.pad_right(size - len(text))
    return padded


def _make_table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name not in _WRAPPED)
    return table
