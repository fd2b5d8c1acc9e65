"""Removes secrets from text: e-mail and IP addresses, phone and card numbers, IBANs, tokens, and what the user's patterns find.

RE2 finds what may be one, in time linear in the text, and check digits or syntax say whether it is (`secret_checks`). Each is replaced by
its name in brackets, such as `[email]`. Built-ins come first: a user's pattern cannot cut a secret into pieces that they would not know.

What it does not find: secrets that are spelled out, split by other text, or encoded. docs/how-to/request-log.md says so.
"""

from collections.abc import Callable, Iterable
from typing import Any

import re2

from llmdeployment_serving.output_shares import compile_patterns
from llmdeployment_serving.secret_checks import (
    IBAN_LENGTHS,
    MOST_CARD_DIGITS,
    find_cards,
    is_address,
    passes_iban,
)

CUT_CHARACTERS = 128
"""Characters beside a cut that are removed with it, at least: no built-in secret in groups is longer, and its rest would not be known."""

_WHITE_SPACE = " \n\t"

Replace = Callable[[Any], bytes]
"""Returns what stands in the place of a match."""


Rule = Callable[[bytes], bytes]
"""Returns a text without one kind of secret."""


def _rule(regex: Any, replace: Replace) -> Rule:  # noqa: ANN401  # because google-re2 has no types
    return lambda text: bytes(regex.sub(replace, text))


def _compile(text: str) -> Any:  # noqa: ANN401  # because google-re2 has no types
    options = re2.Options()
    options.log_errors = False
    return re2.compile(text.encode(), options=options)


def _mark(name: str) -> Replace:
    mark = f"[{name}]".encode()
    return lambda _: mark


_SPACE = "[ \\-.\u00a0]"
"""What stands between groups of digits; the last is the space that does not break."""
_GAP = r"[ \-./()\x{a0}]{0,2}"
"""What may stand before each digit of a phone number."""
_date = _compile(r"^[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}$")
_split_groups = _compile("[0-9]+")
_alphanumeric = _compile("[0-9A-Za-z]")
_SIGN = r"[A-Za-z0-9\-._~+/]"
_FEW = 8
_MANY = 16
_PHONE_DIGITS = range(7, 16)
_iban_start = _compile("[A-Za-z]{2}[0-9]{2}")
_iban_run = _compile(f"[0-9A-Za-z](?:{_SPACE}?[0-9A-Za-z])*")


def _count_digits(text: bytes) -> int:
    return sum(each in b"0123456789" for each in text)


def _replace_token(match: Any) -> bytes:  # noqa: ANN401  # because google-re2 has no types
    """Return a `Bearer` without what follows it, if that is no word: `bearer of bad news` has no token."""
    token: bytes = match.group(2)
    is_token = len(token) >= _MANY or (len(token) >= _FEW and _count_digits(token) > 0)
    return bytes(match.group(1)) + b"[token]" if is_token else bytes(match.group(0))


def _replace_cards(match: Any) -> bytes:  # noqa: ANN401  # because google-re2 has no types
    run: bytes = match.group(0)
    spans = [each.span() for each in _split_groups.finditer(run)]
    groups = [run[start:end].decode() for start, end in spans]
    if sum(map(len, groups)) > MOST_CARD_DIGITS:
        return b"[digits]"
    pieces, at = [], 0
    for first, end in find_cards(groups):
        pieces += [run[at : spans[first][0]], b"[card]"]
        at = spans[end - 1][1]
    return b"".join([*pieces, run[at:]])


def _remove_ibans(text: bytes) -> bytes:
    """Return a text without IBANs. Each start is tried: what follows an IBAN may look like a part of it, and hide the next one."""
    pieces, at = [], 0
    start = _iban_start.search(text)
    while start is not None:
        first, following = start.start(), start.start() + 1
        if (end := _find_iban_end(text, first)) is not None:
            pieces += [text[at:first], b"[iban]"]
            at = following = end
        start = _iban_start.search(text, following)
    return b"".join([*pieces, text[at:]])


