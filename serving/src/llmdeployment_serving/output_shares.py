"""What a model's answers are like: built-in checks and the user's patterns, each a share of the answers that it was asked of.

A request counts once for each share: it is bad if one of its choices is. The checks run when the answer has ended, in time linear in the
text that `answer_text` kept. docs/how-to/watch-answers.md says what each share means and does not mean.
"""

import json
import logging
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from llmdeployment_serving.answer_text import Choice
from llmdeployment_serving.questions import Question
from llmdeployment_serving.refusals import DECLINE_CHARACTERS, DECLINES, SELF_NAMING
from llmdeployment_serving.scripts import find_script

logger = logging.getLogger(__name__)

PATTERN = "pattern/"
"""Before the name of a share that is a pattern of the user."""

LONGEST_UNIT = 200
SHORTEST_LOOP = 60
FEWEST_REPEATS = 4

_MOST = 2**32 - 1


@dataclass(frozen=True)
class OutputPattern:
    """A pattern of the user: the share's name, the text and what finds it."""

    share: str
    text: str
    regex: Any


def compile_pattern(name: str, text: str) -> OutputPattern:
    """Return a pattern that can be searched for.

    Raises:
        ValueError: it is not RE2; the message says where.
    """
    try:
        return OutputPattern(PATTERN + name, text, _compile(text))
    except re2.error as error:
        # why: the library's text is bytes.
        detail = error.args[0] if error.args else error
        why = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"the output pattern {name} is not RE2: {why}") from None


def compile_patterns(patterns: Iterable[tuple[str, str]]) -> tuple[OutputPattern, ...]:
    """Return the patterns of these names and texts; one that is not RE2 is logged and left out, because answers matter more."""
    found = []
    for name, text in patterns:
        try:
            found.append(compile_pattern(name, text))
        except ValueError as error:
            logger.error("%s", error)  # noqa: TRY400  # because the sentence says all, and a traceback nothing
    return tuple(found)


def _compile(text: str) -> Any:  # noqa: ANN401  # because google-re2 has no types
    options = re2.Options()
    options.log_errors = False
    # why: of bytes, so that a text is encoded once for all patterns.
    return re2.compile(text.encode(), options=options)


_self_naming = _compile(f"(?is){'|'.join(SELF_NAMING)}")
_declines = _compile(f"(?is){'|'.join(DECLINES)}")


def examine(
    question: Question, choices: Iterable[Choice], patterns: Iterable[OutputPattern] = ()
) -> dict[str, bool]:
    """Return whether an answer is bad, by share; a share that this answer says nothing about is left out."""
    found: dict[str, bool] = {}
    patterns = tuple(patterns)
    for choice in choices:
        for share, is_bad in _examine_choice(question, choice, patterns).items():
            found[share] = found.get(share, False) or is_bad
    return found


def _examine_choice(
    question: Question, choice: Choice, patterns: tuple[OutputPattern, ...]
) -> dict[str, bool]:
    # why: JSON can hold half a surrogate pair, which UTF-8 cannot encode.
    encoded = [text.encode(errors="replace") for text in choice.texts]
    found = {share: check(question, choice) for share, check in _CHECKS.items()}
    known = {share: is_bad for share, is_bad in found.items() if is_bad is not None}
    for pattern in patterns:
        known[pattern.share] = _is_in(pattern.regex, encoded)
    return known


def _is_in(regex: Any, texts: Iterable[bytes]) -> bool:  # noqa: ANN401  # because google-re2 has no types
    return any(regex.search(text) is not None for text in texts)


def _is_refusal(_: Question, choice: Choice) -> bool:
    beginning = choice.texts[0][:DECLINE_CHARACTERS].encode(errors="replace")
    texts = [text.encode(errors="replace") for text in choice.texts]
    return choice.declined or _is_in(_declines, [beginning]) or _is_in(_self_naming, texts)


def _is_empty(_: Question, choice: Choice) -> bool:
    return not choice.calls and not any(text.strip() for text in choice.texts)


def _is_truncated(_: Question, choice: Choice) -> bool:
    return choice.finish_reason == "length"


def _is_invalid_json(question: Question, choice: Choice) -> bool | None:
    # A call of a tool is no JSON text, and of a text with a gap nobody knows.
    if not question.wants_json or choice.calls or len(choice.texts) > 1:
        return None
    return not _is_json(choice.texts[0])


def _is_invalid_tool_call(question: Question, choice: Choice) -> bool | None:
    known = [call for call in choice.calls if call.arguments is not None]
    if not known:
        return None
    return any(call.name not in question.tools or not _is_json(call.arguments) for call in known)


