"""`status.cost` as the memory of the account: what an operator that starts again goes on from.

Read leniently: a row that cannot be read begins the month anew. What replicas had counted is not in it, so what they did between the last
write and the start is charged by time and is no revision's.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from llmdeployment_operator.api.cost_status import CostStatus, RevisionCostStatus
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.costs.rates import (
    MILLION,
    cost_per,
    format_amount,
    name_month,
    rate_per_hour,
    read_amount,
    token_rate,
)
from llmdeployment_operator.costs.types import CostAccount, RevisionAccount, TokenCounts
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.pods import read_time

_MOST_PERCENT = 1_000_000
MOST_ARMS = 8
"""Arms that are named in the row of one revision."""


def read_account(status: Status) -> CostAccount | None:
    """Return the account that a status remembers; None if it remembers none, or none that can be read."""
    row = status.cost
    written = read_time(row.written_at) if row is not None else None
    if row is None or written is None or not row.currency:
        return None
    since = read_time(row.since) or written
    return CostAccount(
        currency=row.currency,
        at=written.timestamp(),
        since=since.timestamp(),
        total=read_amount(row.month_to_date),
        idle=read_amount(row.idle),
        revisions={each.revision: _read_revision(each) for each in row.revisions},
    )


def _read_revision(row: RevisionCostStatus) -> RevisionAccount:
    counts = TokenCounts(max(0, row.requests), max(0, row.prompt_tokens), max(0, row.output_tokens))
    return RevisionAccount(read_amount(row.month_to_date), counts)


def build_cost_status(
    account: CostAccount, budget: str | None, arms: Mapping[int, Iterable[str]]
) -> CostStatus:
    """Return `status.cost`.

    Args:
        account: up to now.
        budget: for the month.
        arms: names of the arms that have a revision, by its number.
    """
    recent, spent = account.recent, account.total
    return CostStatus(
        currency=account.currency,
        month=name_month(account.at),
        since=_format(account.since),
        written_at=_format(account.at),
        per_hour=format_amount(account.replicas_hour + token_rate(recent)),
        idle_per_hour=format_amount(rate_per_hour(recent.idle, recent.hours)),
        month_to_date=format_amount(spent),
        idle=format_amount(account.idle),
        unattributed=format_amount(account.rest),
        budget=budget,
        budget_percent=min(_MOST_PERCENT, int(100 * spent / read_amount(budget)))
        if budget
        else None,
        revisions=tuple(
            _build_revision(number, row, tuple(arms.get(number, ())), recent.hours)
            for number, row in sorted(account.revisions.items())
        ),
    )


def _build_revision(
    number: int, row: RevisionAccount, arms: tuple[str, ...], hours: float
) -> RevisionCostStatus:
    counts = row.counts
    thousand = cost_per(row.cost, counts.requests, 1000)
    million = cost_per(row.cost, counts.output_tokens, MILLION)
    return RevisionCostStatus(
        revision=number,
        arms=arms[:MOST_ARMS],
        per_hour=format_amount(rate_per_hour(row.recent, hours)),
        month_to_date=format_amount(row.cost),
        per_thousand_requests=format_amount(thousand) if thousand is not None else None,
        per_million_output_tokens=format_amount(million) if million is not None else None,
        requests=counts.requests,
        prompt_tokens=counts.prompt_tokens,
        output_tokens=counts.output_tokens,
    )


def _format(at: float) -> str:
    return format_time(datetime.fromtimestamp(at, UTC))
