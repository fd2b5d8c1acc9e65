"""`spec.rollout.shadow`: what no replica would do is refused, by the API server and here with one sentence."""

import copy
from typing import Any

import pytest
from tests.support.world import admitted, sample

from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.shadow import WITH_EXTERNAL, WITH_RECREATE
from llmdeployment_operator.api.shadow_status import ShadowStatus
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import SpecError, parse

SHADOW = {"minAgreementPercent": 80}


def build(rollout: Any, **spec: Any) -> Any:
    body = copy.deepcopy(admitted(sample("simulated")))
    body["spec"] |= {"rollout": rollout, **spec}
    return body


def test_the_defaults() -> None:
    found = parse(build({"shadow": SHADOW})).spec.rollout.shadow
    assert found is not None
    assert found.model_dump() == {
        "percent": 10,
        "requests": 200,
        "max_tokens": 256,
        "min_agreement_percent": 80,
        "max_failed_percent": 1,
        "tolerance_percent": 5,
        "timeout_seconds": 3600,
    }
    assert parse(build({})).spec.rollout.shadow is None


@pytest.mark.parametrize(
    "change",
    [
        {"percent": 0},
        {"percent": 101},
        {"requests": 9},
        {"requests": 10_001},
        {"maxTokens": 0},
        {"maxTokens": 4097},
        {"minAgreementPercent": -1},
        {"minAgreementPercent": 101},
        {"maxFailedPercent": 51},
        {"tolerancePercent": 0},
        {"timeoutSeconds": 59},
        {"timeoutSeconds": 86_401},
        {"judge": {}},
    ],
)
def test_the_bounds(change: Any) -> None:
    with pytest.raises(SpecError, match=rf"spec.rollout.shadow.{next(iter(change))}"):
        parse(build({"shadow": {**SHADOW, **change}}))


def test_with_recreate_there_is_nobody_to_cast_it() -> None:
    with pytest.raises(SpecError) as refused:
        parse(build({"strategy": "Recreate", "shadow": SHADOW}))
    assert WITH_RECREATE in str(refused.value)


EXTERNAL = {
    "model": {"source": "external://gpt"},
    "engine": {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
    "resources": {},
}


@pytest.mark.parametrize("place", ["spec", "arm"])
def test_with_an_api_elsewhere_there_is_nobody_to_tell(place: str) -> None:
    arms = [{"name": "a", "weight": 50}, {"name": "b", "weight": 50, "overrides": EXTERNAL}]
    more = EXTERNAL if place == "spec" else {"arms": arms}
    parse(build({}, **more))
    with pytest.raises(SpecError) as refused:
        parse(build({"shadow": SHADOW}, **more))
    assert WITH_EXTERNAL in str(refused.value)


def test_the_api_server_refuses_both_too() -> None:
    spec = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rollout = spec["properties"]["rollout"]["x-kubernetes-validations"]
    assert WITH_RECREATE in {rule["message"] for rule in rollout}
    assert WITH_EXTERNAL in {rule["message"] for rule in spec["x-kubernetes-validations"]}


def test_a_status_of_another_version_costs_its_shadow_at_most() -> None:
    at = "2026-01-02T03:04:05Z"
    row = {"name": "main", "stable": 1, "shadow": {"startedAt": at, "more": 1}}
    (arm,) = read_status({"arms": [row]}).arms
    assert arm.shadow == ShadowStatus(started_at=at)
    (arm,) = read_status({"arms": [{"name": "main", "stable": 1}]}).arms
    assert arm.shadow is None
