"""The numbers of an account for metrics: floats, by revision and currency."""

from llmdeployment_operator.costs.rates import rate_per_hour
from llmdeployment_operator.costs.types import IDLE, CostAccount

Figures = dict[tuple[str, str], float]
"""Amounts in units of the currency, by revision and currency; `idle` and `unattributed` are among the revisions."""


def read_cost_figures(account: CostAccount | None) -> tuple[Figures, Figures]:
    """Return what each revision costs per hour, and what it has cost since the operator started; nothing without an account."""
    if account is None:
        return {}, {}
    money, recent = account.currency, account.recent
    rates = {
        (str(number), money): float(rate_per_hour(row.recent, recent.hours))
        for number, row in account.revisions.items()
    }
    rates[IDLE, money] = float(rate_per_hour(recent.idle, recent.hours))
    return rates, {(name, money): float(cost) for name, cost in account.ever.items()}
