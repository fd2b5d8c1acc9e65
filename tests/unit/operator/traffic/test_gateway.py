"""What the gateway's pods are told about assignment, where they run, and how they are reached."""

import base64
import json
from typing import Any

import pytest
from tests.support.world import World, sample

from llmdeployment_gateway.cors import parse_cors
from llmdeployment_gateway.settings import read_settings
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.routes import build_routes_config_map
from llmdeployment_operator.plan.traffic.gateway import build_gateway, choose_feedback_key

KEYS = {"name": "keys"}
ROUTED: dict[str, Any] = {
    "mode": "HTTPRoute",
    "httpRoute": {"parentRefs": [{"name": "public"}]},
}
KEY = base64.b64encode(bytes(32)).decode()
SELECTOR = {"llmdeployment.dev/component": "gateway", "llmdeployment.dev/name": "simulated"}
SPREAD = {"maxSkew": 1, "labelSelector": {"matchLabels": SELECTOR}}


def deployed(**gateway: Any) -> Object:
    document = json.loads(json.dumps(sample("simulated")))
    document["spec"]["gateway"] = gateway
    return document


def find_object(kind: str, **gateway: Any) -> Object:
    settings = World(sample("simulated")).settings
    objects = build_gateway(parse(deployed(**gateway)), settings, KEY)
    return next(obj for obj in objects if obj["kind"] == kind)


def environments(**gateway: Any) -> list[dict[str, str]]:
    pod = find_object("Deployment", **gateway)["spec"]["template"]["spec"]
    return [
        {env["name"]: env.get("value", "") for env in each["env"]} for each in pod["containers"]
    ]


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


def test_what_nobody_asked_for_is_no_variable_of_the_gateways() -> None:
    for env in environments(maxBodySize="32Mi"):
        assert not {"LLMD_MAX_BODY_BYTES", "LLMD_CORS"} & env.keys()


def test_both_containers_know_how_large_a_body_may_be() -> None:
    found = environments(maxBodySize="64Mi")

    assert [env["LLMD_MAX_BODY_BYTES"] for env in found] == [str(64 * 2**20)] * 2
    assert [read_settings(env).max_body_bytes for env in found] == [64 * 2**20] * 2


def test_both_containers_know_the_pages_that_may_read_answers() -> None:
    pages = {
        "allowOrigins": ["https://chat.example.com", "https://*.example.org"],
        "allowHeaders": ["content-type"],
        "exposeHeaders": ["x-own"],
        "allowCredentials": True,
        "maxAge": 60,
    }

    for env in environments(cors=pages):
        cors = read_settings(env).cors
        assert cors is not None
        assert cors.model_dump(mode="json", by_alias=True) == pages
    for env in environments(cors={"allowOrigins": ["*"]}):
        assert read_settings(env).cors == parse_cors('{"allowOrigins": ["*"]}')


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
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "must not have a value. Remove one of them.",
        ),
        ({"tolerations": [{"value": "b"}]}, "Name the taint's key."),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 5}]}, "must have the effect NoExecute"),
        ({"nodeSelector": {"a": "b c"}}, "must be the value of a label"),
        ({"affinity": {"podAffinty": {}}}, "podAffinty"),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "topologyKey"),
        ({"service": {"loadBalancerClass": "a/b"}}, "is for type LoadBalancer only."),
        (
            {"service": {"externalTrafficPolicy": "Local"}},
            "is for the types NodePort and LoadBalancer only.",
        ),
        ({"service": {"type": "ExternalName"}}, "'ClusterIP', 'NodePort' or 'LoadBalancer'"),
        ({"service": {}, **ROUTED}, "which makes no Service. Remove it"),
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


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ({"replicas": 1}, {}),
        (
            {},
            {
                "topologySpreadConstraints": [
                    {
                        **SPREAD,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                    }
                ]
            },
        ),
        (
            {
                "nodeSelector": {"pool": "edge"},
                "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
                "affinity": {"podAntiAffinity": {"anything": [1]}},
                "topologySpreadConstraints": [
                    {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
                ],
                "priorityClassName": "front",
            },
            {
                "nodeSelector": {"pool": "edge"},
                "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
                "affinity": {"podAntiAffinity": {"anything": [1]}},
                "topologySpreadConstraints": [
                    {**SPREAD, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
                ],
                "priorityClassName": "front",
            },
        ),
    ],
    ids=["one pod", "two pods", "placed"],
)
def test_the_pods_run_where_the_spec_says(
    gateway: dict[str, Any], expected: dict[str, Any]
) -> None:
    pod = find_object("Deployment", **gateway)["spec"]["template"]["spec"]
    fields = {
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
    }

    assert {field: pod[field] for field in fields & pod.keys()} == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (None, {"type": "ClusterIP"}),
        ({"type": "NodePort"}, {"type": "NodePort"}),
        (
            {
                "type": "LoadBalancer",
                "loadBalancerClass": "example.com/internal",
                "externalTrafficPolicy": "Local",
                "annotations": {"example.com/subnet": "a"},
            },
            {
                "type": "LoadBalancer",
                "loadBalancerClass": "example.com/internal",
                "externalTrafficPolicy": "Local",
            },
        ),
    ],
    ids=["in the cluster", "at a port", "by a load balancer"],
)
def test_the_service_is_reached_as_the_spec_says(
    service: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    found = find_object("Service", **({"service": service} if service else {}))

    assert found["metadata"].get("annotations", {}) == (service or {}).get("annotations", {})
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    assert found["spec"] == {**expected, "selector": SELECTOR, "ports": ports}


def test_all_gateway_pods_sign_with_the_key_of_one_secret() -> None:
    secret = find_object("Secret")
    assert base64.b64decode(secret["data"]["key"]).decode() == KEY
    containers = find_object("Deployment")["spec"]["template"]["spec"]["containers"]
    source = {"secretKeyRef": {"name": secret["metadata"]["name"], "key": "key"}}
    for each in containers:
        found = [env for env in each["env"] if env["name"] == "LLMD_FEEDBACK_KEY"]
        assert found == [{"name": "LLMD_FEEDBACK_KEY", "valueFrom": source}]


def test_the_key_for_feedback_stays_whatever_the_passes_draw() -> None:
    world = World(sample("simulated"))
    world.step()
    ref = ("Secret", "simulated-gateway-feedback")
    first = world.cluster.children[ref]["data"]
    world.observe(new_token="e" * 64)
    assert not [obj for obj in world.step().apply if obj["kind"] == "Secret"]
    assert world.cluster.children[ref]["data"] == first


@pytest.mark.parametrize("found", ["", "not a key", "A" * 43, "A" * 44, "A" * 43 + "=\n"])
def test_what_is_no_key_is_replaced_by_a_new_one(found: str) -> None:
    keys = {choose_feedback_key(found, randomness) for randomness in ("one", "another")}
    assert len(keys) == 2
    for key in keys:
        assert len(base64.b64decode(key, validate=True)) == 32
        assert choose_feedback_key(key, "a third") == key
