"""Checks of an answer to a question of the golden set, one for each key of `expect`.

A check returns None, or a few words about what is wrong. All checks of a question must pass. The judge's criterion is not checked
here, because it needs another model (`evaluate.py`).
"""

import json
import re
import signal
from collections.abc import Callable, Mapping
from types import FrameType

REGEX_CPU_SECONDS = 1.0
"""CPU seconds that one search may take. Python's `re` can take longer than the universe for a short text: `(a+)+$` and 40 letters."""
QUOTED_CHARACTERS = 60

KINDS = ("exact", "regex", "json", "contains", "notContains", "judge")


class RegexTimeoutError(Exception):
    """A search that took too long."""


def check_expectation(kind: str, wanted: object) -> str | None:
    """Return why `wanted` is not valid for the key `kind` of `expect`, or None if it is.

    >>> check_expectation("contains", "Paris")
    'contains must be a list of texts, none of them empty'
    >>> check_expectation("exact", "Paris")
    """
    if kind not in KINDS:
        return f"expect.{kind} is not known: use {', '.join(KINDS)}"
    if kind == "json":
        return None if wanted is True else "json must be true"
    if kind in {"contains", "notContains"}:
        texts = isinstance(wanted, list) and all(isinstance(t, str) and t for t in wanted)
        return None if texts and wanted else f"{kind} must be a list of texts, none of them empty"
    if not isinstance(wanted, str) or not wanted:
        return f"{kind} must be a text that is not empty"
    return _check_pattern(wanted) if kind == "regex" else None


def check_answer(expect: Mapping[str, object], answer: str) -> str | None:
    """Return what is wrong with an answer, or None if every check but the judge's passes.

    Args:
        expect: checks that `check_expectation` has nothing against.
        answer: the model's text.

    >>> check_answer({"contains": ["Paris"], "notContains": ["London"]}, "Paris, not London.")
    "has 'London' in it"
    """
    for kind, wanted in expect.items():
        if kind != "judge" and (why := _CHECKS[kind](wanted, answer)) is not None:
            return why
    return None


def search(pattern: str, text: str, cpu_seconds: float = REGEX_CPU_SECONDS) -> bool:
    """Say whether a regular expression matches anywhere in `text`; call it in the main thread.

    `re` looks for signals while it backtracks, so a timer of CPU time ends a search that would not end.

    Raises:
        RegexTimeoutError: it took longer than `cpu_seconds`.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise RegexTimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
    try:
        return re.search(pattern, text) is not None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def quote(text: str) -> str:
    """Return the first characters of a text in quotes.

    >>> quote("a" * 100)[-5:]
    "aa..'"
    """
    shown = text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 2]}.."
    return repr(shown)


def _check_pattern(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"regex is not valid: {error}"
    return None


def _check_exact(wanted: object, answer: str) -> str | None:
    same = answer.strip() == str(wanted).strip()
    return None if same else f"is {quote(answer.strip())}, not {quote(str(wanted))}"


def _check_regex(wanted: object, answer: str) -> str | None:
    pattern = str(wanted)
    try:
        matches = search(pattern, answer)
    except RegexTimeoutError:
        return f"regex {quote(pattern)} took over {REGEX_CPU_SECONDS:g} s: make it simpler"
    return None if matches else f"does not match {quote(pattern)}: {quote(answer)}"


def _check_json(_: object, answer: str) -> str | None:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return f"is not JSON: {quote(answer)}"
    return None


def _check_contains(wanted: object, answer: str) -> str | None:
    lacking = [text for text in _list_texts(wanted) if text not in answer]
    return f"has no {quote(lacking[0])} in it: {quote(answer)}" if lacking else None


def _check_not_contains(wanted: object, answer: str) -> str | None:
    present = [text for text in _list_texts(wanted) if text in answer]
    return f"has {quote(present[0])} in it" if present else None


def _list_texts(wanted: object) -> list[str]:
    return [str(text) for text in wanted] if isinstance(wanted, list) else []


_CHECKS: Mapping[str, Callable[[object, str], str | None]] = {
    "exact": _check_exact,
    "regex": _check_regex,
    "json": _check_json,
    "contains": _check_contains,
    "notContains": _check_not_contains,
}
