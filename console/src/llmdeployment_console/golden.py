"""The golden set at the page: which questions changed, what they ask, and whether an answer of now is as expected.

An evaluation leaves one bit a question and no answers. So the page shows what was recorded of each question, and can ask both revisions
again: past the gateway, and as the evaluation asks.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.rollout.answers import MOST_QUESTIONS, list_passed, read_answers

MOST_ROWS = 40
"""Questions of which the page shows more than a number."""
_MOST_CHARACTERS = 20_000
"""Of one message that is shown."""


class GoldenRequest(BaseModel):
    """One question that one revision is asked."""

    model_config = ConfigDict(extra="forbid")
    revision: int = Field(ge=1)
    number: int = Field(ge=1, le=MOST_QUESTIONS)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        number: its place in the set, from 1.
        id: its name.
        messages: the conversation.
        expect: the checks of the answer, by kind.
        parameters: more fields of the request.
    """

    number: int
    id: str
    messages: list[dict[str, Any]]
    expect: dict[str, Any]
    parameters: dict[str, Any] = field(default_factory=dict)


def read_policy(deployment: Object) -> EvaluationSpec | None:
    """Return `spec.rollout.evaluation`; None without one, or with a spec that cannot be read."""
    try:
        return parse(deployment).spec.rollout.evaluation
    except SpecError:
        return None


def list_changed(
    stable: Mapping[str, Any] | None, canary: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return what is on record of the questions worth a look: lost ones, won ones, then others that the canary failed.

    Args:
        stable: the stable revision's row of its evaluation, as the status has it; None if it has none.
        canary: the canary's.

    >>> row = {"contents": "5ee", "passed": 2, "total": 3}
    >>> [each["kind"] for each in list_changed({**row, "answers": "wA=="}, {**row, "answers": "oA=="})]
    ['lost', 'won']
    """
    before, after = _list_passed(stable), _list_passed(canary)
    if stable is None or canary is None or stable.get("contents") != canary.get("contents"):
        before = None
    names = {
        int(each["number"]): str(each["id"])
        for row in (stable, canary)
        for each in (row or {}).get("wrong") or ()
    }
    if after is None:
        # An older image reports no bits, so only names are known.
        lost = ((canary or {}).get("comparison") or {}).get("questions") or ()
        failed = sorted(int(each["number"]) for each in (canary or {}).get("wrong") or ())
        rows = [
            _describe_row(n, names, before=names[n] in lost or None, after=False) for n in failed
        ]
    else:
        rows = [
            _describe_row(
                number, names, before=before[number - 1] if before else None, after=passed
            )
            for number, passed in enumerate(after, 1)
        ]
    order = {"lost": 0, "won": 1, "wrong": 2}
    worth = [row for row in rows if row["kind"] in order]
    return sorted(worth, key=lambda row: order[row["kind"]])[:MOST_ROWS]


def _list_passed(row: Mapping[str, Any] | None) -> tuple[bool, ...] | None:
    if row is None:
        return None
    answers = read_answers(row, row.get("passed") or 0, row.get("total") or 0)
    return list_passed(answers) if answers is not None else None


def _describe_row(
    number: int, names: Mapping[int, str], *, before: bool | None, after: bool
) -> dict[str, Any]:
    kinds = {
        (True, False): "lost",
        (False, True): "won",
        (False, False): "wrong",
        (None, False): "wrong",
    }
    return {
        "number": number,
        "id": names.get(number, f"question {number}"),
        "kind": kinds.get((before, after), "kept"),
        "stable": before,
        "canary": after,
    }


def read_questions(text: str) -> list[Question]:
    """Return the questions of a golden set.

    Raises:
        Refusal: a line is no question; the message has its number.

    >>> read_questions('{"prompt": "Capital of Peru?", "expect": {"contains": ["Lima"]}}')[0].messages
    [{'role': 'user', 'content': 'Capital of Peru?'}]
    """
    return list(_parse_questions(text))


def _parse_questions(text: str) -> Iterator[Question]:
    number = 0
    # Not splitlines(), because JSON may hold U+2028.
    for line_number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        number += 1
        if number > MOST_QUESTIONS:
            raise Refusal(f"the golden set has more than {MOST_QUESTIONS} questions.")
        try:
            yield _parse_question(json.loads(line), number, line_number)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refusal(f"line {line_number} of the golden set is no question.") from error


def _parse_question(row: dict[str, Any], number: int, line: int) -> Question:
    messages = (
        row["messages"] if "messages" in row else [{"role": "user", "content": row["prompt"]}]
    )
    return Question(
        number=number,
        id=str(row.get("id") or f"line {line}"),
        messages=[dict(each) for each in messages],
        expect=dict(row["expect"]),
        parameters=dict(row.get("parameters") or {}),
    )


def hash_questions(questions: Sequence[Question]) -> str:
    """Return the hash of questions as the evaluation writes it; a test holds both to be the same."""
    rows = [[each.id, each.messages, each.expect, each.parameters] for each in questions]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_question(questions: Sequence[Question], number: int) -> Question:
    """Return a question by its place.

    Raises:
        RequestRefused: there is none.
    """
    if number > len(questions):
        message = (
            f"The golden set has {len(questions)} questions, so there is no question {number}."
        )
        raise RequestRefused(HTTPStatus.NOT_FOUND, "not_found", message)
    return questions[number - 1]


def build_request(policy: EvaluationSpec, question: Question) -> dict[str, Any]:
    """Return the fields of the request that asks a question, as the evaluation asks it but streamed."""
    limit = {} if policy.max_tokens is None else {"max_tokens": policy.max_tokens}
    # max_completion_tokens is OpenAI's newer name of the same limit.
    if "max_completion_tokens" in question.parameters:
        limit = {}
    return {"temperature": 0, **limit, **question.parameters, "messages": question.messages}


def describe_questions(
    questions: Sequence[Question], rows: Sequence[Mapping[str, Any]], contents: Sequence[str | None]
) -> dict[str, Any]:
    """Return what the questions of some rows ask, and whether they are those that were evaluated.

    Args:
        questions: all of the set as it is now.
        rows: those that the page shows, with their `number`.
        contents: hashes of the questions that the revisions were asked; None for what is not known.
    """
    found = hash_questions(questions)
    changed = any(each is not None and each != found for each in contents)
    numbers = [int(row["number"]) for row in rows if int(row["number"]) <= len(questions)]
    message = (
        "The ConfigMap has other questions now than when the revisions were evaluated."
        if changed
        else None
    )
    shown = [] if changed else [_describe_question(questions[number - 1]) for number in numbers]
    return {"questions": shown, "message": message}


def _describe_question(question: Question) -> dict[str, Any]:
    messages = [
        {"role": str(each.get("role")), "text": _format_content(each.get("content"))}
        for each in question.messages
    ]
    checks = [
        {"kind": kind, "wanted": _format_content(wanted)}
        for kind, wanted in question.expect.items()
    ]
    return {"number": question.number, "id": question.id, "messages": messages, "checks": checks}


def _format_content(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_MOST_CHARACTERS]
