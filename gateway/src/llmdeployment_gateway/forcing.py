"""HAProxy rules for clients that choose their revision or arm. The configuration has them only if `LLMD_FORCING` is true."""

from pathlib import Path

from llmdeployment_gateway.maps import BUCKETS

READ_CHOICE = """    http-request set-var-fmt(txn.choice) arm:%[req.fhdr(x-llm-arm)] if { req.fhdr(x-llm-arm) -m found }
    http-request set-var-fmt(txn.choice) revision:%[req.fhdr(x-llm-revision)] if { req.fhdr(x-llm-revision) -m found }
"""
"""Stands before the rule that removes the client's headers. If a client sends both headers, the revision decides."""


def build_choice_rules(forced: Path) -> str:
    """Return the rules that replace the row of the bucket; `forced` is the path of the map of `maps.format_choices`."""
    buckets = forced.with_name(BUCKETS)
    own = (
        "{ var(txn.bucket),sub(txn.low) ge 0 } { var(txn.bucket),sub(txn.low),sub(txn.width) lt 0 }"
    )
    return f"""
    # --- the revision or arm that the client chose ---
    acl asks var(txn.choice) -m found
    acl asks_arm var(txn.low) -m found
    http-request set-var(txn.offer) var(txn.choice),map({forced}) if asks
    # Without any rows the request waits like all others.
    {_build_refusal(forced)} if asks !{{ var(txn.offer) -m found }} {{ str(revisions),map({forced}) -m found }}
    http-request set-var(txn.row) var(txn.offer) if {{ var(txn.choice) -m beg revision: }}
    # An arm: the client's own bucket if it belongs to the arm, else always the same one of the arm's buckets.
    http-request set-var(txn.low) var(txn.offer),field(1,|) if {{ var(txn.choice) -m beg arm: }}
    http-request set-var(txn.width) var(txn.offer),field(2,|) if asks_arm
    http-request set-var(txn.place) var(txn.bucket),mod(txn.width),add(txn.low) if asks_arm
    http-request set-var(txn.place) var(txn.bucket) if asks_arm {own}
    http-request set-var(txn.row) var(txn.place),map_int({buckets}) if asks_arm
    # The maps change one after the other. Until they agree, the hold waits.
    http-request set-var(txn.found_arm) var(txn.row),field(1,|) if asks_arm
    http-request unset-var(txn.row) if asks_arm !{{ var(txn.choice),field(2,:),strcmp(txn.found_arm) eq 0 }}
    http-request set-header x-llm-choice %[var(txn.choice)] if asks

"""


def build_hold_refusal(forced: Path) -> str:
    """Return the hold's rule for a choice that left the routes while its request waited."""
    return f"\n    {_build_refusal(forced)} if {{ var(txn.unknown) -m found }}"


def _build_refusal(forced: Path) -> str:
    return (
        "http-request return status 400 content-type application/json lf-string '"
        '{"error": {"message": "This gateway does not route to the revision or arm that the request chose. '
        f"x-llm-revision may be one of %[str(revisions),map({forced})], x-llm-arm one of %[str(arms),map({forced})]."
        '", "type": "invalid_request_error", "param": null, "code": "unknown_choice"}}\''
    )
