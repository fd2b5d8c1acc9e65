"""What an operator's answer must be like before it is passed on: whoever may label a Deployment can answer in an operator's place."""

from collections.abc import Mapping
from typing import Any

MINUTES = 60
_NUMBERS, _DEPTH, _NAME = 256, 3, 128


def read_points(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the points of an answer, those left out that are none; None if it has no list of them."""
    rows = document.get("points")
    if not isinstance(rows, list):
        return None
    return [row for row in rows if is_point(row)]


def read_fleet(document: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return `point` and `ttftP90ByMinute` of each LLMDeployment in an answer, by namespace and name."""
    rows = document.get("items")
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            point, minutes = row.get("point"), row.get("ttftP90ByMinute")
            found[str(row.get("namespace")), str(row.get("name"))] = {
                "point": point if is_point(point) else None,
                "ttftP90ByMinute": minutes if _is_hour(minutes) else [None] * MINUTES,
            }
    return found


def is_point(document: object) -> bool:
    """Say whether a document is a point: a time, and numbers or nulls in maps.

    >>> is_point({"at": "2026-11-24T12:00:00Z", "replicas": {"ready": 1}}), is_point({"at": "now", "revisions": {"4": {"x": "y"}}})
    (True, False)
    """
    if not isinstance(document, dict) or not isinstance(document.get("at"), str):
        return False
    numbers = {key: value for key, value in document.items() if key != "at"}
    return len(document["at"]) <= _NAME and 0 <= _count_numbers(numbers, _DEPTH) <= _NUMBERS


def _count_numbers(value: object, depth: int) -> float:
    """Return how many numbers there are; infinitely many where something else is, or where they lie too deep."""
    if value is None or _is_number(value):
        return 1
    if not isinstance(value, dict) or not depth or any(len(str(key)) > _NAME for key in value):
        return float("inf")
    return sum(_count_numbers(each, depth - 1) for each in value.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_hour(minutes: object) -> bool:
    return (
        isinstance(minutes, list)
        and len(minutes) == MINUTES
        and all(value is None or _is_number(value) for value in minutes)
    )
