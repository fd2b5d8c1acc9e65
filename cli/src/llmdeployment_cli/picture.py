"""A status as a picture: pure, from the object and the time to what rich prints."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmdeployment_cli.arms import Arm, Object, arms_of, name_of
from llmdeployment_cli.history import Entry
from llmdeployment_cli.terminal import words
from llmdeployment_cli.times import age, instant, span

_BAR = 30
"""Cells of a bar."""
_GOOD = {"Accepted": "True", "Ready": "True", "Progressing": "False", "Degraded": "False"}
"""What the operator's conditions say when nothing is to be done."""
_SHOWN = 6
"""Changed fields named in a line of the history; the rest is counted."""


def picture(deployment: Object, now: datetime) -> RenderableType:
    """Return the picture of an LLMDeployment: what it waits for, its arms, its revisions, its conditions."""
    status = deployment.get("status") or {}
    if not status.get("conditions"):
        return words(f"{name_of(deployment)}: the operator has not looked at it yet", "yellow")
    arms = arms_of(deployment)
    parts: list[RenderableType] = [_headline(deployment), _describe_wait(status)]
    parts += [_arm(arm, now) for arm in arms]
    parts += [Text(), _revisions(status, arms, now), Text(), _conditions(status, now)]
    return Group(*parts)


def history(entries: Sequence[Entry], now: datetime) -> RenderableType:
    """Return the table of a history, oldest first."""
    table = _table("REVISION", "AGE", "TRAFFIC", "ROLE", "CHANGED")
    for entry in entries:
        table.add_row(
            str(entry.number),
            age(entry.created, now),
            f"{entry.traffic} %",
            words(entry.role or "-", _style(entry.role)),
            words(_changes(entry.changed)),
        )
    return table


def bar(percent: int) -> str:
    """Return a bar; a share of one percent is to be seen, and so is one that lacks to all.

    >>> bar(50)[14:16], bar(0)[0], bar(1)[0], bar(99)[-1]
    ('█░', '░', '█', '░')
    """
    filled = round(percent * _BAR / 100)
    if 0 < percent < 100:  # noqa: PLR2004  because percent
        filled = min(max(filled, 1), _BAR - 1)
    return "█" * filled + "░" * (_BAR - filled)


def _headline(deployment: Object) -> Text:
    status = deployment["status"]
    line = words(name_of(deployment), "bold")
    for part in (status.get("traffic") or "no traffic yet", status.get("endpoint")):
        if part:
            line.append("  ").append(words(part))
    line.append(
        f"  {status.get('readyReplicas', 0)} of {status.get('replicas', 0)} replicas answer"
    )
    if deployment["spec"].get("paused"):
        line.append("  spec.paused", "yellow")
    return line


def _describe_wait(status: Mapping[str, Any]) -> Text:
    """Return what it waits for, in the operator's words: what is wrong first, then what is under way."""
    found = {condition["type"]: condition for condition in status["conditions"]}
    for kind in ("Accepted", "Degraded", "Progressing", "Ready"):
        condition = found.get(kind)
        if condition is not None and condition["status"] != _GOOD[kind]:
            style = "red" if kind in {"Accepted", "Degraded"} else "yellow"
            line = words(condition["reason"], style)
            return line.append(": ").append(words(condition.get("message") or ""))
    ready = found.get("Ready", {})
    return words(ready.get("reason", "Serving"), "green")


def _arm(arm: Arm, now: datetime) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    if arm.stable is not None:
        table.add_row("stable", *_share(arm.stable, 100 - arm.canary_weight, "green"), Text())
    if arm.canary is not None:
        table.add_row("canary", *_share(arm.canary, arm.canary_weight, "cyan"), _step(arm, now))
    lines = [*_verdict(arm), *_warm(arm, now), *_rejected(arm, now)]
    title = words(arm.name, "bold").append(f"  {arm.weight} % of the requests", "not bold")
    return Group(Text(), title, Padding(Group(table, *lines), (0, 0, 0, 2)))


def _share(revision: int, percent: int, style: str) -> tuple[Text, Text, Text]:
    return words(f"r{revision}"), words(bar(percent), style), words(f"{percent} %")