def _find_iban_end(text: bytes, first: int) -> int | None:
    """Return where the IBAN ends that begins here, or None if there is none."""
    wanted = IBAN_LENGTHS.get(text[first : first + 2].decode().upper())
    if wanted is None:
        return None
    run = _iban_run.match(text, first, first + 3 * wanted)
    letters = [] if run is None else list(_alphanumeric.finditer(run.group(0)))[:wanted]
    joined = b"".join(each.group(0) for each in letters).decode().upper()
    return first + letters[-1].end() if passes_iban(joined) else None


def _replace_address(match: Any) -> bytes:  # noqa: ANN401  # because google-re2 has no types
    before, found = match.group(1), match.group(2)
    # A sentence may end behind an address.
    for end in (b"", b".", b":"):
        text = found.removesuffix(end) if end else found
        if (not end or found.endswith(end)) and is_address(text.decode()):
            return bytes(before + b"[ip]" + found[len(text) :])
    return bytes(match.group(0))


def _replace_phone(match: Any) -> bytes:  # noqa: ANN401  # because google-re2 has no types
    before, found = match.group(1), match.group(2)
    if _count_digits(found) not in _PHONE_DIGITS or _date.search(found) is not None:
        return bytes(match.group(0))
    return bytes(before + b"[phone]")


_BUILT_IN = (
    _rule(_compile(rf"(?i)(\bbearer[\s:=]+)({_SIGN}+=*)"), _replace_token),
    # Tokens that say what they are: JSON Web Tokens, and the keys of well-known services.
    _rule(_compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), _mark("token")),
    _rule(
        _compile(
            r"\b(?:sk-[\w-]{16,}|hf_\w{16,}|gh[opsur]_\w{16,}|github_pat_\w{16,}|AKIA[0-9A-Z]{16}|xox[a-z]-[\w-]{10,})"
        ),
        _mark("token"),
    ),
    _rule(
        _compile(r"[\pL\pN._%+'-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)*\.[\pL\pN-]*\pL[\pL\pN-]*"),
        _mark("email"),
    ),
    _remove_ibans,
    _rule(
        _compile(r"(^|[^0-9A-Za-z_])([0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)"),
        _replace_address,
    ),
    _rule(_compile(r"(^|[^0-9.])([0-9]{1,3}(?:\.[0-9]{1,3}){3}\.?)(?:\b|$)"), _replace_address),
    _rule(_compile(rf"[0-9](?:{_SPACE}?[0-9]){{12,}}"), _replace_cards),
    _rule(_compile(rf"()(\+[1-9](?:{_GAP}[0-9]){{6,14}})"), _replace_phone),
    # With a trunk's 0 or with 00; as in North America.
    _rule(
        _compile(
            rf"(^|[^0-9+])(\(?0[0-9](?:{_GAP}[0-9]){{6,14}}|\(?[2-9][0-9]{{2}}\)?{_SPACE}?[2-9][0-9]{{2}}{_SPACE}[0-9]{{4}})\b"
        ),
        _replace_phone,
    ),
)


class Redactor:
    """Removes the built-in secrets and what patterns find.

    Args:
        patterns: names and RE2 expressions of the user; one that is not RE2 is left out and logged.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]] = ()) -> None:
        own = compile_patterns(patterns)
        marks = (each.share.rpartition("/")[2] for each in own)
        self._rules = (
            *_BUILT_IN,
            *(_rule(each.regex, _mark(name)) for each, name in zip(own, marks, strict=True)),
        )

    def redact(self, text: str) -> str:
        """Return the text without secrets.

        >>> Redactor([("case", "CASE-[0-9]+")]).redact("Write to joe@example.com about CASE-17, or call +1 212 555 0123.")
        'Write to [email] about [case], or call [phone].'
        """
        found = text.encode(errors="replace")
        for rule in self._rules:
            found = rule(found)
        return found.decode(errors="replace")


def trim_end(text: str) -> str:
    """Return a text that was cut at its end, without what may be the first part of a secret.

    >>> trim_end("a " + "1" * 128 + "bc"), trim_end("a b" + " " * 128)
    ('a ', 'a ')
    """
    kept = text[: max(0, len(text) - CUT_CHARACTERS)]
    return kept[: 1 + max(map(kept.rfind, _WHITE_SPACE))]


def trim_start(text: str) -> str:
    """Return a text that was cut at its start, without what may be the last part of a secret.

    >>> trim_start("bc" + "1" * 128 + " a")
    ' a'
    """
    return trim_end(text[::-1])[::-1]
