"""HAProxy rules that sign an id for each answer and lead votes to the agent. The configuration has them only if there is a key."""

from collections.abc import Mapping
from pathlib import Path

from llmdeployment_gateway import api_paths
from llmdeployment_gateway.settings import FEEDBACK_KEY
from llmdeployment_gateway.signed_ids import SIGNATURE_BYTES
from llmdeployment_gateway.votes import BODY_BYTES

SOCKET = "feedback.sock"
OWNER_HEADER = "x-llm-owner"
"""Tells the agent the sha256 of the voter's API key. HAProxy removes the client's own `x-llm-*` headers first."""
PATH = "/v1/feedback"
_AGENT_SECONDS = 10

_KEY = f"""    # From the environment: the key is in no file, and in no argument.
    set-var proc.feedback_key env({FEEDBACK_KEY})
"""
_PATHS = f"""    acl votes path {PATH}
    http-request return status 405 content-type application/json string \
'{{"error": {{"message": "This path takes POST only. Send the request as POST.", "type": "invalid_request_error", "param": null, \
"code": "method_not_allowed"}}}}' hdr allow POST if votes !METH_POST
"""
_LIMIT = f"""    http-request set-var-fmt(txn.too_large) \
'The vote is larger than {BODY_BYTES // 1024} KiB. Send a shorter comment.' if votes {{ req.body_size gt {BODY_BYTES} }}
"""
_VOTING = f"""
    # --- a vote goes to the agent, and takes no bucket ---
    http-request wait-for-body time 30s if votes
    http-request set-header {OWNER_HEADER} %[var(txn.key)] if votes {{ var(txn.key) -m found }}
    http-request allow if votes
    http-request set-var(txn.asks) path if completes
"""
_ROUTE = """    use_backend feedback if votes
"""
_SIGNING = f"""
    # --- the id that feedback needs (signed_ids.py) ---
    acl has_id var(txn.feedback_id) -m found
    http-response set-var-fmt(txn.signed) %[unique-id].%[date].%[var(txn.bucket)].%[var(txn.revision)].%[var(txn.arm)] \
if {{ var(txn.asks) -m found }} {{ var(txn.revision) -m found }} {{ status 200 }}
    http-response set-var-fmt(txn.signed_for) %[var(txn.signed)]|%[var(txn.key)] if {{ var(txn.signed) -m found }}
    http-response set-var(txn.signature) var(txn.signed_for),hmac(sha256,proc.feedback_key),bytes(0,{SIGNATURE_BYTES}),hex,lower \
if {{ var(txn.signed) -m found }}
    http-response set-var-fmt(txn.feedback_id) %[var(txn.signed)].%[var(txn.signature)] if {{ var(txn.signature) -m found }}
    http-response set-header x-llm-feedback-id %[var(txn.feedback_id)] if has_id
    http-response set-var(txn.request_id) var(txn.feedback_id) if has_id !{{ var(txn.own_id) -m found }}
"""
_RULES = {
    "feedback_key": _KEY,
    "feedback_paths": _PATHS,
    "feedback_limit": _LIMIT,
    "feedback_voting": _VOTING,
    "feedback_route": _ROUTE,
    "feedback_signing": _SIGNING,
    "or_votes": " or votes",
    "answered": api_paths.name_paths(PATH),
}
_NO_RULES = dict.fromkeys(_RULES, "") | {"answered": api_paths.name_paths()}


def build_rules(run_dir: Path, *, signing: bool) -> Mapping[str, str]:
    """Return the rules by their place in the configuration; without a key to sign with there is no feedback."""
    if not signing:
        return {**_NO_RULES, "feedback_agent": ""}
    return {**_RULES, "feedback_agent": _build_agent(run_dir)}


def _build_agent(run_dir: Path) -> str:
    """Return the backend of votes. HAProxy does not wait for a socket that is not there."""
    refusal = (
        "The agent of this gateway does not answer, so the vote was not counted. Send it again."
    )
    body = f'{{"error": {{"message": "{refusal}", "type": "server_error", "param": null, "code": "feedback_unavailable"}}}}'
    errors = "".join(
        f"    http-error status {status} content-type application/json string '{body}' hdr retry-after 2\n"
        for status in (502, 503, 504)
    )
    return f"""
# Votes. The agent counts them.
backend feedback
    timeout server {_AGENT_SECONDS}s
{errors}    server agent unix@{run_dir}/{SOCKET}
"""
