"""What was spent on a revision between two looks at an account, and by how much two revisions differ."""

from decimal import Decimal
from typing import NamedTuple

from llmdeployment_operator.costs.rates import DECIMALS, MILLION, cost_per, name_month
from llmdeployment_operator.costs.types import ZERO, CostAccount

_THOUSAND, _HUNDRED = 1000, 100


class Spending(NamedTuple):
    """Cost in one currency, and the answered requests and tokens of answers that it was for."""

    cost: Decimal = ZERO
    requests: int = 0
    output_tokens: int = 0

    def plus(self, other: "Spending") -> "Spending":
        """Return both together."""
        return Spending(
            self.cost + other.cost,
            self.requests + other.requests,
            self.output_tokens + other.output_tokens,
        )

    @property
    def per_thousand_requests(self) -> Decimal | None:
        """Cost of 1,000 requests, None without any."""
        return cost_per(self.cost, self.requests, _THOUSAND)

    @property
    def per_million_tokens(self) -> Decimal | None:
        """Cost of 1,000,000 tokens of answers, None without any."""
        return cost_per(self.cost, self.output_tokens, MILLION)


class PairSpending(NamedTuple):
    """What an arm and the control spent in the same time.

    Attributes:
        currency: of all amounts.
        month: of what was seen, such as `2026-11`.
        arm: the arm's.
        control: the control's.
        arm_seen: month to date of the arm's revision at the last look.
        control_seen: month to date of the control's.
    """

    currency: str
    month: str
    arm: Spending = Spending()
    control: Spending = Spending()
    arm_seen: Spending = Spending()
    control_seen: Spending = Spending()


def begin_spending(account: CostAccount, control: int, arm: int) -> PairSpending:
    """Return nothing spent by these two revisions: what was before does not count."""
    return PairSpending(
        account.currency,
        name_month(account.at),
        arm_seen=_read_month(account, arm),
        control_seen=_read_month(account, control),
    )


def continue_spending(
    before: PairSpending | None, account: CostAccount, control: int, arm: int, *, counts: bool
) -> PairSpending:
    """Return what was spent up to now.

    An account in another currency begins anew, and so does what is counted of it. In a new month all of the account is new. An account
    that went back is that of an operator that started again from what was written a minute ago: what is in it was counted.

    Args:
        before: up to the last look; None begins with this one.
        account: up to now.
        control: the control's revision.
        arm: the arm's revision.
        counts: whether what was spent since the last look counts.
    """
    now = begin_spending(account, control, arm)
    if before is None or before.currency != now.currency:
        return now
    kept = now._replace(arm=before.arm, control=before.control)
    if not counts:
        return kept
    seen = (before.arm_seen, before.control_seen)
    if before.month != now.month:
        seen = (Spending(), Spending())
    new = [
        _subtract(after, was)
        for after, was in zip((now.arm_seen, now.control_seen), seen, strict=True)
    ]
    if any(each.cost < 0 or each.requests < 0 or each.output_tokens < 0 for each in new):
        return kept
    return kept._replace(arm=kept.arm.plus(new[0]), control=kept.control.plus(new[1]))


def find_excess_percent(arm: Decimal | None, control: Decimal | None) -> Decimal | None:
    """Return by how many percent the arm costs more: 100 * (arm - control) / control; None where a price is missing or 0.

    >>> find_excess_percent(Decimal("0.23"), Decimal("0.33")).quantize(Decimal("0.1"))
    Decimal('-30.3')
    >>> find_excess_percent(Decimal("0.66"), Decimal("0.33")), find_excess_percent(Decimal("0.66"), ZERO)
    (Decimal('100'), None)
    """
    if arm is None or not control:
        return None
    return _HUNDRED * (arm - control) / control


def _subtract(after: Spending, before: Spending) -> Spending:
    return Spending(
        after.cost - before.cost,
        after.requests - before.requests,
        after.output_tokens - before.output_tokens,
    )


def _read_month(account: CostAccount, revision: int) -> Spending:
    row = account.revisions.get(revision)
    if row is None:
        return Spending()
    # As it is written: what is compared with what was written must not differ by a rounding.
    return Spending(round(row.cost, DECIMALS), row.counts.requests, row.counts.output_tokens)
