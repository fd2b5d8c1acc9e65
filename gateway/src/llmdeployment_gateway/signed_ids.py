"""The ids by which clients give feedback: HAProxy signs one for each answer, and the agent checks it without having kept it.

An id is `uuid.time.bucket.revision.arm.signature`. The signature is the first 16 bytes, in hex, of

    HMAC-SHA256(key, "uuid.time.bucket.revision.arm|owner")

where `owner` is the sha256 of the client's API key, or empty where no key is asked for. So an id of another key is not valid, and neither
is one that was changed. HAProxy makes the same signature in `voting.build_rules`; a test holds the two together.
"""

import base64
import hmac
from dataclasses import dataclass

KEY_BYTES = 32
SIGNATURE_BYTES = 16
"""A guess is right once in 2**128."""
_FIELDS = 5


@dataclass(frozen=True)
class SignedId:
    """What an id says of its request.

    Attributes:
        request: the UUID that the replica was given as `x-request-id`.
        at: when the answer began, in seconds since 1970.
        bucket: the bucket that the request was assigned to.
        revision: the revision that answered.
        arm: the arm that answered.
        signature: the id's own.
    """

    request: str
    at: int
    bucket: int
    revision: str
    arm: str
    signature: bytes


def decode_key(text: str) -> bytes:
    """Return the key that ids are signed with.

    Raises:
        ValueError: it is not the base64 of 32 bytes. The message does not repeat it.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"it must be {KEY_BYTES} bytes in base64")
    return key


def sign(text: str, owner: str, key: bytes) -> str:
    """Return the id for the text `uuid.time.bucket.revision.arm`.

    >>> sign("u-1.1700000000.70.2.main", "", bytes(32))
    'u-1.1700000000.70.2.main.18e21ea28b49cdc004406baff5e03c0f'
    """
    return f"{text}.{_compute_signature(text, owner, key).hex()}"


def read_id(text: str, owner: str, key: bytes) -> SignedId | None:
    """Return what an id says, or None if it was not signed with this key for this owner."""
    signed, _, signature = text.rpartition(".")
    expected = _compute_signature(signed, owner, key)
    # As bytes: what a client sends may be beyond ASCII.
    if not hmac.compare_digest(signature.encode(errors="replace"), expected.hex().encode()):
        return None
    parts = signed.split(".", _FIELDS - 1)
    if len(parts) < _FIELDS:
        return None
    request, at, bucket, revision, arm = parts
    if not (at.isdecimal() and bucket.isdecimal() and revision.isdecimal()):
        return None
    return SignedId(request, int(at), int(bucket), revision, arm, expected)


def _compute_signature(text: str, owner: str, key: bytes) -> bytes:
    signed = f"{text}|{owner}".encode(errors="replace")
    return hmac.digest(key, signed, "sha256")[:SIGNATURE_BYTES]
