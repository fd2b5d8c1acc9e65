"""What the gateway's pods are told about assignment."""

import json
from typing import Any

import pytest
from tests.support.world import World, sample

from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.routes import build_routes_config_map
from llmdeployment_operator.plan.traffic.gateway import build_gateway

KEYS = {"name": "keys"}


def deployed(**gateway: Any) -> Object:
    document = json.loads(json.dumps(sample("simulated")))
    document["spec"]["gateway"] = gateway
    return document


def environments(**gateway: Any) -> list[dict[str, str]]:
    objects = build_gateway(parse(deployed(**gateway)), World(sample("simulated")).settings)
    pod = next(obj for obj in objects if obj["kind"] == "Deployment")["spec"]["template"]["spec"]
    return [{env["name"]: env["value"] for env in each["env"]} for each in pod["containers"]]


@pytest.mark.parametrize(
    ("gateway", "keys", "forcing"),
    [
        ({}, "Header/x-user", "false"),
        ({"apiKeysSecretRef": KEYS}, "Header/x-user,APIKey", "false"),
        ({"assignment": {"salt": "s"}}, "Header/x-user", "false"),
        ({"assignment": {"keys": ["Body/user", "Header/a"]}}, "Body/user,Header/a", "false"),
        (
            {"apiKeysSecretRef": KEYS, "assignment": {"keys": ["APIKey", "Body/user"]}},
            "APIKey,Body/user",
            "false",
        ),
        # Whoever has no APIKey in the list wants none.
        ({"apiKeysSecretRef": KEYS, "assignment": {"keys": ["Body/user"]}}, "Body/user", "false"),
        ({"allowForcing": True}, "Header/x-user", "true"),
    ],
)
def test_both_containers_know_the_keys_and_whether_clients_may_choose(
    gateway: dict[str, Any], keys: str, forcing: str
) -> None:
    found = environments(**gateway)

    assert [env["LLMD_ASSIGNMENT_KEYS"] for env in found] == [keys, keys]
    assert [env["LLMD_FORCING"] for env in found] == [forcing, forcing]


@pytest.mark.parametrize(
    ("assignment", "salt"),
    [({}, "uid-of-the-owner"), ({"salt": ""}, "uid-of-the-owner"), ({"salt": "2026"}, "2026")],
)
def test_the_salt_is_in_the_routes_and_rolls_no_pod(assignment: dict[str, Any], salt: str) -> None:
    document = deployed(assignment=assignment)
    document["metadata"]["uid"] = "uid-of-the-owner"

    routes = json.loads(build_routes_config_map(parse(document), (), "chat")["data"]["routes.json"])

    assert routes["salt"] == salt
    assert environments(assignment=assignment) == environments()


@pytest.mark.parametrize(
    ("gateway", "sentence"),
    [
        (
            {"assignment": {"keys": ["APIKey"]}},
            "Set spec.gateway.apiKeysSecretRef, or remove APIKey.",
        ),
        (
            {"assignment": {"keys": ["Body/a", "Body/a"]}},
            "contains a key twice. Remove one of the two.",
        ),
        ({"assignment": {"keys": []}}, "at least 1 item"),
        ({"assignment": {"keys": ["Header/X"]}}, "can contain Header/<name> (lower case)"),
        ({"assignment": {"keys": ["Header/x-llm-a"]}}, "the gateway's own headers"),
        ({"assignment": {"keys": ["Header/authorization"]}}, "Use APIKey instead."),
        ({"assignment": {"salt": "a b"}}, "printable ASCII characters without spaces"),
        ({"assignment": {"salt": "a" * 65}}, "at most 64 characters"),
    ],
)
def test_an_object_the_api_server_let_pass_is_refused_with_the_field(
    gateway: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError, match=r"spec\.gateway") as refused:
        parse(deployed(**gateway))

    assert sentence in str(refused.value)
