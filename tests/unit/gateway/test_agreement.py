"""What the operator writes is what the gateway reads."""

import json

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway import maps
from llmdeployment_gateway.routes import hash_routes, parse_routes
from llmdeployment_gateway.settings import REPLICA_REQUESTS
from llmdeployment_operator.api.types import parse as parse_deployment
from llmdeployment_operator.plan.base import routes as operators
from llmdeployment_operator.plan.base.revisions import MAX_ONGOING_REQUESTS


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


def test_the_operators_document_is_understood_and_hashed_alike() -> None:
    deployment = parse_deployment(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat", "namespace": "team", "uid": "3d1f-77"},
            "spec": {"model": {"source": "hf://organisation/name"}},
        }
    )
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
    assert REPLICA_REQUESTS == MAX_ONGOING_REQUESTS
    hold = deployment.spec.gateway.hold
    assert (routes.hold.max_requests, routes.hold.seconds) == (hold.max_requests, hold.seconds)
