"""What an LLMDeployment costs: `spec.cost`, prices and a budget.

Prices are decimal strings, because a float is not what anybody pays. Those of tokens are per 1,000,000, as the price lists of APIs have
them; LiteLLM's `input_cost_per_token` is such a price divided by 1,000,000.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Self

from pydantic import ConfigDict, model_validator

from llmdeployment_operator.api.external import NAME as EXTERNAL
from llmdeployment_operator.api.fields import Model, Text, cel

CURRENCIES = (
    "AED|AFN|ALL|AMD|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|CAD|CDF|CHF|CLP|CNY|COP|CRC|"
    "CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|HNL|HTG|HUF|IDR|ILS|INR|IQD|IRR|"
    "ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|"
    "MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|"
    "SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|TRY|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VED|VES|VND|VUV|WST|XAF|XCD|XCG|XOF|"
    "XPF|YER|ZAR|ZMW|ZWG"
)
"""The active codes of ISO 4217 that are money, as an expression: no metals, no funds, no code for tests."""

_currency = Text(3, 3).must(
    CURRENCIES,
    "spec.cost.currency must be an active ISO 4217 code in capitals, such as EUR or USD.",
)
_amount = (
    Text(1, 19)
    .must(
        r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?",
        'must be a decimal number in quotes, such as "2.50": at most 12 digits before the point and 6 after it.',
    )
    .must(
        r".*[1-9].*",
        "must be above 0. Remove the field if this costs nothing.",
    )
)
Currency = Annotated[str, *_currency.annotations()]
Amount = Annotated[str, *_amount.annotations()]

NO_PRICE = (
    "spec.cost needs a price. Set perReplicaHour or perAcceleratorHour, "
    "or external for an API elsewhere."
)
TWO_PRICES = (
    "spec.cost cannot have both perReplicaHour and perAcceleratorHour. Keep the one that you pay."
)
UNPRICED_TOKENS = (
    "spec.cost.external needs promptPerMillionTokens or outputPerMillionTokens. "
    "Set one, or remove external."
)
_COST = cel(
    ("has(self.perReplicaHour) || has(self.perAcceleratorHour) || has(self.external)", NO_PRICE),
    ("!(has(self.perReplicaHour) && has(self.perAcceleratorHour))", TWO_PRICES),
)
_EXTERNAL = cel(
    ("has(self.promptPerMillionTokens) || has(self.outputPerMillionTokens)", UNPRICED_TOKENS)
)

NOT_EXTERNAL = (
    "spec.cost.external is for spec.engine.name external, in the spec or in an arm. "
    "Remove it, and set perReplicaHour or perAcceleratorHour."
)
NO_EXTERNAL_PRICE = (
    "spec.cost needs external for spec.engine.name external, because the API counts tokens. "
    "Set external.promptPerMillionTokens and external.outputPerMillionTokens."
)
NO_REPLICA_PRICE = "spec.cost needs perReplicaHour or perAcceleratorHour for an engine that runs in your pods. Set one."
NO_ACCELERATORS = (
    "spec.cost.perAcceleratorHour needs accelerators in spec.resources, such as limits: {nvidia.com/gpu: 1}. "
    "Set perReplicaHour instead."
)
_ARM_HAS = "has(a.overrides) && has(a.overrides.engine) && has(a.overrides.engine.name) && a.overrides.engine.name"
_IS_EXTERNAL = f"(self.engine.name == 'external' || (has(self.arms) && self.arms.exists(a, {_ARM_HAS} == 'external')))"
_IS_OWN = f"(self.engine.name != 'external' || (has(self.arms) && self.arms.exists(a, {_ARM_HAS} != 'external')))"
_HAS_PRICE = "(has(self.cost.perReplicaHour) || has(self.cost.perAcceleratorHour))"
_ASKS = " || ".join(
    f"(has(self.resources.{field}) && self.resources.{field}.exists(k, k.contains('/') && "
    f"!k.startsWith('kubernetes.io/') && string(self.resources.{field}[k]) != '0'))"
    for field in ("requests", "limits")
)
_ARM_ASKS = (
    "(has(self.arms) && self.arms.exists(a, has(a.overrides) && has(a.overrides.resources)))"
)
SPEC_RULES = (
    (f"!has(self.cost) || !has(self.cost.external) || {_IS_EXTERNAL}", NOT_EXTERNAL),
    (f"!has(self.cost) || has(self.cost.external) || !{_IS_EXTERNAL}", NO_EXTERNAL_PRICE),
    (f"!has(self.cost) || {_HAS_PRICE} || !{_IS_OWN}", NO_REPLICA_PRICE),
    (
        f"!has(self.cost) || !has(self.cost.perAcceleratorHour) || {_ASKS} || {_ARM_ASKS}",
        NO_ACCELERATORS,
    ),
)


class ExternalPrices(Model):
    """What an API elsewhere charges."""

    model_config = ConfigDict(json_schema_extra=_EXTERNAL)

    prompt_per_million_tokens: Amount | None = None
    """Price of 1,000,000 tokens of prompts, such as "0.15". Default: they cost nothing."""
    output_per_million_tokens: Amount | None = None
    """Price of 1,000,000 tokens of answers, such as "0.60". Default: they cost nothing."""

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if self.prompt_per_million_tokens is None and self.output_per_million_tokens is None:
            raise ValueError(UNPRICED_TOKENS)
        return self


class CostSpec(Model):
    """Prices and a budget (docs/concepts/cost.md). They change what is reported, and never what is served."""

    model_config = ConfigDict(json_schema_extra=_COST)

    currency: Currency
    """Currency of all amounts, an ISO 4217 code such as EUR. Another one begins the month anew."""
    per_replica_hour: Amount | None = None
    """Price of one replica for one hour, such as "2.50". It counts from when its pod has a node until the pod is gone."""
    per_accelerator_hour: Amount | None = None
    """Price of one accelerator for one hour, instead of perReplicaHour. A replica has those of its resources."""
    external: ExternalPrices | None = None
    """What the API of the external engine charges."""
    monthly_budget: Amount | None = None
    """Budget for a calendar month (UTC). The condition BudgetExceeded says how much of it is spent. Nothing stops at its end."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        prices = [self.per_replica_hour, self.per_accelerator_hour]
        if not any((*prices, self.external)):
            raise ValueError(NO_PRICE)
        if all(prices):
            raise ValueError(TWO_PRICES)
        return self


def check_cost(
    cost: CostSpec | None, engines: AbstractSet[str], own_resources: Iterable[Mapping[str, Any]]
) -> None:
    """Check that prices fit the engines.

    Args:
        cost: `spec.cost`.
        engines: names of the engines of the spec and of its arms.
        own_resources: the resources of each replica with an engine in its own pod, `requests` and `limits`.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if cost is None:
        return
    if cost.external is not None and EXTERNAL not in engines:
        raise ValueError(NOT_EXTERNAL)
    if cost.external is None and EXTERNAL in engines:
        raise ValueError(NO_EXTERNAL_PRICE)
    priced = cost.per_replica_hour is not None or cost.per_accelerator_hour is not None
    if not priced and engines != {EXTERNAL}:
        raise ValueError(NO_REPLICA_PRICE)
    counts = [_has_accelerators(each) for each in own_resources]
    if cost.per_accelerator_hour is not None and (not counts or not all(counts)):
        raise ValueError(NO_ACCELERATORS)


def _has_accelerators(resources: Mapping[str, Any]) -> bool:
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return any(
        "/" in name and not name.startswith("kubernetes.io/") and amount != "0"
        for name, amount in asked.items()
    )
