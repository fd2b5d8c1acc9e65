"""`spec.cost`: which prices are taken, and what is said of those that are not. The API server has the same rules as CEL."""

from typing import Any

import pytest
from tests.component.refusals.cost import REFUSED as REFUSED_BY_SERVER

from llmdeployment_operator.api import cost
from llmdeployment_operator.api.types import LLMDeployment, SpecError, parse
from llmdeployment_operator.plan.base.revisions import extract_template

GPU = {"limits": {"nvidia.com/gpu": 1}}
OWN = {"model": {"source": "pvc://models/chat"}}
API = {
    "model": {"source": "external://gpt-small"},
    "engine": {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
}
TOKENS = {"promptPerMillionTokens": "0.15", "outputPerMillionTokens": "0.60"}
TO_API = {
    "name": "api",
    "weight": 50,
    "overrides": {
        "engine": {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
        "model": {"source": "external://gpt-small"},
    },
}
HERE = {"name": "here", "weight": 50, "overrides": {}}
HOUR = {"currency": "EUR", "perReplicaHour": "2.50"}
DECIMAL = "must be a decimal number in quotes"
CURRENCY = "spec.cost.currency must be an active ISO 4217 code in capitals"


def read(spec: dict[str, Any]) -> LLMDeployment:
    return parse(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat", "namespace": "team", "uid": "1"},
            "spec": spec,
        }
    )


@pytest.mark.parametrize(
    ("spec", "prices"),
    [
        (OWN, HOUR),
        (OWN, {**HOUR, "monthlyBudget": "1500"}),
        (OWN, {**HOUR, "perReplicaHour": "0.000001"}),
        (OWN, {**HOUR, "perReplicaHour": "999999999999.999999"}),
        ({**OWN, "resources": GPU}, {"currency": "JPY", "perAcceleratorHour": "400"}),
        ({**OWN, "resources": {"requests": {"amd.com/gpu": 8}}}, {"currency": "USD", "perAcceleratorHour": "2"}),
        (API, {"currency": "USD", "external": TOKENS}),
        (API, {"currency": "USD", "external": {"outputPerMillionTokens": "0.60"}}),
        (API, {**HOUR, "external": TOKENS}),
        ({**OWN, "arms": [HERE, TO_API]}, {**HOUR, "external": TOKENS}),
        ({**OWN, "resources": GPU, "arms": [HERE, TO_API]}, {"currency": "EUR", "perAcceleratorHour": "2", "external": TOKENS}),
        ({**OWN, "arms": [{**HERE, "weight": 100, "overrides": {"resources": GPU}}]}, {"currency": "EUR", "perAcceleratorHour": "2"}),
    ],
)  # fmt: skip
def test_good_prices_are_accepted(spec: dict[str, Any], prices: dict[str, Any]) -> None:
    found = read({**spec, "cost": prices}).spec.cost

    assert found is not None
    assert found.model_dump(mode="json", by_alias=True, exclude_none=True) == prices


@pytest.mark.parametrize(
    ("spec", "prices", "sentence"),
    [
        (OWN, {**HOUR, "perReplicaHour": "0"}, "spec.cost.perReplicaHour: must be above 0."),
        (OWN, {**HOUR, "perReplicaHour": "0.00"}, "must be above 0. Remove the field"),
        (OWN, {**HOUR, "perReplicaHour": "-2.50"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "1e3"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "2,50"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "02.50"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "2."}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "0.0000001"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "NaN"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "٢"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "2.50\n"}, DECIMAL),
        (OWN, {**HOUR, "perReplicaHour": "1" * 40}, "should have at most 19 characters"),
        (OWN, {**HOUR, "perReplicaHour": 2.5}, "should be a valid string"),
        (OWN, {**HOUR, "monthlyBudget": "0"}, "spec.cost.monthlyBudget: must be above 0."),
        (OWN, {**HOUR, "currency": "XXX"}, CURRENCY),
        (OWN, {**HOUR, "currency": "eur"}, CURRENCY),
        (OWN, {**HOUR, "currency": "XAU"}, CURRENCY),
        (OWN, {**HOUR, "currency": "EURO"}, "should have at most 3 characters"),
        (OWN, {"perReplicaHour": "2.50"}, "spec.cost.currency: Field required"),
        ({**OWN, "resources": GPU}, {**HOUR, "perAcceleratorHour": "2"}, cost.TWO_PRICES),
        (OWN, {"currency": "EUR"}, cost.NO_PRICE),
        (OWN, {"currency": "EUR", "monthlyBudget": "100"}, cost.NO_PRICE),
        (OWN, {**HOUR, "external": TOKENS}, cost.NOT_EXTERNAL),
        (OWN, {"currency": "EUR", "external": TOKENS}, cost.NOT_EXTERNAL),
        (API, HOUR, cost.NO_EXTERNAL_PRICE),
        (API, {"currency": "EUR", "external": {}}, cost.UNPRICED_TOKENS),
        (API, {"currency": "EUR", "perAcceleratorHour": "2", "external": TOKENS}, cost.NO_ACCELERATORS),
        (OWN, {"currency": "EUR", "perAcceleratorHour": "2"}, cost.NO_ACCELERATORS),
        ({**OWN, "resources": {"limits": {"nvidia.com/gpu": 0}}}, {"currency": "EUR", "perAcceleratorHour": "2"}, cost.NO_ACCELERATORS),
        ({**OWN, "arms": [HERE, TO_API]}, {"currency": "EUR", "external": TOKENS}, cost.NO_REPLICA_PRICE),
        ({**OWN, "arms": [HERE, TO_API]}, HOUR, cost.NO_EXTERNAL_PRICE),
    ],
)  # fmt: skip
def test_bad_prices_are_refused_with_what_to_do(
    spec: dict[str, Any], prices: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as refused:
        read({**spec, "cost": prices})

    assert sentence in str(refused.value)


def test_every_sentence_is_also_tried_on_the_api_server() -> None:
    sentences = " ".join(message for _, message in REFUSED_BY_SERVER.values())
    rules = (
        cost.NO_PRICE,
        cost.TWO_PRICES,
        cost.UNPRICED_TOKENS,
        cost.NOT_EXTERNAL,
        cost.NO_EXTERNAL_PRICE,
        cost.NO_REPLICA_PRICE,
        cost.NO_ACCELERATORS,
    )
    assert [rule for rule in rules if rule[:50] not in sentences] == []


def test_a_price_makes_no_revision() -> None:
    assert extract_template(read({**OWN, "cost": HOUR})) == extract_template(read(OWN))
