"""The golden set: questions with checks of their answers, one JSON object per line."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmdeployment_serving.checks import check_expectation
from llmdeployment_serving.errors import ServingError

MAX_QUESTIONS = 10_000
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of a golden set, at most."""

_FIELDS = frozenset({"id", "messages", "prompt", "expect", "parameters"})
_OURS = frozenset({"messages", "prompt", "model", "stream", "stream_options", "n"})
"""Request fields that the evaluation sets."""


class GoldenError(ServingError):
    """The golden set cannot be read."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: the question's name in results; the number of its line by default.
        messages: the conversation, as in OpenAI's chat API.
        expect: the checks of the answer, by kind.
        parameters: more fields of the request.
    """

    id: str
    messages: list[dict[str, Any]]
    expect: dict[str, Any]
    parameters: dict[str, Any] = field(default_factory=dict)


def read_golden(path: Path, name: str) -> tuple[Question, ...]:
    """Return the questions of a file.

    Args:
        path: the file.
        name: its name in messages.

    Raises:
        GoldenError: the file is missing, too large or empty, or a line is not valid; the message has the line's number.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GoldenError(
                f"{name} is larger than {MAX_BYTES // 2**20} MiB: use fewer questions"
            )
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise GoldenError(f"{name} is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise GoldenError(
            f"{name} cannot be read: {error.strerror}; is the key or path right?"
        ) from None
    return parse_golden(text, name)


def parse_golden(text: str, name: str = "the golden set") -> tuple[Question, ...]:
    """Return the questions in a text; empty lines are skipped.

    >>> [q.id for q in parse_golden('{"prompt": "Capital of France?", "expect": {"contains": ["Paris"]}}')]
    ['line 1']

    Raises:
        GoldenError: as in `read_golden`.
    """
    questions = tuple(_parse_questions(text, name))
    if not questions:
        raise GoldenError(f"{name} holds no question")
    if len(questions) > MAX_QUESTIONS:
        raise GoldenError(f"{name} holds {len(questions)} questions: at most {MAX_QUESTIONS}")
    return questions


def hash_questions(questions: Sequence[Question]) -> str:
    """Return the hash of questions in their order, 16 hexadecimal digits: answers to questions of one hash can be compared one by one.

    >>> spaced = parse_golden('{"expect": {"json": true},   "prompt": "Two primes"}')
    >>> hash_questions(spaced) == hash_questions(parse_golden('{"prompt": "Two primes", "expect": {"json": true}}'))
    True
    """
    rows = [[q.id, q.messages, q.expect, q.parameters] for q in questions]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse_questions(text: str, name: str) -> Iterator[Question]:
    # Not splitlines(), because JSON may hold U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _parse_question(json.loads(line), number)
            except (ValueError, RecursionError) as error:
                raise GoldenError(f"{name}, line {number}: {error}") from None


def _parse_question(row: object, number: int) -> Question:
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004  # because the caller handles one kind of error
    if unknown := sorted(row.keys() - _FIELDS):
        raise ValueError(f"{unknown[0]} is not known: use {', '.join(sorted(_FIELDS))}")
    return Question(
        id=str(row.get("id") or f"line {number}"),
        messages=_read_messages(row),
        expect=_read_expect(row.get("expect")),
        parameters=_read_parameters(row.get("parameters", {})),
    )


def _read_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    if ("messages" in row) == ("prompt" in row):
        raise ValueError("needs either messages or prompt")
    if "prompt" in row:
        if not isinstance(row["prompt"], str) or not row["prompt"]:
            raise ValueError("prompt must be a text that is not empty")
        return [{"role": "user", "content": row["prompt"]}]
    messages = row["messages"]
    each = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and "content" in m for m in messages
    )
    if not each or not messages:
        raise ValueError("messages must be a list of objects with role and content")
    return list(messages)


def _read_expect(expect: object) -> dict[str, Any]:
    if not isinstance(expect, dict) or not expect:
        raise ValueError("expect must be an object with at least one check")
    for kind, wanted in expect.items():
        if (why := check_expectation(kind, wanted)) is not None:
            raise ValueError(why)
    return expect


def _read_parameters(parameters: object) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        raise ValueError("parameters must be an object")  # noqa: TRY004  # because the caller handles one kind of error
    if ours := sorted(parameters.keys() & _OURS):
        raise ValueError(f"parameters cannot hold {ours[0]}: the evaluation sets it")
    return parameters
