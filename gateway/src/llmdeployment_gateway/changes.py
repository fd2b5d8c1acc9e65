"""What is wanted of HAProxy, and the commands that lead there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from llmdeployment_gateway import config, maps, slots
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.runtime_api import Server


@dataclass(frozen=True)
class Desired:
    """Everything HAProxy should know.

    Attributes:
        slots: Service to slot.
        maps: map file's name to its text.
        servers: slot to the addresses that get requests.
    """

    slots: Mapping[str, str]
    maps: Mapping[str, str]
    servers: Mapping[str, frozenset[Address]]


def desired(
    routes: Routes,
    endpoints: Mapping[str, frozenset[Address]],
    keys: Mapping[str, str],
    assigned: Mapping[str, str],
) -> Desired:
    """Return what HAProxy should know.

    Args:
        routes: the routing asked for.
        endpoints: Service to its ready addresses.
        keys: sha256 of a key to its name.
        assigned: Service to slot.
    """
    return Desired(
        slots=assigned,
        maps={
            maps.SLOTS: maps.lines(assigned),
            maps.SETTINGS: maps.settings(routes),
            maps.KEYS: maps.lines(keys),
            maps.FORCED: maps.forced(routes, assigned),
            # Last: nothing is routed to a slot before its servers and settings are there.
            maps.BUCKETS: maps.buckets(routes, assigned),
        },
        servers={slot: endpoints.get(service, frozenset()) for service, slot in assigned.items()},
    )


def additions(
    wanted: Mapping[str, frozenset[Address]],
    found: Mapping[str, Mapping[str, Server]],
    requests: int,
) -> list[tuple[str, str]]:
    """Return the commands that bring servers in, each with the start of the answer that means it was done.

    Args:
        wanted: slot to the addresses that get requests.
        found: slot to the servers that HAProxy has.
        requests: how many a new server gets at once.
    """
    commands: list[tuple[str, str]] = []
    for slot, addresses in wanted.items():
        there = found.get(slot, {})
        for address in sorted(addresses):
            server = f"{slot}/{address.server}"
            known = there.get(address.server)
            if known is not None and not known.maintenance:
                continue
            if known is None:
                add = f"add server {server} {address.text} {config.server(requests)}"
                commands.append((add, "New server registered"))
            commands.append((f"enable health {server}", ""))
            commands.append((f"set server {server} state ready", ""))
    return commands


def removals(
    wanted: Mapping[str, frozenset[Address]], found: Mapping[str, Mapping[str, Server]]
) -> tuple[list[str], list[str]]:
    """Return the commands that take servers out, and those that then forget them.

    Maintenance stops new requests and cuts none; HAProxy refuses to forget a server until its last request ended.
    """
    out, forget = [], []
    for slot in slots.NAMES:
        names = {address.server for address in wanted.get(slot, ())}
        for server in found.get(slot, {}).values():
            if server.name not in names:
                if not server.maintenance:
                    out.append(f"set server {slot}/{server.name} state maint")
                forget.append(f"del server {slot}/{server.name}")
    return out, forget
