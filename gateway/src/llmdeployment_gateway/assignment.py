"""Assignment keys: `LLMD_ASSIGNMENT_KEYS` as HAProxy rules that look for each key in order."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LONGEST_KEY = 256
"""Bytes. A longer value, or an empty one, counts as missing."""
_NAMED = re.compile(r"Header/[a-z0-9][a-z0-9_-]{0,61}|Body/[A-Za-z_][A-Za-z0-9_-]{0,61}")
# Without Content-Length only the end of the JSON shows that a body is complete. An incomplete body of up to this size is invalid.
_CUT_BYTES = 8192


@dataclass(frozen=True)
class Key:
    """Where a key is found: a header, a top-level field of the JSON body, or the hash of the API key (whose name is empty)."""

    kind: Literal["Header", "Body", "APIKey"]
    name: str = ""


DEFAULT = (Key("Header", "x-user"), Key("APIKey"))


def parse_keys(text: str) -> tuple[Key, ...]:
    """Return the keys of a comma-separated list.

    >>> parse_keys("Header/x-user,APIKey") == DEFAULT
    True

    Raises:
        ValueError: an entry is not a key, or is there twice.
    """
    entries = text.split(",")
    if len(set(entries)) < len(entries):
        raise ValueError(f"{text!r} names a key twice. Remove one of them.")
    return tuple(map(_parse_key, entries))


def _parse_key(entry: str) -> Key:
    if entry == "APIKey":
        return Key("APIKey")
    if not _NAMED.fullmatch(entry):
        raise ValueError(
            f"{entry!r} must be Header/<lower-case name>, Body/<top-level field> or APIKey."
        )
    kind, _, name = entry.partition("/")
    return Key("Header" if kind == "Header" else "Body", name)


def reads_bodies(keys: Iterable[Key]) -> bool:
    """Return whether any key is a field of the body."""
    return any(key.kind == "Body" for key in keys)


def build_rules(keys: Sequence[Key]) -> str:
    """Return the rules that set `txn.unit` to the first key that a request has; without any key it stays unset."""
    lines = (line for place, key in enumerate(keys) for line in _build_key_rules(key, keys[:place]))
    return "\n".join(f"    http-request {line}" for line in lines)


def _build_key_rules(key: Key, before: Sequence[Key]) -> tuple[str, ...]:
    missing = " !{ var(txn.unit) -m found }" if before else ""
    if key.kind == "Header":
        value = f"req.fhdr({key.name})"
        return (f"set-var(txn.unit) {value} if {{ {value} -m len 1:{LONGEST_KEY} }}{missing}",)
    if key.kind == "APIKey":
        return (f"set-var(txn.unit) var(txn.key) if {{ var(txn.key) -m found }}{missing}",)
    return _build_body_rules(key, before)


def _build_body_rules(key: Key, before: Sequence[Key]) -> tuple[str, ...]:
    # The body is complete here, or the buffer is full.
    missing = "if completes !{ var(txn.unit) -m found }"
    cut = f"{missing} {{ var(txn.unfinished) -m found }}"
    refusal = f"set-var-fmt(txn.too_large) '{_describe_too_large(key, before)}' {cut}"
    return (
        f"lua.body_key {key.name} {missing}",
        "set-var(txn.body_there) req.body_len",
        f"{refusal} {{ req.body_size,sub(txn.body_there) gt 0 }}",
        f"{refusal} !{{ req.hdr(content-length) -m found }} {{ req.body_len gt {_CUT_BYTES} }}",
        "use-service lua.too_large if { var(txn.too_large) -m found }",
    )


def _describe_too_large(key: Key, before: Sequence[Key]) -> str:
    header = next((each.name for each in before if each.kind == "Header"), "")
    instead = (
        f"Send the header {header} instead."
        if header
        else "Send a smaller body, or let the LLMDeployment list a header first in spec.gateway.assignment.keys."
    )
    return f"The body is too large for the gateway to find its field {key.name}, by which it assigns requests. {instead}"
