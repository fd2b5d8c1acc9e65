"""The desired state of HAProxy, and the commands that lead to it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from llmdeployment_gateway import config, maps, slots
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.runtime_api import Server


@dataclass(frozen=True)
class HAProxyState:
    """Everything that HAProxy should know.

    Attributes:
        slots: service to slot.
        maps: name of a map file to its text.
        servers: slot to the addresses that should get requests.
        requests: slot to the requests that each of its servers takes at once, where that is not as the settings say.
    """

    slots: Mapping[str, str]
    maps: Mapping[str, str]
    servers: Mapping[str, frozenset[Address]]
    requests: Mapping[str, int]


def build_state(
    routes: Routes,
    endpoints: Mapping[str, frozenset[Address]],
    keys: Mapping[str, str],
    assigned: Mapping[str, str],
) -> HAProxyState:
    """Return the desired state of HAProxy.

    Args:
        routes: the routing that the operator wrote.
        endpoints: service to its ready addresses.
        keys: sha256 (hex) of an API key to its name.
        assigned: service to slot.
    """
    return HAProxyState(
        slots=assigned,
        maps={
            maps.SLOTS: maps.format_map(assigned),
            maps.SETTINGS: maps.format_settings(routes),
            maps.KEYS: maps.format_map(keys),
            maps.FORCED: maps.format_choices(routes, assigned),
            # Last, so that nothing is routed to a slot before its servers and settings are in place.
            maps.BUCKETS: maps.format_buckets(routes, assigned),
        },
        servers={slot: endpoints.get(service, frozenset()) for service, slot in assigned.items()},
        requests={
            slot: routes.replica_requests[service]
            for service, slot in assigned.items()
            if service in routes.replica_requests
        },
    )


def list_additions(
    wanted: Mapping[str, frozenset[Address]],
    found: Mapping[str, Mapping[str, Server]],
    requests: Mapping[str, int],
    default: int,
) -> list[tuple[str, str]]:
    """Return the commands that add servers, each with the start of the answer that means success.

    Args:
        wanted: slot to the addresses that should get requests.
        found: slot to the servers that HAProxy has.
        requests: slot to how many requests a new server of it gets at once.
        default: how many it gets where `requests` does not say.
    """
    commands: list[tuple[str, str]] = []
    for slot, addresses in wanted.items():
        options = config.build_server_options(requests.get(slot, default))
        there = found.get(slot, {})
        for address in sorted(addresses):
            server = f"{slot}/{address.server}"
            known = there.get(address.server)
            if known is not None and not known.maintenance:
                continue
            if known is None:
                add = f"add server {server} {address.text} {options}"
                commands.append((add, "New server registered"))
            commands.append((f"enable health {server}", ""))
            commands.append((f"set server {server} state ready", ""))
    return commands


def list_removals(
    wanted: Mapping[str, frozenset[Address]], found: Mapping[str, Mapping[str, Server]]
) -> tuple[list[str], list[str]]:
    """Return the commands that put servers into maintenance, and those that then delete them.

    Maintenance stops new requests and cuts off none. HAProxy refuses to delete a server until its last request has ended.
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
