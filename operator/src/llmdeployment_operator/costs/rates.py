"""Equations of cost: of time, of tokens, of a share, per request, per token, per hour. Each has a worked example."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from llmdeployment_operator.costs.types import ZERO, Price, RecentCost, TokenCounts

HOUR_SECONDS = 3600
MILLION = 1_000_000
DECIMALS = 6
"""Of an amount that is written."""
FADING_SECONDS = 600.0
"""Seconds after which what was counted weighs 1/e in what is said per hour: long enough to hold several answers, short enough to show a
change."""

_Key = TypeVar("_Key")


def price_time(price: Price, seconds: float) -> Decimal:
    """Return what one replica costs for some seconds: price per hour * seconds / 3600.

    >>> price_time(Price(replica_hour=Decimal("2.50")), 90)
    Decimal('0.0625')
    """
    return price.replica_hour * Decimal(repr(round(seconds, 3))) / HOUR_SECONDS


def price_tokens(price: Price, counts: TokenCounts) -> Decimal:
    """Return what tokens cost beside the time: (prompt tokens * their price + output tokens * theirs) / 1,000,000.

    >>> api = Price(prompt_million=Decimal("0.15"), output_million=Decimal("0.60"))
    >>> price_tokens(api, TokenCounts(requests=2_000, prompt_tokens=1_000_000, output_tokens=200_000))
    Decimal('0.27')
    """
    whole = (
        counts.prompt_tokens * price.prompt_million + counts.output_tokens * price.output_million
    )
    return whole / MILLION


def split_by_tokens(cost: Decimal, counts: Mapping[_Key, TokenCounts]) -> dict[_Key, Decimal]:
    """Return the share of each: cost * its output tokens / all output tokens; by requests where no token was counted, else nothing.

    >>> rows = {3: TokenCounts(requests=5, output_tokens=900), 4: TokenCounts(requests=5, output_tokens=300)}
    >>> split_by_tokens(Decimal("0.08"), rows)
    {3: Decimal('0.06'), 4: Decimal('0.02')}
    >>> split_by_tokens(Decimal("0.08"), {3: TokenCounts(requests=1), 4: TokenCounts(requests=3)})
    {3: Decimal('0.02'), 4: Decimal('0.06')}
    >>> split_by_tokens(Decimal("0.08"), {3: TokenCounts()})
    {}
    """
    weights = {key: each.output_tokens for key, each in counts.items()}
    if not any(weights.values()):
        weights = {key: each.requests for key, each in counts.items()}
    whole = sum(weights.values())
    return {key: cost * weight / whole for key, weight in weights.items() if weight}


def cost_per(cost: Decimal, count: int, unit: int) -> Decimal | None:
    """Return the cost of `unit` things where `count` of them cost `cost`: cost * unit / count; None where there is none.

    >>> cost_per(Decimal("6.00"), 12_000, 1_000), cost_per(Decimal("6.00"), 3_000_000, MILLION), cost_per(ZERO, 0, 1)
    (Decimal('0.50'), Decimal('2.00'), None)
    """
    return cost * unit / count if count > 0 else None


def fade(value: float, seconds: float) -> float:
    """Return what a sum weighs after some seconds: value * e^(-seconds / 600).

    >>> round(fade(1.0, 600.0), 3), fade(1.0, 0.0)
    (0.368, 1.0)
    """
    return value * math.exp(-max(0.0, seconds) / FADING_SECONDS)


def rate_per_hour(recent: float, hours: float) -> Decimal:
    """Return a fading cost per hour: cost / hours, where both have faded alike, so that the first minute says as much as the tenth.

    >>> rate_per_hour(0.05, 0.02), rate_per_hour(0.0, 0.0)
    (Decimal('2.5'), Decimal('0'))
    """
    return Decimal(repr(round(recent / hours, 9))).normalize() if hours > 0 else ZERO


def token_rate(recent: RecentCost) -> Decimal:
    """Return what tokens cost per hour, by the last minutes."""
    return rate_per_hour(recent.tokens, recent.hours)


def start_of_month(at: float) -> float:
    """Return when the calendar month (UTC) of a time began.

    >>> start_of_month(1_764_590_400.0) == datetime(2025, 12, 1, tzinfo=UTC).timestamp()
    True
    """
    moment = datetime.fromtimestamp(at, UTC)
    return datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()


def name_month(at: float) -> str:
    """Return the calendar month (UTC) of a time.

    >>> name_month(1_764_547_199.0), name_month(1_764_547_200.0)
    ('2025-11', '2025-12')
    """
    return datetime.fromtimestamp(start_of_month(at), UTC).strftime("%Y-%m")


def format_amount(amount: Decimal) -> str:
    """Return an amount as the status has it: rounded to 6 decimals, with at least 2.

    >>> [format_amount(Decimal(text)) for text in ("2.5", "0", "1234.5678915", "0.0000004")]
    ['2.50', '0.00', '1234.567892', '0.00']
    """
    whole, _, decimals = f"{amount:.{DECIMALS}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def read_amount(text: str) -> Decimal:
    """Return an amount that a status has; 0 where it has none, or none that can be.

    >>> read_amount("2.50"), read_amount("-1"), read_amount("NaN"), read_amount("x")
    (Decimal('2.50'), Decimal('0'), Decimal('0'), Decimal('0'))
    """
    try:
        found = Decimal(text)
    except ArithmeticError:
        return ZERO
    return found if found.is_finite() and found > 0 else ZERO
