"""Secrets are removed from text, and what only looks like one stays."""

import doctest
import ipaddress
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmdeployment_serving import redaction, secret_checks
from llmdeployment_serving.redaction import CUT_CHARACTERS, Redactor, trim_end, trim_start
from llmdeployment_serving.secret_checks import (
    IBAN_LENGTHS,
    MOST_CARD_DIGITS,
    find_cards,
    passes_iban,
    passes_luhn,
)

PLAIN = Redactor()


@pytest.mark.parametrize("module", [redaction, secret_checks])
def test_examples_hold(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]  # because these are modules
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("joe@example.com", "[email]"),
        ("<joe.o'neil+x@mail.example.co.uk>.", "<[email]>."),
        ("jörg@müller.de", "[email]"),
        ("joe@example.xn--p1ai", "[email]"),
        ("joe at example.com, @joe, a@b", "joe at example.com, @joe, a@b"),
        ("+49 (0)89 1234567.", "[phone]."),
        ("+12125550123abc", "[phone]abc"),
        ("0049 89 1234567", "[phone]"),
        ("Tel.089/1234567", "Tel.[phone]"),
        ("(212) 555-0123 or 212.555.0123", "[phone] or [phone]"),
        ("0043\u00a01\u00a0234567", "[phone]"),
        ("+1 23456", "+1 23456"),
        ("01.02.2026 and 1/2/2026 and 2026-11-30", "01.02.2026 and 1/2/2026 and 2026-11-30"),
        ("7 of 12 345 678 rows in 3.14159265", "7 of 12 345 678 rows in 3.14159265"),
        ("112-555-0123", "112-555-0123"),
        ("4111111111111111", "[card]"),
        ("card 4111 1111 1111 1111, 12/27", "card [card], 12/27"),
        ("4111-1111-1111-1111 123", "[card] 123"),
        ("3782 822463 10005 and 30569309025904", "[card] and [card]"),
        ("12 4111 1111 1111 1111", "12 [card]"),
        ("4111 1111 1111 1111 5500 0055 5555 5559", "[card] [card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("4" * 65, "[digits]"),
        ("GB82 WEST 1234 5698 7654 32", "[iban]"),
        ("gb82west12345698765432.", "[iban]."),
        ("DE89 3704 0044 0532 0130 00 thanks", "[iban] thanks"),
        ("GB83 WEST 1234 5698 7654 32", "GB83 WEST 1234 5698 7654 32"),
        ("ZZ82 WEST 1234 5698 7654 32", "ZZ82 WEST 1234 5698 7654 32"),
        ("10.0.0.1:80, 1.2.3.4. 255.255.255.255", "[ip]:80, [ip]. [ip]"),
        ("256.1.1.1 and 1.2.3 and v1.2.3", "256.1.1.1 and 1.2.3 and v1.2.3"),
        ("[2001:db8::1]:80", "[[ip]]:80"),
        ("host:fe80::1%eth0 ::1. ::ffff:1.2.3.4", "host:[ip]%eth0 [ip]. [ip]"),
        ("std::vector at 12:34:56, 00:1a:2b:3c:4d:5e, ::", "std::vector at 12:34:56, 00:1a:2b:3c:4d:5e, ::"),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [token]"),
        ("bearer abcdefghijklmnop", "bearer [token]"),
        ("bearer: abc/1234+x==", "bearer: [token]"),
        ("bearer of bad news, bearer instruments", "bearer of bad news, bearer instruments"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[token]"),
        ("sk-abcdefghijklmnop1234 hf_abcdefghijklmnop ghp_abcdefghijklmnop", "[token] [token] [token]"),
        ("AKIAIOSFODNN7EXAMPLE xoxb-1234567890-abc", "[token] [token]"),
        ("sk-short, hf_x, risk-averse", "sk-short, hf_x, risk-averse"),
    ],
)  # fmt: skip
def test_each_built_in_secret_and_what_nearly_is_one(text: str, redacted: str) -> None:
    assert PLAIN.redact(text) == redacted


def add_luhn(digits: str) -> str:
    return next(digits + last for last in string.digits if passes_luhn(digits + last))


def add_iban(country: str, body: str) -> str:
    text = body[: IBAN_LENGTHS[country] - 4].ljust(IBAN_LENGTHS[country] - 4, "7")
    number = int("".join(str(int(each, 36)) for each in f"{text}{country}00"))
    return f"{country}{98 - number % 97:02d}{text}"


