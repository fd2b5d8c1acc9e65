"""Prices of answers, by engine and resources."""

from decimal import Decimal
from typing import Any

import pytest
from tests.unit.cli.objects import revision
from tests.unit.console.fakes import moving

from llmdeployment_cli.history import Record
from llmdeployment_console.answer_cost import find_price
from llmdeployment_operator.costs.types import Price

GPUS = {"resources": {"limits": {"nvidia.com/gpu": 4, "rdma/hca": 1}}}
API = {"promptPerMillionTokens": "0.15", "outputPerMillionTokens": "0.60"}


def price(cost: Any, template: Any, runtime: str = "00000015", **spec: Any) -> Any:
    found = moving()
    found["status"]["revisions"] = [{**revision(3, 100, 1, 1), "runtime": runtime}]
    found["spec"] = {**found["spec"], **GPUS, "parallelism": {"tensor": 4}, **spec, "cost": cost}
    return find_price(found, [Record(3, template, None)], 3)


def test_an_api_elsewhere_has_the_price_of_its_tokens() -> None:
    engine = {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}}
    of_the_api = {"model": {"source": "external://m"}, "engine": engine}
    own = {"resources": {}, "parallelism": {}}
    found = price({"currency": "USD", "external": API}, of_the_api, "x0000015", **of_the_api, **own)
    prices = Price(prompt_million=Decimal("0.15"), output_million=Decimal("0.60"))
    assert (found.price, found.currency, found.basis) == (prices, "USD", "tokens")


@pytest.mark.parametrize(
    ("cost", "template", "found"),
    [
        ({"currency": "EUR", "perReplicaHour": "2.50"}, {}, Price(Decimal("2.50"))),
        ({"currency": "EUR", "perAcceleratorHour": "2"}, GPUS, Price(Decimal(8))),
    ],
)
def test_time_has_the_price_of_the_revisions_own_replica(
    cost: Any, template: Any, found: Price
) -> None:
    priced = price(cost, template)
    assert (priced.price, priced.currency, priced.basis) == (found, "EUR", "time")


def test_a_revision_that_is_not_on_record_has_no_price() -> None:
    found = moving()
    assert find_price(found, [Record(3, {}, None)], 3) is None
    found["spec"] = {**found["spec"], "cost": {"currency": "EUR", "perReplicaHour": "2.50"}}
    assert find_price(found, [Record(3, {}, None)], 3) is not None
    assert find_price(found, [], 3) is None
    assert find_price(found, [Record(9, {}, None)], 9) is None
