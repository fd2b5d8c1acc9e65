"""The picture of what an LLMDeployment costs: `status.cost`, in the operator's numbers."""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.table import Table
from rich.text import Text

from llmdeployment_cli.terminal import make_text

_ALL_COLUMNS = 80
"""Columns of a terminal from which on all columns of the table have room."""
_STYLES = {"NearBudget": "yellow", "OverBudget": "red"}
_WIDE = ("REVISION", "ARM", "PER HOUR", "THIS MONTH", "PER 1K REQUESTS", "PER 1M OUTPUT TOKENS")
_NARROW = ("REVISION", "PER HOUR", "1K REQUESTS", "1M OUTPUT")
_FIELDS = {
    "PER HOUR": "perHour",
    "THIS MONTH": "monthToDate",
    "PER 1K REQUESTS": "perThousandRequests",
    "PER 1M OUTPUT TOKENS": "perMillionOutputTokens",
    "1K REQUESTS": "perThousandRequests",
    "1M OUTPUT": "perMillionOutputTokens",
}


def draw_cost(status: Mapping[str, Any], width: int) -> Iterator[Text | Table]:
    """Yield what an LLMDeployment costs, with its budget, and a row for each revision; nothing without `spec.cost`.

    Args:
        status: of the LLMDeployment.
        width: columns of the terminal.
    """
    row = status.get("cost")
    if not row:
        return
    yield Text()
    yield _describe_total(row)
    if (budget := _describe_budget(status, row)) is not None:
        yield budget
    rows = row.get("revisions") or ()
    if not rows:
        return
    names = _WIDE if width >= _ALL_COLUMNS else _NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(
            name, no_wrap=name != "ARM", justify="right" if name in _FIELDS else "left"
        )
    for each in rows:
        cells = {
            "REVISION": f"r{each.get('revision', '?')}",
            "ARM": ", ".join(each.get("arms") or ()) or "-",
            **{name: format_amount(each.get(field)) for name, field in _FIELDS.items()},
        }
        table.add_row(*(make_text(cells[name]) for name in names))
    yield table


def _describe_total(row: Mapping[str, Any]) -> Text:
    money = row.get("currency", "")
    line = make_text("cost", "bold").append("  ")
    line.append(make_text(f"{money} {format_amount(row.get('perHour'))} per hour now"))
    idle = make_text(f", {format_amount(row.get('idlePerHour'))} of it idle")
    line.append(idle).append(make_text(f". {money} {format_amount(row.get('monthToDate'))}"))
    return line.append(make_text(f" in {row.get('month', '?')}."))


def _describe_budget(status: Mapping[str, Any], row: Mapping[str, Any]) -> Text | None:
    if (budget := row.get("budget")) is None:
        return None
    conditions = status.get("conditions") or ()
    found = next((c["reason"] for c in conditions if c["type"] == "BudgetExceeded"), "")
    text = f"{row.get('budgetPercent', '?')} % of the budget of {row.get('currency', '')} {budget}"
    return make_text("budget", "bold").append("  ").append(make_text(text, _STYLES.get(found, "")))


def format_amount(text: object) -> str:
    """Return an amount for people: two decimals, or two digits of a smaller one; `-` for none.

    >>> [format_amount(text) for text in ("1234.567891", "0.00", "0.004567", "12", None, "x")]
    ['1234.57', '0.00', '0.0046', '12.00', '-', '-']
    """
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return "-"
    if not amount.is_finite():
        return "-"
    decimals = 2 if not amount else min(6, max(2, 1 - amount.adjusted()))
    return f"{amount:.{decimals}f}"
