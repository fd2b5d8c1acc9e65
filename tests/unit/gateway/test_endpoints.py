from typing import Any

import pytest

from llmdeployment_gateway.endpoints import Address, find_pods, find_ready

HTTP = [{"name": "http", "port": 30000}]


def piece(*endpoints: dict[str, Any], ports: Any = HTTP, kind: str = "IPv4") -> dict[str, Any]:
    return {"addressType": kind, "ports": ports, "endpoints": list(endpoints)}


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


READY = endpoint("198.18.0.1", ready=True, serving=True, terminating=False)


@pytest.mark.parametrize(
    ("slices", "hosts"),
    [
        ([], set()),
        ([piece(READY)], {"198.18.0.1"}),
        ([piece({"addresses": ["198.18.0.1"]})], {"198.18.0.1"}),
        ([piece(endpoint("198.18.0.1", ready=False))], set()),
        ([piece(endpoint("198.18.0.1", ready=False, serving=True, terminating=True))], set()),
        ([piece(endpoint("198.18.0.1", ready=True, terminating=True))], set()),
        ([piece(READY), piece(READY)], {"198.18.0.1"}),
        ([piece(READY), piece(endpoint("198.18.0.2", ready=True))], {"198.18.0.1", "198.18.0.2"}),
        ([piece(READY, ports=[])], set()),
        ([piece(READY, ports=None)], set()),
        ([piece(READY, kind="FQDN")], set()),
        ([{"addressType": "IPv4", "ports": HTTP, "endpoints": None}], set()),
    ],
)
def test_only_ready_endpoints_get_requests(slices: list[dict[str, Any]], hosts: set[str]) -> None:
    assert {address.host for address in find_ready(slices)} == hosts


def test_the_port_named_http_is_taken() -> None:
    ports = [{"name": "metrics", "port": 9}, {"name": "http", "port": 30000}]

    assert find_ready([piece(READY, ports=ports)]) == {Address("198.18.0.1", 30000)}


@pytest.mark.parametrize(
    ("address", "text", "name"),
    [
        (Address("198.18.0.1", 30000), "198.18.0.1:30000", "r-198.18.0.1-30000"),
        (Address("fd00::1", 30000), "[fd00::1]:30000", "r-fd00__1-30000"),
    ],
)
def test_addresses_as_haproxy_reads_them(address: Address, text: str, name: str) -> None:
    assert (address.text, address.server) == (text, name)


@pytest.mark.parametrize(
    ("slices", "pods"),
    [
        ([], {}),
        ([piece(READY)], {"198.18.0.1": "198.18.0.1"}),
        ([piece({**READY, "targetRef": {"kind": "Pod", "name": "a"}})], {"a": "198.18.0.1"}),
        ([piece({**endpoint("198.18.0.1", ready=False), "targetRef": {"name": "a"}})], {}),
        ([piece({**endpoint("198.18.0.1", terminating=True), "targetRef": {"name": "a"}})], {}),
        ([piece({"addresses": [], "targetRef": {"name": "a"}})], {}),
        (
            [
                piece({"addresses": ["fd00::1"], "targetRef": {"name": "a"}}, kind="IPv6"),
                piece({"addresses": ["10.0.0.1"], "targetRef": {"name": "a"}}),
                piece({"addresses": ["10.0.0.2"], "targetRef": {"name": "b"}}),
            ],
            {"a": "10.0.0.1", "b": "10.0.0.2"},
        ),
        ([{"addressType": "IPv4", "ports": HTTP, "endpoints": None}], {}),
    ],
)
def test_ready_pods_have_a_name_and_one_address(
    slices: list[dict[str, Any]], pods: dict[str, str]
) -> None:
    assert find_pods(slices) == pods
    assert find_pods(reversed(slices)) == pods
