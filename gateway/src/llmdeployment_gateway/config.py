"""HAProxy's configuration file."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from llmdeployment_gateway import assignment, forcing, maps, slots
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import BUCKETS
from llmdeployment_gateway.settings import Settings

BODY_BYTES = 4 * 1024 * 1024
"""The replica's own limit; a body with no Content-Length is left to it."""
_DRAINED_BYTES = 64 * 1024 * 1024
"""A body above the limit is read to its end before it is refused, up to this size."""
BUFFER_BYTES = 64 * 1024
"""A request that is larger, with its headers, is not sent again after a 503."""
BODY_BUFFER_BYTES = 256 * 1024
"""The same where requests are assigned by a field of the body, which must then be in it. Measured: costs no CPU, and memory only
for what clients really send."""
HARD_STOP_SECONDS = 640
"""Below the pod's terminationGracePeriodSeconds (660), so that the end is HAProxy's and not a kill."""
LONGEST_SECONDS = 900
"""Silence on either side that ends a request; a replica may think this long over an answer that is not streamed."""
STRIDE = 6101
"""Steps of 61 hundreds, near the golden section, and 1 more: a hundred requests in a row visit each percent once, give or take one."""
_SERVER = (
    # A refused connection takes a server out at once, and one good answer brings it back: the request that was refused
    # then goes to another one, or into the hold.
    "check inter 2s fastinter 200ms downinter 500ms fall 3 rise 1 "
    "observe layer4 error-limit 1 on-error mark-down"
)
QUEUE_SECONDS = 60
"""How long a request waits for a place when all replicas have as many as they take at once."""

_BODY_LUA = "body.lua"
_UNAUTHORIZED = (
    "    http-request return status 401 content-type application/json string '"
    '{"error": {"message": "The API key is missing or wrong. Send it as: Authorization: Bearer <key>", '
    '"type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}'
    "' hdr www-authenticate Bearer unless { var(txn.key_name) -m found }"
)


def render(settings: Settings, servers: Mapping[str, Iterable[Address]]) -> str:
    """Return the configuration, with the servers of each slot (by name) that HAProxy starts with."""
    keys = settings.assignment_keys
    reads_bodies = assignment.reads_bodies(keys)
    forced = settings.run_dir / maps.FORCED
    return Template(_file("haproxy.cfg")).substitute(
        run=settings.run_dir,
        bind=settings.bind,
        grace=settings.grace_seconds,
        hard_stop=HARD_STOP_SECONDS,
        longest=LONGEST_SECONDS,
        queue=QUEUE_SECONDS,
        buffer_bytes=BODY_BUFFER_BYTES if reads_bodies else BUFFER_BYTES,
        load_body=_load_body(settings.run_dir) if reads_bodies else "",
        unit=assignment.rules(keys),
        asked=forcing.ASKED if settings.forcing else "",
        choosing=forcing.choosing(forced) if settings.forcing else "",
        refusing=forcing.refusing(forced) if settings.forcing else "",
        body_bytes=BODY_BYTES,
        drained_bytes=_DRAINED_BYTES,
        body_mib=BODY_BYTES // 1024 // 1024,
        buckets=BUCKETS,
        stride=STRIDE,
        auth=_auth(settings),
        slots="".join(_slot(settings, name, servers.get(name, ())) for name in slots.NAMES),
    )


def server(requests: int) -> str:
    """Return what follows a server's address, for a replica that takes so many requests at once."""
    return f"{_SERVER} maxconn {requests}"


def programs() -> dict[str, str]:
    """Return what HAProxy runs of ours, by file name: the hold, and the search for a field of the body."""
    return {name: _file(name) for name in ("hold.lua", _BODY_LUA)}


def _load_body(run_dir: Path) -> str:
    return f"    lua-load-per-thread {run_dir}/{_BODY_LUA}\n"


def _file(name: str) -> str:
    return (files("llmdeployment_gateway") / "files" / name).read_text()


def _auth(settings: Settings) -> str:
    if settings.auth == "none":
        return "    # (anybody)"
    return "\n".join(
        (
            "    http-request set-var(txn.key) http_auth_bearer,sha2(256),hex,lower",
            f"    http-request set-var(txn.key_name) var(txn.key),map({settings.run_dir}/keys.map)",
            _UNAUTHORIZED,
        )
    )


def _slot(settings: Settings, name: str, servers: Iterable[Address]) -> str:
    options = server(settings.replica_requests)
    rows = "".join(f"    server {each.server} {each.text} {options}\n" for each in sorted(servers))
    return f"""
backend {name}
    balance leastconn
    option httpchk
    http-check send meth GET uri /health
    http-check expect status 200
    timeout check 5s
{rows}    server hold unix@{settings.run_dir}/hold.sock backup
"""
