"""What the operator writes is what the gateway reads."""

import json

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway import config, maps
from llmdeployment_gateway.routes import hash_routes, parse_routes
from llmdeployment_gateway.settings import MAX_BODY_BYTES, REPLICA_REQUESTS
from llmdeployment_operator.api.gateway_api import read_body_size
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.api.types import parse as parse_deployment
from llmdeployment_operator.plan.base import routes as operators
from llmdeployment_operator.plan.base.revisions import MAX_ONGOING_REQUESTS
from llmdeployment_serving import bodies
from llmdeployment_serving.config import EngineConfig, ServingConfig


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_every_bucket_has_one_row(ends: list[int]) -> None:
    rows = [
        {"arm": "main", "revision": number, "service": "chat-1", "below": below}
        for number, below in enumerate([*sorted(ends), 10_000], 1)
    ]
    document = {"deployment": "chat", "servedName": "chat", "salt": "3d1f", "routes": rows}

    text = maps.format_buckets(parse_routes(json.dumps(document)), {"chat-1": "slot0"})

    covered = [
        bucket
        for line in text.splitlines()
        for first, last in [line.split()[0].split(":")]
        for bucket in range(int(first), int(last) + 1)
    ]
    assert covered == list(range(10_000))


def build_deployment() -> LLMDeployment:
    return parse_deployment(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat", "namespace": "team", "uid": "3d1f-77"},
            "spec": {"model": {"source": "hf://organisation/name"}},
        }
    )


def test_the_operators_document_is_understood_and_hashed_alike() -> None:
    deployment = build_deployment()
    config_map = operators.build_routes_config_map(
        deployment,
        operators.build_routes(
            [operators.Share("main", 100, (3, "chat-1a2b"), (4, "chat-3c4d"), 5)]
        ),
        "chat",
    )

    routes = parse_routes(config_map["data"]["routes.json"])

    assert [vars(row) for row in routes.routes] == [
        {"arm": "main", "revision": 4, "service": "chat-3c4d", "below": 500},
        {"arm": "main", "revision": 3, "service": "chat-1a2b", "below": 10_000},
    ]
    assert (routes.salt, routes.served_name) == ("3d1f-77", "chat")
    assert hash_routes(config_map["data"]["routes.json"]) == operators.hash_routes(config_map)
    assert (
        REPLICA_REQUESTS
        == MAX_ONGOING_REQUESTS
        == ServingConfig(
            served_name="chat", engine=EngineConfig(name="simulated")
        ).max_ongoing_requests
    )
    hold = deployment.spec.gateway.hold
    assert (routes.hold.max_requests, routes.hold.seconds) == (hold.max_requests, hold.seconds)
    assert routes.replica_requests == {}


def test_requests_at_once_that_differ_are_said_by_service_and_hashed() -> None:
    deployment = build_deployment()
    rows = operators.build_routes([operators.Share("main", 100, (3, "chat-1a2b"))])
    config_map = operators.build_routes_config_map(deployment, rows, "chat", {"chat-1a2b": 32})

    assert parse_routes(config_map["data"]["routes.json"]).replica_requests == {"chat-1a2b": 32}
    # An operator of before the field reads its rows back.
    assert operators.read_routes(config_map) == rows
    default = operators.build_routes_config_map(deployment, rows, "chat", {})
    assert operators.hash_routes(config_map) != operators.hash_routes(default)


def test_gateway_replica_and_operator_agree_on_how_large_a_body_may_be() -> None:
    default = build_deployment().spec.gateway.max_body_size
    assert read_body_size(default) == MAX_BODY_BYTES == bodies.MAX_BODY_BYTES
    assert bodies.LIMIT_HEADER.decode() == config.LIMIT_HEADER
    # The largest that the operator accepts; test_gateway_limits.py holds that it is 256Mi.
    assert read_body_size("256Mi") == bodies.LARGEST_LIMIT <= bodies.HELD_BYTES
    # What a replica takes back from the bound of all bodies is what HAProxy can send again.
    assert bodies.FREE_BYTES == config.BUFFER_BYTES
