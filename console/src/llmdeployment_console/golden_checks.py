"""Checks of an answer to a question of the golden set, one by one, as the evaluation makes them.

Two kinds are left to the evaluation: a judge's criterion needs another model, and a regular expression can take longer than the universe
for a short text, which a server cannot afford.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from llmdeployment_console.chat import Event


async def add_checks(
    events: AsyncIterator[Event], expect: Mapping[str, Any]
) -> AsyncIterator[Event]:
    """Yield the events of an answer; its last one says which checks it passes."""
    text = ""
    async for event in events:
        if event.name == "text":
            text += str(event.data["text"])
        checks = {"checks": check_answer(expect, text)} if event.name == "end" else {}
        yield Event(event.name, {**event.data, **checks})


def check_answer(expect: Mapping[str, Any], answer: str) -> list[dict[str, Any]]:
    """Return each check and whether it passes; `passed` is None where the console does not check.

    >>> check_answer({"contains": ["Lima"], "judge": "is polite"}, "It is Lima.")
    [{'kind': 'contains', 'passed': True}, {'kind': 'judge', 'passed': None}]
    """
    return [
        {"kind": kind, "passed": _CHECKS[kind](wanted, answer) if kind in _CHECKS else None}
        for kind, wanted in expect.items()
    ]


def _is_json(_: object, answer: str) -> bool:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return True


_CHECKS: Mapping[str, Callable[[Any, str], bool]] = {
    "exact": lambda wanted, answer: answer.strip() == str(wanted).strip(),
    "json": _is_json,
    "contains": lambda wanted, answer: all(str(text) in answer for text in wanted),
    "notContains": lambda wanted, answer: not any(str(text) in answer for text in wanted),
}
