"""No LLMDeployment works beside the operator unasked, and no podTemplate makes a pod that is taken for the operator."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.stories import conditions, message
from tests.support.world import World, admitted

SPEC: dict[str, Any] = {"model": {"source": "hf://a/b"}}
ACCOUNT = {"spec": {"serviceAccountName": "operator"}}
LABELS = {"metadata": {"labels": {"app": "operator", "team": "a"}}}


def build_world(namespace: str, spec: dict[str, Any], *, served: bool = True) -> World:
    body = {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {**SPEC, **spec},
    }
    world = World(admitted(body))
    world.settings = replace(
        world.settings, operator_service_account="operator", own_namespace=served
    )
    world.step()
    return world


def test_the_operators_namespace_is_not_served_unless_its_admin_says_so() -> None:
    world = build_world("llm-system", {}, served=False)
    assert conditions(world)["Accepted"] == ("False", "InvalidSpec")
    assert "set watch.ownNamespace=true" in message(world)
    assert world.cluster.children == {}

    assert conditions(build_world("llm-system", {}))["Accepted"] == ("True", "Accepted")
    assert conditions(build_world("team", {}, served=False))["Accepted"] == ("True", "Accepted")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"podTemplate": ACCOUNT}, "spec.podTemplate.spec.serviceAccountName"),
        ({"podTemplate": {"spec": {"serviceAccount": "operator"}}}, "serviceAccountName"),
        ({"podTemplate": LABELS}, "spec.podTemplate.metadata.labels"),
        (
            {
                "arms": [
                    {"name": "a", "weight": 50},
                    {"name": "b", "weight": 50, "overrides": {"podTemplate": ACCOUNT}},
                ]
            },
            "spec.podTemplate.spec.serviceAccountName",
        ),
    ],
    ids=["account", "account by its old name", "labels", "in an arm"],
)
def test_in_the_operators_namespace_it_is_refused(spec: dict[str, Any], field: str) -> None:
    world = build_world("llm-system", spec)
    assert conditions(world)["Accepted"] == ("False", "InvalidSpec")
    assert field in message(world)
    assert world.cluster.children == {}


@pytest.mark.parametrize(
    ("namespace", "template"),
    [
        ("llm-system", {"spec": {"serviceAccountName": "mine"}}),
        ("llm-system", {"metadata": {"labels": {"team": "a"}}}),
        ("team", ACCOUNT),
        ("team", LABELS),
    ],
    ids=["another account", "other labels", "another namespace's account", "labels elsewhere"],
)
def test_what_is_not_the_operators_is_accepted(namespace: str, template: dict[str, Any]) -> None:
    world = build_world(namespace, {"podTemplate": template})
    assert conditions(world)["Accepted"] == ("True", "Accepted")
