"""The rules of HAProxy for clients that choose their revision or arm; none of them are there unless clients may."""

from pathlib import Path

from llmdeployment_gateway.maps import BUCKETS

ASKED = """    http-request set-var-fmt(txn.choice) arm:%[req.fhdr(x-llm-arm)] if { req.fhdr(x-llm-arm) -m found }
    http-request set-var-fmt(txn.choice) revision:%[req.fhdr(x-llm-revision)] if { req.fhdr(x-llm-revision) -m found }
"""
"""Goes before the client's headers are removed. The revision is the narrower choice, so it is the one that counts."""


def choosing(forced: Path) -> str:
    """Return the rules that replace the row of the bucket; `forced` is the map `maps.forced` writes."""
    buckets = forced.with_name(BUCKETS)
    own = (
        "{ var(txn.bucket),sub(txn.low) ge 0 } { var(txn.bucket),sub(txn.low),sub(txn.width) lt 0 }"
    )
    return f"""
    # --- what the client asked for instead ---
    acl asks var(txn.choice) -m found
    acl asks_arm var(txn.low) -m found
    http-request set-var(txn.offer) var(txn.choice),map({forced}) if asks
    # Without any rows the choice waits like everybody else.
    {_refusal(forced)} if asks !{{ var(txn.offer) -m found }} {{ str(revisions),map({forced}) -m found }}
    http-request set-var(txn.row) var(txn.offer) if {{ var(txn.choice) -m beg revision: }}
    # An arm: the client's own bucket if it is one of the arm's, else one of them that is always the same.
    http-request set-var(txn.low) var(txn.offer),field(1,|) if {{ var(txn.choice) -m beg arm: }}
    http-request set-var(txn.width) var(txn.offer),field(2,|) if asks_arm
    http-request set-var(txn.place) var(txn.bucket),mod(txn.width),add(txn.low) if asks_arm
    http-request set-var(txn.place) var(txn.bucket) if asks_arm {own}
    http-request set-var(txn.row) var(txn.place),map_int({buckets}) if asks_arm
    # The maps change one after the other: for that moment the hold waits until they agree.
    http-request set-var(txn.found_arm) var(txn.row),field(1,|) if asks_arm
    http-request unset-var(txn.row) if asks_arm !{{ var(txn.choice),field(2,:),strcmp(txn.found_arm) eq 0 }}
    http-request set-header x-llm-choice %[var(txn.choice)] if asks

"""


def refusing(forced: Path) -> str:
    """Return the hold's rule for a choice that went away while its request waited."""
    return f"\n    {_refusal(forced)} if {{ var(txn.unknown) -m found }}"


def _refusal(forced: Path) -> str:
    return (
        "http-request return status 400 content-type application/json lf-string '"
        '{"error": {"message": "Nothing here has the revision or arm that was asked for. '
        f"x-llm-revision may be one of %[str(revisions),map({forced})], x-llm-arm one of %[str(arms),map({forced})]."
        '", "type": "invalid_request_error", "param": null, "code": "unknown_choice"}}\''
    )
