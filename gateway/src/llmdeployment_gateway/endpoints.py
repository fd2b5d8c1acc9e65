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
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                # All addresses of an endpoint belong to the same pod, so the first is enough.
                found.update(Address(host, port) for host in endpoint.get("addresses", ())[:1])
    return frozenset(found)


def _find_port(piece: dict[str, Any]) -> int | None:
    ports = [port for port in piece.get("ports") or () if port.get("port")]
    named = [port for port in ports if port.get("name") == "http"]
    chosen = (named or ports)[:1]
    return int(chosen[0]["port"]) if chosen else None