def _step(arm: Arm, now: datetime) -> Text:
    if arm.leaving:
        return words("is being taken back", "yellow")
    line = f"step {arm.step} of {arm.steps}"
    if arm.since is not None:
        line += f" for {age(arm.since, now)}"
    line += f", {arm.canary_ready} {'replica' if arm.canary_ready == 1 else 'replicas'} ready"
    return words(f"{line}, attempt {arm.attempt}" if arm.attempt > 1 else line)


def _verdict(arm: Arm) -> Iterator[RenderableType]:
    if arm.analysis is None:
        return
    result = arm.analysis.get("result", "?")
    styles = {"Pass": "green", "Fail": "red"}
    line = words("verdict ").append(words(result, styles.get(result, "yellow")))
    if message := arm.analysis.get("message"):
        line.append(": ").append(words(message))
    if (left := arm.analysis.get("requestsLeft")) is not None:
        line.append(f" (about {left} more requests of the canary)")
    yield line
    table = _table("METRIC", "STABLE", "CANARY")
    for metric in arm.analysis.get("metrics") or ():
        shares = (_counted(metric, "stable"), _counted(metric, "canary"))
        table.add_row(words(metric.get("name", "?")), *shares)
    if table.row_count:
        yield Padding(table, (0, 0, 0, 2))


def _counted(metric: Mapping[str, Any], side: str) -> str:
    total, bad = int(metric.get(side) or 0), int(metric.get(f"{side}Bad") or 0)
    return f"{bad} bad of {total} ({100 * bad / total:.1f} %)" if total else "none yet"


def _warm(arm: Arm, now: datetime) -> Iterator[RenderableType]:
    for warm in arm.warm:
        until = instant(warm.get("until"))
        left = span((until - now).total_seconds()) if until is not None else "?"
        yield words(
            f"warm    r{warm['revision']} for {left}: going back to it takes effect at once"
        )


def _rejected(arm: Arm, now: datetime) -> Iterator[RenderableType]:
    if arm.rejected is None:
        return
    gone = arm.rejected
    line = words(f"r{gone['revision']} was given up {age(gone.get('at'), now)} ago", "red")
    yield line.append(f" (attempt {gone.get('attempt', 1)}); kubectl llm retry tries it again")


def _revisions(status: Mapping[str, Any], arms: Sequence[Arm], now: datetime) -> Table:
    table = _table("REVISION", "AGE", "RUNTIME", "READY", "TRAFFIC", "ROLE")
    stable = {arm.stable for arm in arms}
    canary = {arm.canary for arm in arms}
    warm = {warm["revision"] for arm in arms for warm in arm.warm}
    for row in status.get("revisions") or ():
        number = row["number"]
        groups = (("stable", stable), ("canary", canary), ("warm", warm))
        role = next((name for name, numbers in groups if number in numbers), "")
        table.add_row(
            str(number),
            age(row.get("createdAt"), now),
            words(row.get("runtime", "-")),
            f"{row.get('ready', 0)}/{row.get('replicas', 0)}",
            f"{row.get('trafficPercent', 0)} %",
            words(role or "-", _style(role)),
        )
    return table


def _conditions(status: Mapping[str, Any], now: datetime) -> Table:
    table = _table("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")
    told: set[str] = set()
    for condition in status["conditions"]:
        wanted = _GOOD.get(condition["type"], condition["status"])
        style = "" if condition["status"] == wanted else "yellow"
        message = condition.get("message") or ""
        table.add_row(
            words(condition["type"]),
            words(condition["status"], style),
            words(condition["reason"]),
            age(condition.get("lastTransitionTime"), now),
            words("the same" if message in told else message),
        )
        told |= {message} - {""}
    return table


def _changes(changed: Sequence[str] | None) -> str:
    if changed is None:
        return "- (no revision before it is kept)"
    more = f", and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return ", ".join(changed[:_SHOWN]) + more


def _style(role: str) -> str:
    """Return the colour of a role; that of the first, where a revision has several."""
    if not role:
        return "dim"
    styles = {"stable": "green", "canary": "cyan", "given up": "red"}
    return next((style for name, style in styles.items() if role.startswith(name)), "")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name not in {"MESSAGE", "CHANGED"})
    return table
