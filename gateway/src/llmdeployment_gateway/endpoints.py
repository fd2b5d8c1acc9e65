"""Addresses that may get requests, read from EndpointSlices."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Address:
    """Host and port of a replica."""

    host: str
    port: int

    @property
    def server(self) -> str:
        """The server's name in HAProxy, unique within a backend."""
        return f"r-{self.host.replace(':', '_')}-{self.port}"

    @property
    def text(self) -> str:
        """The address in HAProxy's notation."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_ready(slices: Iterable[dict[str, Any]]) -> frozenset[Address]:
    """Return the ready addresses in all slices of one Service.

    A terminating endpoint is not ready, even if it still answers: only its current requests may end there.
    """
    found: set[Address] = set()
    for piece in slices:
        port = _find_port(piece)
        if port is None or piece.get("addressType") == "FQDN":
            continue
        for endpoint in piece.get("endpoints") or ():
            if _is_ready(endpoint):
                # All addresses of an endpoint belong to the same pod, so the first is enough.
                found.update(Address(host, port) for host in endpoint.get("addresses", ())[:1])
    return frozenset(found)


def find_pods(slices: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the address of each ready pod in all slices of one Service, by its name."""
    found: dict[str, str] = {}
    for piece in slices:
        for endpoint in piece.get("endpoints") or ():
            addresses = endpoint.get("addresses") or ()
            if addresses and _is_ready(endpoint):
                name = (endpoint.get("targetRef") or {}).get("name") or addresses[0]
                found[str(name)] = min(addresses[0], found.get(str(name), addresses[0]))
    return found


def _is_ready(endpoint: dict[str, Any]) -> bool:
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False and not conditions.get("terminating")


def _find_port(piece: dict[str, Any]) -> int | None:
    ports = [port for port in piece.get("ports") or () if port.get("port")]
    named = [port for port in ports if port.get("name") == "http"]
    chosen = (named or ports)[:1]
    return int(chosen[0]["port"]) if chosen else None
