"""EndpointSlices, read as the addresses that may get requests."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Address:
    """Where a replica answers."""

    host: str
    port: int

    @property
    def server(self) -> str:
        """HAProxy's name of it, unique within a backend."""
        return f"r-{self.host.replace(':', '_')}-{self.port}"

    @property
    def text(self) -> str:
        """As HAProxy reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def ready_addresses(slices: Iterable[dict[str, Any]]) -> frozenset[Address]:
    """Return the addresses that are ready, of all slices of one Service.

    An endpoint that terminates is not ready, whatever it still answers: what it has under way may end there.
    """
    found: set[Address] = set()
    for piece in slices:
        port = _port(piece)
        if port is None or piece.get("addressType") == "FQDN":
            continue
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                # All addresses of an endpoint are the same pod: consumers take the first.
                found.update(Address(host, port) for host in endpoint.get("addresses", ())[:1])
    return frozenset(found)


def _port(piece: dict[str, Any]) -> int | None:
    ports = [port for port in piece.get("ports") or () if port.get("port")]
    named = [port for port in ports if port.get("name") == "http"]
    chosen = (named or ports)[:1]
    return int(chosen[0]["port"]) if chosen else None
