"""What the arms of an experiment cost: as status has it, and in sentences. A description of what was paid, not a test."""

from decimal import Decimal

from llmdeployment_operator.api.experiment_cost_status import ExperimentCostStatus, SpendingStatus
from llmdeployment_operator.costs.rates import format_amount, read_amount
from llmdeployment_operator.costs.spending import PairSpending, Spending, find_excess_percent


def read_cost(row: ExperimentCostStatus | None) -> PairSpending | None:
    """Return what was spent so far; None where nothing is written."""
    if row is None or not row.currency:
        return None
    return PairSpending(
        row.currency,
        row.month,
        _read_spending(row.arm),
        _read_spending(row.control),
        _read_spending(row.arm_month_to_date),
        _read_spending(row.control_month_to_date),
    )


def build_cost(spent: PairSpending | None) -> ExperimentCostStatus | None:
    """Return the row of an arm; None without `spec.cost`."""
    if spent is None:
        return None
    requests = (spent.arm.per_thousand_requests, spent.control.per_thousand_requests)
    tokens = (spent.arm.per_million_tokens, spent.control.per_million_tokens)
    return ExperimentCostStatus(
        currency=spent.currency,
        per_thousand_requests=_format(requests[0]),
        control_per_thousand_requests=_format(requests[1]),
        requests_difference_percent=format_percent(find_excess_percent(*requests)),
        per_million_output_tokens=_format(tokens[0]),
        control_per_million_output_tokens=_format(tokens[1]),
        tokens_difference_percent=format_percent(find_excess_percent(*tokens)),
        arm=_build_spending(spent.arm),
        control=_build_spending(spent.control),
        month=spent.month,
        arm_month_to_date=_build_spending(spent.arm_seen),
        control_month_to_date=_build_spending(spent.control_seen),
    )


def describe_cost(name: str, spent: PairSpending | None) -> str:
    """Return what an arm costs, or nothing while that is not known.

    >>> arm, control = Spending(Decimal("0.23"), 1000, 115_000), Spending(Decimal("0.33"), 1000, 165_000)
    >>> describe_cost("terse", PairSpending("EUR", "2026-11", arm, control))
    'Arm terse costs EUR 0.23 per 1,000 requests (30 % less than the control), and as much per 1M output tokens.'
    """
    if spent is None:
        return ""
    price = spent.arm.per_thousand_requests
    requests = find_excess_percent(price, spent.control.per_thousand_requests)
    tokens = find_excess_percent(spent.arm.per_million_tokens, spent.control.per_million_tokens)
    if price is None or requests is None:
        return ""
    text = (
        f"Arm {name} costs {spent.currency} {_format_short(price)} per 1,000 requests "
        f"({_compare(requests)} {_than(requests)} the control)"
    )
    return (
        f"{text}, and {_compare(tokens)} per 1M output tokens."
        if tokens is not None
        else f"{text}."
    )


def format_percent(excess: Decimal | None) -> str | None:
    """Return a difference in percent with its sign.

    >>> [format_percent(Decimal(text)) for text in ("-30.3", "0.04", "-0.01", "100")], format_percent(None)
    (['-30.3', '0.0', '0.0', '+100.0'], None)
    """
    if excess is None:
        return None
    text = f"{excess:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text


def _compare(excess: Decimal) -> str:
    whole = round(abs(excess))
    if not whole:
        return "as much"
    return f"{whole} % {'less' if excess < 0 else 'more'}"


def _than(excess: Decimal) -> str:
    return "than" if round(abs(excess)) else "as"


def _format_short(price: Decimal) -> str:
    """Return a price with two decimals, or two digits where it is below 0.1."""
    return f"{price:.2f}" if price >= Decimal("0.1") else f"{price:.2g}"


def _format(price: Decimal | None) -> str | None:
    return format_amount(price) if price is not None else None


def _read_spending(row: SpendingStatus) -> Spending:
    return Spending(read_amount(row.cost), max(0, row.requests), max(0, row.output_tokens))


def _build_spending(spent: Spending) -> SpendingStatus:
    return SpendingStatus(
        cost=format_amount(spent.cost), requests=spent.requests, output_tokens=spent.output_tokens
    )
