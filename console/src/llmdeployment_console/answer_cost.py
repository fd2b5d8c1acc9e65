"""What one answer of a chat costs, by the prices of `spec.cost`.

An API elsewhere charges tokens, so that cost is exact. A replica of your own costs time, and a chat has no way to know what else ran on
it, so its cost is that of the whole replica for the time of the answer: the most that the answer can have cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmdeployment_cli.arms import Object
from llmdeployment_cli.history import Record
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.costs.rates import price_time, price_tokens
from llmdeployment_operator.costs.types import Price, TokenCounts
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.cost import charge


@dataclass(frozen=True)
class AnswerPrice:
    """What the answers of a revision cost.

    Attributes:
        currency: of the amounts.
        price: of a replica and of tokens.
        basis: what is paid for.
    """

    currency: str
    price: Price
    basis: Literal["tokens", "time"]


def find_price(deployment: Object, records: Sequence[Record], revision: int) -> AnswerPrice | None:
    """Return what answers of a revision cost; None without `spec.cost`, or where the revision's resources are not on record."""
    try:
        spec = parse(deployment).spec.cost
    except SpecError:
        return None
    rows = read_status(deployment.get("status")).revisions
    runtime = next((row.runtime for row in rows if row.number == revision), None)
    template = next((each.template for each in records if each.number == revision), None)
    if spec is None or runtime is None or template is None:
        return None
    external = is_external(runtime)
    pod = {"spec": {"containers": [{"resources": template.get("resources") or {}}]}}
    price = charge.find_price(spec, pod, external=external)
    return AnswerPrice(spec.currency, price, "tokens" if external else "time")


def describe_cost(
    price: AnswerPrice | None, seconds: float, usage: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what an answer cost; None where that is not known.

    Args:
        price: of the revision's answers.
        seconds: how long the answer took.
        usage: `prompt_tokens` and `completion_tokens`, as the engine counts them.

    A replica of 2.50 an hour that answers for 9 s costs 2.50 * 9 / 3600 = 0.00625. Of 1,000 prompt tokens at 0.15 a million and 500
    tokens of the answer at 0.60: (1000 * 0.15 + 500 * 0.60) / 1,000,000 = 0.00045.

    >>> from decimal import Decimal
    >>> describe_cost(AnswerPrice("EUR", Price(replica_hour=Decimal("2.50")), "time"), 9.0, {})
    {'amount': 0.00625, 'currency': 'EUR', 'basis': 'time'}
    >>> api = AnswerPrice("USD", Price(prompt_million=Decimal("0.15"), output_million=Decimal("0.60")), "tokens")
    >>> describe_cost(api, 9.0, {"prompt_tokens": 1000, "completion_tokens": 500})
    {'amount': 0.00045, 'currency': 'USD', 'basis': 'tokens'}
    >>> describe_cost(api, 9.0, {"completion_tokens": 500})
    """
    if price is None:
        return None
    if price.basis == "time":
        amount = price_time(price.price, seconds)
    else:
        prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(output, int):
            return None
        amount = price_tokens(price.price, TokenCounts(1, prompt, output))
    return (
        {"amount": float(amount), "currency": price.currency, "basis": price.basis}
        if amount
        else None
    )
