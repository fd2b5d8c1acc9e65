"""What people are told of cost: `status.cost` and the condition BudgetExceeded.

The account is charged at every pass. The status is written when the budget's state or the month changes, and otherwise once a minute.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from llmdeployment_operator.api.cost_status import CostStatus
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.costs.rates import HOUR_SECONDS, name_month, read_amount, token_rate
from llmdeployment_operator.costs.types import CostAccount
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.durations import format_duration
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.routes import Route
from llmdeployment_operator.plan.cost.memory import build_cost_status

CONDITION = "BudgetExceeded"
WRITTEN_SECONDS = 60.0
"""How often the account is written: so much of what replicas did an operator that starts again may not know."""
COST_SECONDS = 15.0
"""How often replicas are asked what they did: an idle time shorter than that is not seen."""
NEAR_PERCENT = 80
"""Percent of the budget from which on the condition says NearBudget."""
_LEFT = "Requests are still served. Raise spec.cost.monthlyBudget, or lower spec.replicas or spec.scaling.maxReplicas."


@dataclass(frozen=True)
class CostReport:
    """The account, the condition and the status of cost; none of them without `spec.cost`, no condition without a budget."""

    account: CostAccount | None = None
    condition: Condition | None = None
    row: CostStatus | None = None


def report_cost(
    deployment: LLMDeployment,
    account: CostAccount | None,
    previous: Status,
    routes: Iterable[Route],
    now: datetime,
) -> CostReport:
    """Return what is said now: what was said before, as long as nothing happened that is worth a write."""
    spec = deployment.spec.cost
    if spec is None or account is None:
        return CostReport()
    condition = check_budget(account, spec.monthly_budget)
    known = next((each for each in previous.conditions if each.type == CONDITION), None)
    same = (known.reason if known else None) == (condition.reason if condition else None)
    if same and not _is_due(deployment, previous, now):
        if condition is not None and known is not None:
            condition = Condition(CONDITION, condition.status, condition.reason, known.message)
        return CostReport(account, condition, previous.cost)
    arms = _find_arms(previous, routes)
    return CostReport(account, condition, build_cost_status(account, spec.monthly_budget, arms))


def _find_arms(previous: Status, routes: Iterable[Route]) -> dict[int, tuple[str, ...]]:
    """Return the arms that have each revision; of one that none has any more, those that had it last."""
    rows = previous.cost.revisions if previous.cost is not None else ()
    found: dict[int, tuple[str, ...]] = {}
    for route in routes:
        names = found.get(route.revision, ())
        found[route.revision] = names if route.arm in names else (*names, route.arm)
    return {**{row.revision: row.arms for row in rows}, **found}


def _is_due(deployment: LLMDeployment, previous: Status, now: datetime) -> bool:
    row = previous.cost
    written = read_time(row.written_at) if row is not None else None
    if row is None or written is None:
        return True
    if previous.observed_generation != deployment.metadata.generation:
        return True
    if row.month != name_month(now.timestamp()):
        return True
    return not 0 <= (now - written).total_seconds() < WRITTEN_SECONDS


def check_budget(account: CostAccount, budget: str | None) -> Condition | None:
    """Return the condition of a budget: True once all of it is spent; None without one.

    >>> account = CostAccount("EUR", at=0.0, since=0.0, total=Decimal("80.00"))
    >>> [check_budget(account, budget).reason.value for budget in ("100.01", "100", "80")]
    ['WithinBudget', 'NearBudget', 'OverBudget']
    """
    if budget is None:
        return None
    most, spent = read_amount(budget), account.total
    said = (
        f"{account.currency} {spent:.2f} of {most:.2f} ({int(100 * spent / most)} %) "
        f"is spent in {name_month(account.at)}."
    )
    if spent >= most:
        return Condition(CONDITION, True, Reason.OVER_BUDGET, f"{said} {_LEFT}")
    said += _forecast(account, most - spent)
    if 100 * spent >= NEAR_PERCENT * most:
        return Condition(CONDITION, False, Reason.NEAR_BUDGET, f"{said} {_LEFT}")
    return Condition(CONDITION, False, Reason.WITHIN_BUDGET, said)


def _forecast(account: CostAccount, left: Decimal) -> str:
    """Return when the budget ends: what is left / the cost per hour.

    >>> account = CostAccount("EUR", at=0.0, since=0.0, replicas_hour=Decimal("2.50"))
    >>> _forecast(account, Decimal("60.00"))
    ' At EUR 2.50 per hour, the rest lasts for 1 d.'
    """
    hour = account.replicas_hour + token_rate(account.recent)
    if not hour:
        return ""
    seconds = float(left / hour * HOUR_SECONDS)
    return f" At {account.currency} {hour:.2f} per hour, the rest lasts for {format_duration(seconds)}."
