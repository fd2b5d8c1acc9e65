"""What `kubectl llm experiment` prints: pure functions from the object and the time."""

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmdeployment_cli.arms import Object, get_name
from llmdeployment_cli.cost import format_amount
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.terminal import make_text
from llmdeployment_cli.times import format_age

_NARROW = 72
"""Columns of a terminal below which the shares are left out: the difference says what matters."""
_STYLES = {"Better": "green", "Worse": "red", "NotDifferent": "cyan"}
_KEPT_FOR_ITSELF = frozenset({"evidence", "growth"})
"""What the operator keeps in status for itself."""


def find_experiment(deployment: Object) -> Mapping[str, Any]:
    """Return the experiment in the status.

    Raises:
        Refusal: there is none, or no operator has acted on it.
    """
    name = get_name(deployment)
    found = (deployment.get("status") or {}).get("experiment")
    if found:
        experiment: Mapping[str, Any] = found
        return experiment
    if deployment["spec"].get("experiment"):
        raise Refusal(
            f"the operator has not begun the experiment of {name} yet. `kubectl llm status {name}` shows what it waits for."
        )
    raise Refusal(f"{name} has no experiment. Set spec.experiment (docs/concepts/experiments.md).")


def summarize_experiment(deployment: Object) -> Object:
    """Return what `experiment -o` prints. The keys are always there; what is inside arms is the API's."""
    found, metadata = find_experiment(deployment), deployment["metadata"]
    keys = ("control", "outcome", "winner", "startedAt", "endedAt", "message", "plan", "patch")
    arms = found.get("arms") or []
    return {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        **{key: found.get(key) for key in keys},
        "arms": [{k: v for k, v in arm.items() if k not in _KEPT_FOR_ITSELF} for arm in arms],
    }


def format_patch(deployment: Object) -> str:
    """Return the command that ends the experiment and gives one arm all users.

    Raises:
        Refusal: the experiment has no answer.
    """
    found, metadata = find_experiment(deployment), deployment["metadata"]
    patch = found.get("patch")
    if not patch:
        raise Refusal(
            f"the experiment of {get_name(deployment)} has no answer ({found.get('outcome', 'Running')}), so there is no patch."
        )
    words = ["kubectl", "patch", "llm", metadata["name"], "-n", metadata["namespace"]]
    return shlex.join([*words, "--type", "json", "-p", patch])


def draw_experiment(deployment: Object, now: datetime, width: int) -> RenderableType:
    """Return the picture of an experiment: how it stands, each arm against the control, how long it takes.

    Args:
        deployment: the object.
        now: the time.
        width: columns of the terminal.
    """
    found = find_experiment(deployment)
    parts: list[RenderableType] = [_draw_headline(deployment, found, now)]
    parts += [make_text(found.get("message") or "")]
    for arm in found.get("arms") or ():
        parts += [Text(), *_draw_arm(arm, str(found.get("control", "?")), width)]
    parts += [Text(), *_draw_end(deployment, found)]
    return Group(*parts)


def _draw_headline(deployment: Object, found: Mapping[str, Any], now: datetime) -> Text:
    outcome = str(found.get("outcome", "Running"))
    said = f"{outcome} {winner}" if (winner := found.get("winner")) else outcome
    style = {"Running": "yellow", "TimedOut": "red"}.get(outcome, "green")
    line = make_text(get_name(deployment), "bold").append("  ").append(make_text(said, style))
    line.append(f"  compared with {found.get('control', '?')}")
    line.append(f"  began {format_age(found.get('startedAt'), now)} ago")
    longest = (deployment["spec"].get("experiment") or {}).get("maxDuration")
    if ended := found.get("endedAt"):
        return line.append(f", ended {format_age(ended, now)} ago")
    return line.append(f", at most {longest}" if longest else "")


