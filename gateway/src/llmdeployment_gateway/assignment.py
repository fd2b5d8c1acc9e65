"""What a request is assigned by: the keys of `LLMD_ASSIGNMENT_KEYS`, as the rules of HAProxy that look for them in order."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LONGEST_KEY = 256
"""Bytes. What is longer, or empty, is as if it were not there."""
_NAMED = re.compile(r"Header/[a-z0-9][a-z0-9_-]{0,61}|Body/[A-Za-z_][A-Za-z0-9_-]{0,61}")
# Without a content-length nobody knows that a body ends here, so the end of its JSON has to tell. One that small is just broken.
_CUT_BYTES = 8192


@dataclass(frozen=True)
class Key:
    """Where a key is: a header, a top-level field of the JSON body, or the hash of the API key (whose name is empty)."""

    kind: Literal["Header", "Body", "APIKey"]
    name: str = ""


DEFAULT = (Key("Header", "x-user"), Key("APIKey"))


def parse(text: str) -> tuple[Key, ...]:
    """Return the keys of a comma separated list.

    >>> parse("Header/x-user,APIKey") == DEFAULT
    True

    Raises:
        ValueError: an entry is none, or there twice.
    """
    entries = text.split(",")
    if len(set(entries)) < len(entries):
        raise ValueError(f"{text!r} names a key twice")
    return tuple(map(_key, entries))


def _key(entry: str) -> Key:
    if entry == "APIKey":
        return Key("APIKey")
    if not _NAMED.fullmatch(entry):
        raise ValueError(
            f"{entry!r} must be Header/<lower-case name>, Body/<top-level field> or APIKey"
        )
    kind, _, name = entry.partition("/")
    return Key("Header" if kind == "Header" else "Body", name)


def reads_bodies(keys: Iterable[Key]) -> bool:
    """Return whether any of the keys is in the body."""
    return any(key.kind == "Body" for key in keys)


def rules(keys: Sequence[Key]) -> str:
    """Return the rules that set `txn.unit` to the first key that is there, and leave it unset when none is."""
    lines = (line for place, key in enumerate(keys) for line in _rules(key, keys[:place]))
    return "\n".join(f"    http-request {line}" for line in lines)


def _rules(key: Key, before: Sequence[Key]) -> tuple[str, ...]:
    missing = " !{ var(txn.unit) -m found }" if before else ""
    if key.kind == "Header":
        value = f"req.fhdr({key.name})"
        return (f"set-var(txn.unit) {value} if {{ {value} -m len 1:{LONGEST_KEY} }}{missing}",)
    if key.kind == "APIKey":
        return (f"set-var(txn.unit) var(txn.key) if {{ var(txn.key) -m found }}{missing}",)
    return _body_rules(key, before)


def _body_rules(key: Key, before: Sequence[Key]) -> tuple[str, ...]:
    # Waits until the body is there or the buffer full; with an earlier key found the body streams through as ever.
    missing = "if completes !{ var(txn.unit) -m found }"
    cut = f"{missing} {{ var(txn.unfinished) -m found }}"
    refusal = f"set-var-fmt(txn.too_large) '{_too_large(key, before)}' {cut}"
    return (
        f"wait-for-body time 30s {missing}",
        f"lua.body_key {key.name} {missing}",
        "set-var(txn.body_there) req.body_len",
        f"{refusal} {{ req.body_size,sub(txn.body_there) gt 0 }}",
        f"{refusal} !{{ req.hdr(content-length) -m found }} {{ req.body_len gt {_CUT_BYTES} }}",
        "use-service lua.too_large if { var(txn.too_large) -m found }",
    )


def _too_large(key: Key, before: Sequence[Key]) -> str:
    header = next((each.name for each in before if each.kind == "Header"), "")
    instead = (
        f"Send the header {header} instead."
        if header
        else "Send less, or have a header looked for first: spec.gateway.assignment.keys of the LLMDeployment."
    )
    return f"The body is too large for the gateway to find its field {key.name}, by which requests are assigned. {instead}"
