"""Ids for feedback: nobody makes one without the key, and none is worth anything after a change."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway.signed_ids import SignedId, decode_key, read_id, sign

KEY = bytes(range(32))
OWNER = hashlib.sha256(b"a key").hexdigest()
TEXT = "772aacdf-6b47-4b32-9522-3e19436d14b2.1700000000.7123.12.terse"


@pytest.mark.parametrize("owner", ["", OWNER])
def test_an_id_says_what_was_signed(owner: str) -> None:
    number = sign(TEXT, owner, KEY)
    # The equation of the module's docstring, done once more.
    signature = hmac.new(KEY, f"{TEXT}|{owner}".encode(), hashlib.sha256).digest()[:16]
    assert number == f"{TEXT}.{signature.hex()}"
    assert read_id(number, owner, KEY) == SignedId(
        "772aacdf-6b47-4b32-9522-3e19436d14b2", 1_700_000_000, 7123, "12", "terse", signature
    )


def test_an_id_of_another_owner_or_key_is_none() -> None:
    number = sign(TEXT, OWNER, KEY)
    assert read_id(number, "", KEY) is None
    assert read_id(number, OWNER.upper(), KEY) is None
    assert read_id(number, OWNER, bytes(32)) is None
    assert read_id(sign(TEXT, "", KEY), OWNER, KEY) is None


@given(st.integers(0, len(sign(TEXT, "", KEY).encode()) - 1), st.integers(1, 255))
def test_an_id_with_any_changed_byte_is_none(place: int, change: int) -> None:
    changed = bytearray(sign(TEXT, "", KEY).encode())
    changed[place] ^= change
    assert read_id(changed.decode("latin-1"), "", KEY) is None


@given(st.integers(0, 120), st.integers(0, 120), st.text(max_size=3))
def test_an_id_with_anything_cut_out_or_put_in_is_none(start: int, end: int, put: str) -> None:
    number = sign(TEXT, "", KEY)
    changed = number[:start] + put + number[end:]
    assert (read_id(changed, "", KEY) is None) == (changed != number)


@given(st.text(max_size=200) | st.just("\ud800"))
def test_any_text_is_none(text: str) -> None:
    assert read_id(text, "", KEY) is None


@pytest.mark.parametrize("text", ["u.1.2.3", "u.x.2.3.main", "u.1.x.3.main", "u.1.2.x.main", ""])
def test_a_signed_text_of_another_form_is_none(text: str) -> None:
    assert read_id(sign(text, "", KEY), "", KEY) is None


def test_the_key_has_32_bytes_and_is_in_no_message() -> None:
    assert decode_key(base64.b64encode(KEY).decode()) == KEY
    for text in ("", "secret!", base64.b64encode(KEY[:31]).decode(), "\u00e4" * 44):
        with pytest.raises(ValueError, match=r"^it must be 32 bytes in base64$"):
            decode_key(text)