def _draw_arm(arm: Mapping[str, Any], control: str, width: int) -> Iterator[RenderableType]:
    result = str(arm.get("result", "Undecided"))
    line = make_text(arm.get("name", "?"), "bold")
    if arm.get("revision") is not None:
        line.append(f"  r{arm['revision']}", "not bold")
    line.append("  ").append(make_text(result, _STYLES.get(result, "yellow")))
    own, other = (
        _format_size(arm, "users", "requests"),
        _format_size(arm, "controlUsers", "controlRequests"),
    )
    line.append(f"  {own} ({control}: {other})", "not bold")
    yield line
    if message := arm.get("message"):
        told = str(message) if arm.get("counting") else f"Counting pauses. {message}"
        yield Padding(make_text(told, "yellow"), (0, 0, 0, 2))
    yield Padding(_draw_metrics(arm.get("metrics") or (), control, width), (0, 0, 0, 2))
    if cost := arm.get("cost"):
        yield Padding(_draw_cost(cost, control), (0, 0, 0, 2))


def _draw_metrics(metrics: Any, control: str, width: int) -> Table:  # noqa: ANN401  # because it is what an operator wrote
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    shares = ("ARM", control.upper()) if width >= _NARROW else ()
    for name in ("METRIC", *shares, "POINTS", "BETWEEN", "RESULT"):
        table.add_column(name, no_wrap=name not in {"METRIC", "BETWEEN"})
    for metric in metrics:
        result = str(metric.get("result", "Undecided"))
        cells = [make_text(metric.get("name", "?"))]
        cells += [_format_share(metric.get(key)) for key in ("arm", "control")[: len(shares)]]
        cells += [_format_difference(metric), _format_interval(metric)]
        table.add_row(*cells, make_text(result, _STYLES.get(result, "")))
    return table


def _draw_cost(cost: Mapping[str, Any], control: str) -> Table:
    """Return what the arm and the control cost; the control's keys begin with `control`."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(make_text(f"COST {cost.get('currency', '')}"))
    for name in ("ARM", control.upper(), "DIFFERENCE"):
        table.add_column(name, no_wrap=True)
    for words, price, difference in (
        ("per 1K requests", "perThousandRequests", "requestsDifferencePercent"),
        ("per 1M output tokens", "perMillionOutputTokens", "tokensDifferencePercent"),
    ):
        control_price = cost.get(f"control{price[0].upper()}{price[1:]}")
        prices = (make_text(format_amount(each)) for each in (cost.get(price), control_price))
        table.add_row(words, *prices, _format_share(cost.get(difference)))
    return table


def _draw_end(deployment: Object, found: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not found.get("endedAt"):
        yield make_text(found.get("plan") or "")
    elif found.get("patch"):
        keeps, name = found.get("winner") or found.get("control"), get_name(deployment)
        aim = f"gives {keeps} all users"
        if _is_shifted(deployment, str(keeps)):
            yield make_text(f"The operator sends all users to {keeps} (onEnd: ShiftToWinner).")
            aim = f"writes {keeps} into the spec"
        yield make_text(f"`kubectl llm experiment {name} --patch` prints the command that {aim}.")
    else:
        yield make_text("Raise spec.experiment.maxDuration to go on, or remove spec.experiment.")


def _is_shifted(deployment: Object, winner: str) -> bool:
    """Say whether the operator has given one of several arms of the spec all users."""
    rows = (deployment.get("status") or {}).get("arms") or ()
    weights = {row.get("name"): row.get("weight") for row in rows}
    return len(deployment["spec"].get("arms") or ()) > 1 and weights.get(winner) == 100  # noqa: PLR2004  # because weights are percents


def _format_size(arm: Mapping[str, Any], users: str, requests: str) -> str:
    told = f"{int(arm.get(requests) or 0):,} requests"
    return f"{int(arm[users]):,} users, {told}" if arm.get(users) else told


def _format_share(share: Any) -> Text:  # noqa: ANN401  # because it is what an operator wrote
    return make_text(f"{share} %" if share is not None else "-")


def _format_difference(metric: Mapping[str, Any]) -> Text:
    """Return a difference in points, or of the cost in percent of the control's."""
    found, unit = metric.get("difference"), _find_unit(metric)
    return make_text(f"{found}{unit}" if found is not None else "-")


def _find_unit(metric: Mapping[str, Any]) -> str:
    return " %" if str(metric.get("name", "")).startswith("cost") else ""


def _format_interval(metric: Mapping[str, Any]) -> Text:
    low, high = metric.get("low"), metric.get("high")
    unit = _find_unit(metric)
    return make_text(f"{low} to {high}{unit}" if low is not None and high is not None else "-")