def is_loop(text: str) -> bool:
    """Say whether a text ends in a loop: its last 60 or more characters are at least 4 repeats of a unit of 1 to 200 characters.

    A text repeats a unit of p characters if each character is the one p before it. For each p the last max(60, 4 p) characters are
    compared with those p before, so a text of any length takes at most 200 comparisons of 800 characters.

    >>> is_loop("So it is. " + "And again. " * 6), is_loop("And again. " * 4)
    (True, False)
    """
    for unit in range(1, LONGEST_UNIT + 1):
        size = max(SHORTEST_LOOP, FEWEST_REPEATS * unit)
        if size > len(text):
            return False
        if text[-size + unit :] == text[-size:-unit]:
            return bool(text[-unit:].strip())
    return False


def _ends_in_loop(_: Question, choice: Choice) -> bool:
    return is_loop(choice.texts[-1])


def _switches_language(question: Question, choice: Choice) -> bool | None:
    script = find_script(choice.texts[0]) if question.script else None
    return script != question.script if script else None


_CHECKS: dict[str, Callable[[Question, Choice], bool | None]] = {
    "refusal": _is_refusal,
    "empty": _is_empty,
    "truncated": _is_truncated,
    "invalidJson": _is_invalid_json,
    "invalidToolCall": _is_invalid_tool_call,
    "repetition": _ends_in_loop,
    "languageSwitch": _switches_language,
}
"""The built-in shares; None says that an answer is not one of those that a share is of."""

BUILT_IN = tuple(_CHECKS)


class ShareCounts:
    """How many answers each share was asked of and how many of them were bad: by the length of their prompts, and by group of users.

    Every share is there from the start: whoever reads counts twice and subtracts needs the 0 to subtract. The counts by group are made
    with the first answer that has one. They have 32 bits and stay at their highest value: from 0 on, a reader would take it for a
    replica that began anew.

    Args:
        strata: how many there are.
        groups: how many groups of users there are; a group is counted modulo this.
    """

    def __init__(self, strata: int, groups: int) -> None:
        self._strata = strata
        self._group_count = groups
        self._patterns: dict[str, str] = {}
        self._counts = {share: self._make_row() for share in BUILT_IN}
        self._groups: dict[str, array[int]] = {}

    def set_patterns(self, patterns: Iterable[OutputPattern]) -> None:
        """Count these patterns: new and changed ones from 0 on, and those that are gone no more."""
        wanted = {pattern.share: pattern.text for pattern in patterns}
        if wanted == self._patterns:
            return
        kept = {s for s in self._counts if s in BUILT_IN or wanted.get(s) == self._patterns.get(s)}
        self._counts = {
            share: self._counts[share] if share in kept else self._make_row()
            for share in (*BUILT_IN, *wanted)
        }
        self._groups = {share: row for share, row in self._groups.items() if share in kept}
        self._patterns = wanted

    def add(self, found: Mapping[str, bool], stratum: int, group: int | None = None) -> None:
        """Count one answer to a prompt of this stratum, for a user of this group."""
        for share, is_bad in found.items():
            if share not in self._counts:
                continue
            total, bad = self._counts[share][stratum]
            self._counts[share][stratum] = (total + 1, bad + is_bad)
            if group is not None:
                self._add_to_group(share, group % self._group_count, is_bad=is_bad)

    def as_json(self, bounds: Sequence[object]) -> dict[str, Any]:
        """Return `{share: {"total": n, "bad": k, "byPromptBytes": [[below, total, bad], ...]}}`."""
        return {
            share: {
                "total": sum(total for total, _ in rows),
                "bad": sum(bad for _, bad in rows),
                "byPromptBytes": [
                    [below, total, bad] for below, (total, bad) in zip(bounds, rows, strict=True)
                ],
            }
            for share, rows in self._counts.items()
        }

    def list_groups(self) -> dict[str, list[list[int]]]:
        """Return `{share: [[group, total, bad], ...]}` of the groups that have any."""
        rows = {share: self._groups.get(share, ()) for share in self._counts}
        return {
            share: [
                [group, row[2 * group], row[2 * group + 1]]
                for group in range(len(row) // 2)
                if row[2 * group]
            ]
            for share, row in rows.items()
        }

    def count_group_bytes(self) -> int:
        """Return the memory of the counts by group, in bytes."""
        return sum(sys.getsizeof(row) for row in self._groups.values())

    def _add_to_group(self, share: str, group: int, *, is_bad: bool) -> None:
        row = self._groups.get(share)
        if row is None:
            row = self._groups[share] = array("I", [0]) * (2 * self._group_count)
        if row[2 * group] < _MOST:
            row[2 * group] += 1
            row[2 * group + 1] += is_bad

    def _make_row(self) -> list[tuple[int, int]]:
        return [(0, 0)] * self._strata


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except (RecursionError, ValueError):
        return False
    return True
