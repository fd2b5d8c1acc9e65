"""What an answer to a question of the golden set must be: one small check for each key of `expect`.

A check returns None, or in a few words what is wrong. All checks of a question must hold. A criterion for the judge is no check
here: it takes another model's answer (`evaluate.py`).
"""

import json
import re
import signal
from collections.abc import Callable, Mapping
from types import FrameType

REGEX_CPU_SECONDS = 1.0
"""CPU time one search may take. Python's `re` can take longer than the universe for a short text: `(a+)+$` and 40 letters."""
QUOTED_CHARACTERS = 60

KINDS = ("exact", "regex", "json", "contains", "notContains", "judge")


class RegexTimeoutError(Exception):
    """A search that took too long."""


def wrong_expectation(kind: str, wanted: object) -> str | None:
    """Returns why `wanted` cannot be expected under the key `kind`, or None when it can.

    >>> wrong_expectation("contains", "Paris")
    'contains must be a list of texts, none of them empty'
    >>> wrong_expectation("exact", "Paris")
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
    return _wrong_regex(wanted) if kind == "regex" else None


def failure(expect: Mapping[str, object], answer: str) -> str | None:
    """Returns what is wrong with an answer, or None when every check but the judge's holds.

    Args:
        expect: Checks that `wrong_expectation` has nothing against.
        answer: The model's text.

    >>> failure({"contains": ["Paris"], "notContains": ["London"]}, "Paris, not London.")
    "has 'London' in it"
    """
    for kind, wanted in expect.items():
        if kind != "judge" and (why := _CHECKS[kind](wanted, answer)) is not None:
            return why
    return None


def found(pattern: str, text: str, cpu_seconds: float = REGEX_CPU_SECONDS) -> bool:
    """Says whether a regular expression matches anywhere in `text`; call it in the main thread.

    `re` looks for signals while it backtracks, so a timer of CPU time ends a search that would not end.

    Raises:
        RegexTimeoutError: It took longer than `cpu_seconds`.
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


def quoted(text: str) -> str:
    """Returns a text's first characters in quotes.

    >>> quoted("a" * 100)[-5:]
    "aa..'"
    """
    shown = text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 2]}.."
    return repr(shown)


def _wrong_regex(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"regex cannot be read: {error}"
    return None


def _exact(wanted: object, answer: str) -> str | None:
    same = answer.strip() == str(wanted).strip()
    return None if same else f"is {quoted(answer.strip())}, not {quoted(str(wanted))}"


def _regex(wanted: object, answer: str) -> str | None:
    pattern = str(wanted)
    try:
        matches = found(pattern, answer)
    except RegexTimeoutError:
        return f"regex {quoted(pattern)} took over {REGEX_CPU_SECONDS:g} s: make it simpler"
    return None if matches else f"does not match {quoted(pattern)}: {quoted(answer)}"


def _json(_: object, answer: str) -> str | None:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return f"is not JSON: {quoted(answer)}"
    return None


def _contains(wanted: object, answer: str) -> str | None:
    lacking = [text for text in _texts(wanted) if text not in answer]
    return f"has no {quoted(lacking[0])} in it: {quoted(answer)}" if lacking else None


def _not_contains(wanted: object, answer: str) -> str | None:
    present = [text for text in _texts(wanted) if text in answer]
    return f"has {quoted(present[0])} in it" if present else None


def _texts(wanted: object) -> list[str]:
    return [str(text) for text in wanted] if isinstance(wanted, list) else []


_CHECKS: Mapping[str, Callable[[object, str], str | None]] = {
    "exact": _exact,
    "regex": _regex,
    "json": _json,
    "contains": _contains,
    "notContains": _not_contains,
}
