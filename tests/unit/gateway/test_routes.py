import json
from typing import Any

import pytest

from llmdeployment_gateway import maps
from llmdeployment_gateway.routes import RoutesError, hash_routes, parse_routes
from llmdeployment_operator.plan.base import routes as operator_routes


def row(below: int, revision: int = 1, service: str = "chat-1a2b3c4d") -> dict[str, Any]:
    return {"arm": "main", "revision": revision, "service": service, "below": below}


def document(*rows: dict[str, Any], **changes: Any) -> str:
    whole = {
        "deployment": "chat",
        "servedName": "chat",
        "salt": "5f0c",
        "hold": {"maxRequests": 64, "seconds": 120},
        "routes": list(rows),
    }
    return json.dumps(whole | changes)


def test_the_hash_is_the_one_the_operator_waits_for() -> None:
    text = document(row(10000))

    assert hash_routes(text) == operator_routes.hash_routes({"data": {"routes.json": text}})


def test_no_rows_are_routes_too() -> None:
    assert parse_routes(document()).services() == ()


def test_fields_of_a_newer_operator_are_left_alone() -> None:
    assert parse_routes(document(row(10000), weights="new")).hold.seconds == 120


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "routes.json: Invalid JSON"),
        ("[]", "routes.json: Input should be"),
        ("{}", "deployment: Field required"),
        (document(row(500)), "`below` must rise from row to row up to 10000"),
        (document(row(600), row(500), row(10000)), "`below` must rise from row to row up to 10000"),
        (document(row(10001)), "routes.0.below: Input should be less than or equal to 10000"),
        (document(row(10000, revision=0)), "routes.0.revision"),
        (document(row(10000, service="a|b")), "routes.0.service: String should match"),
        (document(row(10000, service="a b")), "routes.0.service: String should match"),
        (document(row(10000) | {"arm": "x\ny"}), "routes.0.arm: String should match"),
        (document(replicaRequests={"chat-1a2b3c4d": 0}), "replicaRequests.chat-1a2b3c4d"),
        (document(salt="two words"), "salt: String should match"),
        (document(hold={"maxRequests": -1, "seconds": 1}), "hold.maxRequests"),
    ],
)
def test_what_is_no_routing_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(RoutesError, match=r".") as refused:
        parse_routes(text)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "ranges"),
    [
        ((), ""),
        ((row(10000),), "0:9999 main|1|slot0\n"),
        ((row(500), row(10000, revision=2)), "0:499 main|1|slot0\n500:9999 main|2|slot0\n"),
        ((row(0), row(10000, revision=2)), "0:9999 main|2|slot0\n"),
        ((row(10000), row(10000, revision=2)), "0:9999 main|1|slot0\n"),
        ((row(1), row(10000, revision=2)), "0:0 main|1|slot0\n1:9999 main|2|slot0\n"),
    ],
)
def test_rows_become_ranges_of_buckets(rows: tuple[dict[str, Any], ...], ranges: str) -> None:
    assert maps.format_buckets(parse_routes(document(*rows)), {"chat-1a2b3c4d": "slot0"}) == ranges


def arm_row(arm: str, revision: int, below: int) -> dict[str, Any]:
    return row(below, revision) | {"arm": arm}


@pytest.mark.parametrize(
    ("rows", "offers"),
    [
        ((), ""),
        (
            (row(10000),),
            "revisions 1\narms main\nrevision:1 main|1|slot0\narm:main 0|10000\n",
        ),
        (
            (arm_row("a", 14, 500), arm_row("a", 3, 5000), arm_row("b", 3, 10000)),
            (
                "revisions 3,14\narms a,b\nrevision:14 a|14|slot0\nrevision:3 a|3|slot0\n"
                "arm:a 0|5000\narm:b 5000|5000\n"
            ),
        ),
        # What has no bucket gets no requests, not even by asking.
        (
            (arm_row("a", 4, 0), arm_row("a", 3, 10000), arm_row("b", 5, 10000)),
            "revisions 3\narms a\nrevision:3 a|3|slot0\narm:a 0|10000\n",
        ),
    ],
)
def test_what_may_be_asked_for_is_what_has_buckets(
    rows: tuple[dict[str, Any], ...], offers: str
) -> None:
    assert maps.format_choices(parse_routes(document(*rows)), {"chat-1a2b3c4d": "slot0"}) == offers


def test_settings_are_looked_up_by_name() -> None:
    assert (
        maps.format_settings(parse_routes(document()))
        == "salt 5f0c\nhold.maxRequests 64\nhold.seconds 120\n"
    )
