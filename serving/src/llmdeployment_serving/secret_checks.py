"""Whether text that looks like a card, an IBAN or an address is one: check digits and syntax, each with its equation."""

import ipaddress
from collections.abc import Iterator

CARD_DIGITS = range(13, 20)
"""Digits of a payment card (ISO/IEC 7812)."""
MOST_CARD_DIGITS = 64
"""Digits of a run that is still searched for cards; a longer run is replaced as a whole."""

_IBAN_LENGTHS = {
    15: "NO",
    16: "BE BI",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS: dict[str, int] = {
    country: length for length, countries in _IBAN_LENGTHS.items() for country in countries.split()
}
"""Characters of an IBAN by country (SWIFT's registry of IBANs)."""


def passes_luhn(digits: str) -> bool:
    """Say whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).

    From the right, each second digit is doubled, and 9 is taken from what is above 9. The sum is a multiple of 10:

        sum(d[1], f(d[2]), d[3], f(d[4]), ...) mod 10 = 0, with f(d) = 2 d - 9 [2 d > 9]

    For 59: 9 + f(5) = 9 + (10 - 9) = 10.

    >>> [passes_luhn(digits) for digits in ("59", "58", "4111111111111111", "4111111111111112")]
    [True, False, True, False]
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004  # because the largest digit is 9
    return total % 10 == 0


def passes_iban(text: str) -> bool:
    """Say whether a text without spaces is an IBAN: the length of its country, and its check digits (ISO 13616-1, by ISO 7064 MOD 97-10).

    The first four characters go to the end, each letter becomes its number (A = 10 ... Z = 35), and the whole is 1 modulo 97.

    >>> [passes_iban(text) for text in ("GB82WEST12345698765432", "GB83WEST12345698765432", "GB82WEST1234569876543", "XX82")]
    [True, False, False, False]
    """
    if len(text) != IBAN_LENGTHS.get(text[:2]):
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def find_cards(groups: list[str]) -> Iterator[tuple[int, int]]:
    """Yield `(first, end)` of the groups of digits that are a card together, from the left and without those that overlap.

    >>> list(find_cards(["4111", "1111", "1111", "1111", "123"])), list(find_cards(["4111111111111112"]))
    ([(0, 4)], [])
    """
    first = 0
    while first < len(groups):
        end = _find_card_end(groups, first)
        if end is not None:
            yield first, end
        first = end or first + 1


def _find_card_end(groups: list[str], first: int) -> int | None:
    """Return where the longest card ends that begins with this group."""
    digits, found = "", None
    for end in range(first + 1, len(groups) + 1):
        digits += groups[end - 1]
        if len(digits) >= CARD_DIGITS.stop:
            break
        if len(digits) in CARD_DIGITS and passes_luhn(digits):
            found = end
    return found


def is_address(text: str) -> bool:
    """Say whether a text is an address of IPv4 or IPv6; `::` alone is a sign in many languages, and names nobody.

    >>> [is_address(text) for text in ("10.0.0.1", "256.0.0.1", "fe80::1", "12:34:56", "::", "::1", "::ffff:1.2.3.4")]
    [True, False, True, False, False, True, True]
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text != "::"
