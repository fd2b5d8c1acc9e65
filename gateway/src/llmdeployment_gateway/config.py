"""HAProxy's configuration file."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from llmdeployment_gateway import api_paths, assignment, forcing, maps, slots, tracing, voting
from llmdeployment_gateway.bounded import BOUND_SECONDS
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import BUCKETS
from llmdeployment_gateway.settings import Settings

BODY_BYTES = 4 * 1024 * 1024
"""Bytes of a body, at most: the replica's own limit. The replica itself checks a body without Content-Length."""
_DRAINED_BYTES = 64 * 1024 * 1024
"""Bytes. A larger body is refused at once; one between the limit and this size is read to its end before it is refused."""
BUFFER_BYTES = 64 * 1024
"""Bytes. A larger request (with its headers) is not sent again after a 503."""
BODY_BUFFER_BYTES = 256 * 1024
"""Bytes of the buffer if requests are assigned by a field of the body, which must fit it. Measured: it costs no CPU, and memory
only for what clients really send."""
HARD_STOP_SECONDS = 640
"""Less than the pod's terminationGracePeriodSeconds (660), so that HAProxy ends by itself and is not killed."""
LONGEST_SECONDS = 900
"""Seconds of silence on either side after which a request ends; an answer that is not streamed may take this long."""
STRIDE = 6101
"""Buckets between two requests without a key: 61 hundreds (near the golden section) and 1. Of 100 requests in a row, each percent
of the buckets gets one, give or take one."""
_SERVER = (
    # A refused connection marks a server down at once, and one good check marks it up. The request that was refused
    # goes to another server, or into the hold.
    "check inter 2s fastinter 200ms downinter 500ms fall 3 rise 1 "
    "observe layer4 error-limit 1 on-error mark-down"
)

_KEY_TABLE = """
# Requests under way, by the hash of their API key.
backend keys
    stick-table type string len 64 size 10k expire 1h store conn_cur
"""
_BODY_LUA = "body.lua"
_KEY_NAME = "    http-request set-header x-llm-key-name %[var(txn.key_name)]\n"
_UNAUTHORIZED = (
    "    http-request return status 401 content-type application/json string '"
    '{"error": {"message": "The API key is missing or wrong. Send it as: Authorization: Bearer <key>", '
    '"type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}'
    "' hdr www-authenticate Bearer unless { var(txn.key_name) -m found }"
)


def render(settings: Settings, servers: Mapping[str, Iterable[Address]]) -> str:
    """Return the configuration. `servers` maps a slot to the servers that HAProxy starts with."""
    keys = settings.assignment_keys
    reads_bodies = assignment.reads_bodies(keys)
    forced = settings.run_dir / maps.FORCED
    return Template(_read_file("haproxy.cfg")).substitute(
        run=settings.run_dir,
        bind=settings.bind,
        grace=settings.grace_seconds,
        hard_stop=HARD_STOP_SECONDS,
        longest=LONGEST_SECONDS,
        queue=settings.queue_seconds,
        buffer_bytes=BODY_BUFFER_BYTES if reads_bodies else BUFFER_BYTES,
        load_body=_build_body_directive(settings.run_dir) if reads_bodies else "",
        unit=assignment.build_rules(keys),
        trace=tracing.build_rules(settings.traces),
        logged=tracing.LOGGED if settings.traces is not None else "",
        asked=forcing.READ_CHOICE if settings.forcing else "",
        choosing=forcing.build_choice_rules(forced) if settings.forcing else "",
        refusing=forcing.build_hold_refusal(forced) if settings.forcing else "",
        body_bytes=BODY_BYTES,
        drained_bytes=_DRAINED_BYTES,
        body_mib=BODY_BYTES // 1024 // 1024,
        buckets=BUCKETS,
        bound_seconds=BOUND_SECONDS,
        stride=STRIDE,
        auth=_build_auth(settings),
        key_name="" if settings.auth == "none" else _KEY_NAME,
        post_paths=" ".join(api_paths.POST),
        **voting.build_rules(settings.run_dir, signing=settings.feedback_key is not None),
        sources=settings.source_connections,
        key_table=_KEY_TABLE if settings.key_requests is not None else "",
        slots="".join(
            _build_backend(settings, name, servers.get(name, ())) for name in slots.NAMES
        ),
    )


def build_server_options(requests: int) -> str:
    """Return the options behind a server's address, for a replica that takes `requests` requests at once."""
    return f"{_SERVER} maxconn {requests}"


def read_programs() -> dict[str, str]:
    """Return our Lua programs by file name: the hold, and the search for a field of the body."""
    return {name: _read_file(name) for name in ("hold.lua", _BODY_LUA)}


def _build_body_directive(run_dir: Path) -> str:
    return f"    lua-load-per-thread {run_dir}/{_BODY_LUA}\n"


def _read_file(name: str) -> str:
    return (files("llmdeployment_gateway") / "files" / name).read_text()


def _build_auth(settings: Settings) -> str:
    if settings.auth == "none":
        return "    # (anybody)"
    return "\n".join(
        (
            "    http-request set-var(txn.key) http_auth_bearer,sha2(256),hex,lower",
            # Where Anthropic's clients have it.
            "    http-request set-var(txn.key) req.hdr(x-api-key),sha2(256),hex,lower unless { var(txn.key) -m found }",
            f"    http-request set-var(txn.key_name) var(txn.key),map({settings.run_dir}/keys.map)",
            _UNAUTHORIZED,
            *_build_key_limit(settings.key_requests),
        )
    )


def _build_key_limit(requests: int | None) -> tuple[str, ...]:
    if requests is None:
        return ()
    refusal = (
        f'{{"error": {{"message": "This API key has {requests} requests under way, which is the limit. Send the request again later.", '
        '"type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}}'
    )
    when = f"if {{ sc2_conn_cur gt {requests} }}"
    return (
        "    http-request track-sc2 var(txn.key) table keys",
        f"    http-request return status 429 content-type application/json string '{refusal}' hdr retry-after 1 {when}",
    )


def _build_queue_refusal(requests: int) -> str:
    """Return the rule for a request that finds too many waiting; those that leave the hold together are let in."""
    refusal = (
        f'{{"error": {{"message": "{requests} requests wait for a replica already, which is the limit. Send the request again later.", '
        '"type": "rate_limit_error", "param": null, "code": "queue_full"}}'
    )
    when = f"if {{ queue ge {requests} }} !{{ req.hdr(x-llm-deadline) -m found }}"
    return (
        "    http-request return status 429 content-type application/json "
        f"string '{refusal}' hdr retry-after 1 {when}"
    )


def _build_backend(settings: Settings, name: str, servers: Iterable[Address]) -> str:
    options = build_server_options(settings.replica_requests)
    rows = "".join(f"    server {each.server} {each.text} {options}\n" for each in sorted(servers))
    return f"""
backend {name}
    balance leastconn
    option httpchk
    http-check send meth GET uri /health
    http-check expect status 200
    timeout check 5s
{_build_queue_refusal(settings.queue_requests)}
{rows}    server hold unix@{settings.run_dir}/hold.sock backup
"""
