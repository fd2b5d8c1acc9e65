"""Which questions of a golden set a revision answered as expected: one bit each, as the evaluation's Job reports them."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.analysis.paired import Pairs
from llmdeployment_operator.api.evaluation_status import MOST_NAMED

MOST_QUESTIONS = 10_000
"""Questions of a golden set, at most; the serving image refuses a larger one."""

_HASH = re.compile(r"[0-9a-f]{1,64}")
_ID_CHARACTERS = 60


@dataclass(frozen=True)
class Answers:
    """Which questions passed.

    Attributes:
        contents: hash of the questions.
        total: questions.
        packed: one bit each in base64, the first in the highest bit of the first byte.
        wrong: numbers and names of up to 20 that failed.
    """

    contents: str
    total: int
    packed: str
    wrong: tuple[tuple[int, str], ...] = ()


def read_answers(found: Mapping[str, Any], passed: int, total: int) -> Answers | None:
    """Return the answers of a result, or None when it has none that agree with its counts: an older image reports none.

    >>> read_answers({"contents": "5ee", "answers": "oA==", "wrong": [[2, "q2"]]}, 2, 3)
    Answers(contents='5ee', total=3, packed='oA==', wrong=((2, 'q2'),))
    >>> read_answers({"contents": "5ee", "answers": "oA=="}, 1, 3)
    """
    contents, packed = found.get("contents"), found.get("answers")
    if not isinstance(contents, str) or not _HASH.fullmatch(contents):
        return None
    if not isinstance(packed, str) or not 0 < total <= MOST_QUESTIONS:
        return None
    bits = _unpack(packed, total)
    if bits is None or bits.bit_count() != passed:
        return None
    return Answers(contents, total, packed, _read_wrong(found.get("wrong"), bits, total))


def are_same_questions(before: Answers, after: Answers) -> bool:
    """Say whether both are answers to the same questions."""
    return (before.contents, before.total) == (after.contents, after.total)


def count_pairs(before: Answers, after: Answers) -> Pairs:
    """Return how many of the same questions were lost and won.

    >>> count_pairs(Answers("5ee", 3, "oA=="), Answers("5ee", 3, "YA=="))
    Pairs(total=3, lost=1, won=1)
    """
    old, new = _unpack(before.packed, before.total) or 0, _unpack(after.packed, after.total) or 0
    return Pairs(after.total, (old & ~new).bit_count(), (new & ~old).bit_count())


def list_passed(answers: Answers) -> tuple[bool, ...]:
    """Return for each question whether it passed.

    >>> list_passed(Answers("5ee", 3, "oA=="))
    (True, False, True)
    """
    bits, total = _unpack(answers.packed, answers.total) or 0, answers.total
    return tuple(bool(bits >> (total - number) & 1) for number in range(1, total + 1))


def name_lost(before: Answers, after: Answers) -> tuple[str, ...]:
    """Return the names of up to 20 questions that were lost; of one whose name is unknown, its place in the set.

    >>> name_lost(Answers("5ee", 3, "wA=="), Answers("5ee", 3, "AA==", ((2, "capital"),)))
    ('question 1', 'capital')
    """
    lost = (_unpack(before.packed, before.total) or 0) & ~(_unpack(after.packed, after.total) or 0)
    names = dict(after.wrong)
    numbers = [n for n in range(1, after.total + 1) if lost >> (after.total - n) & 1]
    return tuple(names.get(number, f"question {number}") for number in numbers[:MOST_NAMED])


def _unpack(packed: str, total: int) -> int | None:
    """Return the bits as a number whose lowest bit is the last question, or None when they are not of so many questions."""
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None
    padding = -total % 8
    bits = int.from_bytes(data, "big")
    if len(data) != (total + 7) // 8 or bits & ((1 << padding) - 1):
        return None
    return bits >> padding


def _read_wrong(rows: object, bits: int, total: int) -> tuple[tuple[int, str], ...]:
    """Return the names of questions that did fail, by the bits."""
    if not isinstance(rows, list):
        return ()
    found: dict[int, str] = {}
    for row in rows[:MOST_NAMED]:
        match row:
            case [int(number), str(name)] if 1 <= number <= total and name:
                if not bits >> (total - number) & 1:
                    found[number] = name[:_ID_CHARACTERS]
            case _:
                return ()
    return tuple(found.items())