WORDS = string.ascii_letters + string.digits
CARDS = st.text(string.digits, min_size=12, max_size=18).map(add_luhn)
IBANS = st.builds(
    add_iban,
    st.sampled_from(sorted(IBAN_LENGTHS)),
    st.text(string.digits + string.ascii_uppercase, max_size=29),
)
SECRETS = st.one_of(
    CARDS,
    IBANS,
    st.builds(
        "{}@{}.{}".format,
        st.text(WORDS + "._%+-", min_size=1, max_size=20),
        st.text(WORDS, min_size=1, max_size=20),
        st.text(string.ascii_lowercase, min_size=2, max_size=10),
    ),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str).filter(lambda each: each != "::"),
    st.text(WORDS + "-._~+/", min_size=16, max_size=64).map("Bearer {}".format),
    st.text(string.digits, min_size=8, max_size=11).map("+4{}".format),
)
AROUND = st.text("abc xyz,;!?\n\u00e9\u4e2d", max_size=30)


@given(AROUND, SECRETS, AROUND)
@example("", "4111111111111111", "")
@example("dial", "+49891234567", "abc")
def test_no_built_in_secret_survives(before: str, secret: str, after: str) -> None:
    said = PLAIN.redact(f"{before} {secret} {after}")
    assert secret not in said
    assert secret.removeprefix("Bearer ") not in said


@given(st.lists(SECRETS, min_size=2, max_size=6), st.sampled_from([" ", "\n", ", ", "; "]))
def test_of_many_secrets_none_survives(secrets: list[str], between: str) -> None:
    said = PLAIN.redact(between.join(secrets))
    assert [each for each in secrets if each in said] == []


@given(CARDS.filter(lambda card: len(card) >= 14), st.sampled_from(" -."))
def test_a_card_in_groups_is_one(card: str, space: str) -> None:
    groups = [card[:4], card[4:8], card[8:12], card[12:]]
    assert PLAIN.redact(f"x {space.join(groups)} y") == "x [card] y"


@given(st.text(string.digits, min_size=13, max_size=19), st.integers(0, 18), st.integers(1, 9))
def test_one_wrong_digit_is_no_card(digits: str, place: int, change: int) -> None:
    card = add_luhn(digits[:-1])
    place %= len(card)
    wrong = card[:place] + str((int(card[place]) + change) % 10) + card[place + 1 :]
    assert passes_luhn(card)
    assert not passes_luhn(wrong)


@given(IBANS, st.integers(0, 33), st.integers(1, 9))
def test_one_wrong_digit_is_no_iban(iban: str, place: int, change: int) -> None:
    assert passes_iban(iban)
    digits = [n for n, each in enumerate(iban) if each.isdigit()]
    at = digits[place % len(digits)]
    assert not passes_iban(iban[:at] + str((int(iban[at]) + change) % 10) + iban[at + 1 :])


@given(st.ip_addresses())
def test_every_address_is_found(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = str(address)
    assert PLAIN.redact(text) == ("[ip]" if text != "::" else text)


@given(st.text())
def test_any_text_comes_back_as_text(text: str) -> None:
    assert isinstance(PLAIN.redact(text), str)
    assert PLAIN.redact("\ud800") == "?"


def test_the_longest_card_of_groups_is_taken_and_a_longer_run_has_none() -> None:
    assert list(find_cards(["4111", "1111", "1111", "1111"])) == [(0, 4)]
    assert list(find_cards(["0" * 20])) == []
    assert PLAIN.redact("0" * MOST_CARD_DIGITS) == "0" * MOST_CARD_DIGITS
    assert PLAIN.redact("0" * (MOST_CARD_DIGITS + 1)) == "[digits]"


def test_a_users_pattern_comes_after_the_built_in_ones() -> None:
    own = Redactor([("case", "CASE-[0-9]+"), ("at", "@"), ("broken", "(")])
    assert own.redact("CASE-17 of joe@example.com @ noon") == "[case] of [email] [at] noon"


@given(st.integers(0, 400), st.integers(1, 300))
def test_no_part_of_a_secret_is_left_at_a_cut(gap: int, length: int) -> None:
    """A text that is cut inside a word has neither the word nor the groups beside it."""
    secret = "s" * length
    cut = "a " + "b" * gap + " 4111 1111 " + secret
    kept = trim_end(cut)
    assert secret[0] not in kept
    assert "1111" not in kept or len(secret) > CUT_CHARACTERS - 10
    assert len(cut) - len(kept) >= min(len(cut), CUT_CHARACTERS)
    assert trim_start(cut[::-1]) == kept[::-1]
