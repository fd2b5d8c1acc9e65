"""The result of an evaluation: which questions passed, in no more bytes than a termination log keeps.

One bit a question says which passed: 10,000 questions, the most there may be, take 1,668 bytes in base64. So the next revision can be
compared question by question. The operator knows no names of questions, so the result has those of up to 20 that failed: first those
that the revision to compare with, the baseline, answered as expected.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from llmdeployment_serving.errors import join_lines

RESULT_BYTES = 4096
"""Bytes of a termination log that Kubernetes keeps."""
SHOWN_FAILURES = 10
NAMED = 20
"""Questions that failed and are named, at most."""

_ID_CHARACTERS, _WHY_CHARACTERS = 60, 200


@dataclass(frozen=True)
class Failure:
    """A question whose answer is not as expected.

    Attributes:
        number: its place in the golden set, from 1.
        id: its name.
        why: what is wrong with the answer.
    """

    number: int
    id: str
    why: str


def format_result(
    total: int, failures: Sequence[Failure], contents: str = "", baseline: str = ""
) -> str:
    """Return the JSON of a result, with as many failures as fit.

    Args:
        total: questions of the set.
        failures: those that failed, in the order of the set.
        contents: hash of the questions.
        baseline: `hash:answers` of the revision to compare with; one of other questions is left aside.

    >>> format_result(3, [Failure(2, "q2", "is not JSON: no")], "5ee")
    '{"score": 66, "passed": 2, "total": 3, "failures": [{"id": "q2", "why": "is not JSON: no"}], \
"contents": "5ee", "answers": "oA==", "wrong": [[2, "q2"]]}'
    """
    passed = total - len(failures)
    failed = {failure.number for failure in failures}
    answers = pack_answers([number not in failed for number in range(1, total + 1)])
    shown = [
        {"id": _shorten(f.id), "why": join_lines(f.why)[:_WHY_CHARACTERS]}
        for f in failures[:SHOWN_FAILURES]
    ]
    known = _read_baseline(baseline, contents, total)
    # Sorting keeps the order of the set within both groups.
    first = sorted(failures, key=lambda failure: failure.number not in known)
    named = [[f.number, _shorten(f.id)] for f in first[:NAMED]]
    while True:
        body = {
            "score": passed * 100 // total,
            "passed": passed,
            "total": total,
            "failures": shown,
            "contents": contents,
            "answers": answers,
            "wrong": named,
        }
        text = json.dumps(body, ensure_ascii=False)
        if len(text.encode()) <= RESULT_BYTES:
            return text
        # Some reasons are worth more than the last names, and any name more than the other reasons.
        (shown if len(shown) > 1 + len(named) // 4 else named).pop()


def pack_answers(passed: Sequence[bool]) -> str:
    """Return one bit a question in base64, the first question in the highest bit of the first byte.

    >>> pack_answers([True, False, True])
    'oA=='
    """
    size = (len(passed) + 7) // 8
    bits = sum(1 << (8 * size - 1 - place) for place, good in enumerate(passed) if good)
    return base64.b64encode(bits.to_bytes(size, "big")).decode()


def _read_baseline(text: str, contents: str, total: int) -> frozenset[int]:
    """Return the numbers of the questions that the baseline answered as expected; none when it answered others or cannot be read."""
    asked, _, answers = text.partition(":")
    if not asked or asked != contents:
        return frozenset()
    try:
        packed = base64.b64decode(answers, validate=True)
    except (binascii.Error, ValueError):
        return frozenset()
    if len(packed) != (total + 7) // 8:
        return frozenset()
    return frozenset(n + 1 for n in range(total) if packed[n // 8] >> (7 - n % 8) & 1)


def _shorten(name: str) -> str:
    return join_lines(name)[:_ID_CHARACTERS]
