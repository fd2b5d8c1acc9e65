"""What changed from revision to revision, and the way back."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from llmdeployment_cli.arms import Arm, Object, find_arm, get_name, read_annotation, read_arms
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.times import parse_time


@dataclass(frozen=True)
class Record:
    """One ControllerRevision: a revision's number, its template fields and when it was created."""

    number: int
    template: Mapping[str, Any]
    created: str | None


@dataclass(frozen=True)
class Entry:
    """One line of the history.

    Attributes:
        number: the revision's.
        created: when it was created.
        changed: fields that differ from the recorded revision before; None where there is none.
        traffic: its share of the requests, in percent.
        role: stable, canary, kept warm, rolled back, or empty.
    """

    number: int
    created: str | None
    changed: tuple[str, ...] | None
    traffic: int
    role: str


def read_records(objects: Iterable[Object]) -> tuple[Record, ...]:
    """Return the records in ControllerRevisions, oldest first; leaves out those of a StatefulSet, which record pods."""
    found = [
        Record(
            int(obj["revision"]),
            obj["data"]["template"],
            obj["metadata"].get("creationTimestamp"),
        )
        for obj in objects
        if "template" in (obj.get("data") or {})
    ]
    return tuple(sorted(found, key=lambda record: record.number))


def list_entries(deployment: Object, records: Sequence[Record]) -> tuple[Entry, ...]:
    """Return the history, oldest first."""
    rows = (deployment.get("status") or {}).get("revisions") or ()
    traffic = {row["number"]: int(row.get("trafficPercent") or 0) for row in rows}
    roles = _list_roles(deployment)
    befores: list[Record | None] = [None, *records[:-1]]
    return tuple(
        Entry(
            number=record.number,
            created=record.created,
            changed=list_changes(before.template, record.template) if before is not None else None,
            traffic=traffic.get(record.number, 0),
            role=", ".join(roles.get(record.number, ())),
        )
        for before, record in zip(befores, records, strict=False)
    )


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the fields that differ: down to the last map, lists as a whole.

    >>> list_changes({"engine": {"args": {"a": 1}}}, {"engine": {"args": {"a": 2}}, "prompt": {"system": "x"}})
    ('engine.args.a', 'prompt.system')
    """
    found: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        maps = [each for each in (one, other) if isinstance(each, Mapping)]
        # A map that one side lacks counts as empty, so that its fields are listed.
        if maps and all(isinstance(each, Mapping) or each is None for each in (one, other)):
            found += [f"{key}.{path}" for path in list_changes(one or {}, other or {})]
        elif one != other:
            found.append(key)
    return tuple(found)


def find_record(deployment: Object, records: Sequence[Record], number: int) -> Record:
    """Return the record of a revision.

    Raises:
        Refusal: the revision is no longer kept, or never existed.
    """
    found = next((record for record in records if record.number == number), None)
    if found is None:
        kept = ", ".join(str(record.number) for record in records) or "none"
        raise Refusal(
            f"revision {number} of {get_name(deployment)} does not exist. Revisions that are kept: {kept}. "
            "spec.revisionHistoryLimit sets how many."
        )
    return found


def find_serving(deployment: Object, arm: str | None) -> int:
    """Return the revision that serves.

    Raises:
        Refusal: no revision serves yet.
    """
    stable = find_arm(deployment, arm).stable
    if stable is None:
        raise Refusal(
            f"no revision of {get_name(deployment)} serves yet. `kubectl llm status {get_name(deployment)}` shows what it waits for."
        )
    return stable


def format_diff(old: Record, new: Record) -> str:
    """Return the unified diff of two templates as YAML; empty when they are the same."""
    lines = difflib.unified_diff(
        _format_yaml(old),
        _format_yaml(new),
        f"revision {old.number}",
        f"revision {new.number}",
        lineterm="",
    )
    return "\n".join(lines)


def find_undo_record(deployment: Object, records: Sequence[Record], to: int | None) -> Record:
    """Return the record that `undo` goes back to: that of revision `to`, or the one that served before the stable revision.

    Raises:
        Refusal: the record does not exist, more than one could be meant, or arms have overrides.
    """
    if any(arm.get("overrides") for arm in deployment["spec"].get("arms") or ()):
        raise Refusal(
            f"the arms of {get_name(deployment)} have overrides, and the records of their revisions include them. Undo would copy them "
            "to every arm. Restore the fields in spec or spec.arms[].overrides by hand. `kubectl llm diff` shows them."
        )
    if to is not None:
        return find_record(deployment, records, to)
    arm = _find_leading_arm(deployment)
    stable = find_serving(deployment, arm.name)
    before = _find_served_before(deployment, records, stable)
    requested = _find_requested(deployment, arm)
    if requested is not None:
        beside = f", or --to {before.number} for the one before" if before is not None else ""
        raise Refusal(
            f"revision {stable} serves and the spec asks for revision {requested}. Use --to {stable} to go back to what serves{beside}."
        )
    if before is None:
        kept = ", ".join(str(record.number) for record in records) or "none"
        raise Refusal(f"no revision served before revision {stable}. Choose one with --to: {kept}.")
    return before


def _find_served_before(
    deployment: Object, records: Sequence[Record], stable: int
) -> Record | None:
    """Return the record that was the stable revision last, of those that were ever ready; one that was rolled back never served."""
    rows = {row["number"]: row for row in deployment["status"].get("revisions") or ()}
    if not rows.get(stable, {}).get("promotedAt"):
        # An older operator wrote this status without `promotedAt`: only the numbers are known.
        return next((record for record in reversed(records) if record.number < stable), None)
    served = [
        (row["promotedAt"], record.number, record)
        for record in records
        if record.number != stable
        and (row := rows.get(record.number, {})).get("promotedAt")
        and row.get("firstReadyAt")
    ]
    return max(served, default=(None, None, None))[2]


def describe_undo(deployment: Object, record: Record, fields: Sequence[str], now: datetime) -> str:
    """Return what an undo did, and how it takes effect."""
    name, number = get_name(deployment), record.number
    arms = read_arms(deployment)
    warm = any(
        w["revision"] == number
        and (until := parse_time(w.get("until"))) is not None
        and until > now
        for arm in arms
        for w in arm.warm
    )
    if any(arm.stable == number for arm in arms):
        how = "It serves already; the canary is rolled back"
    elif warm:
        how = "It is kept warm and takes over at once"
    else:
        strategy = (deployment["spec"].get("rollout") or {}).get("strategy", "BlueGreen")
        how = f"It takes over according to spec.rollout ({strategy})"
    sentence = f"The spec of {name} asks for revision {number} again ({', '.join(fields)} restored). {how}."
    if str(number) in read_annotation(deployment, "abort"):
        sentence += (
            f" But an annotation aborts it. `kubectl llm retry {name}` removes the annotation."
        )
    return sentence


def _find_leading_arm(deployment: Object) -> Arm:
    """Return the arm that represents all: without overrides they have the same revisions."""
    arms = read_arms(deployment)
    moving = next((arm for arm in arms if arm.canary is not None), None)
    return moving or find_arm(deployment, arms[0].name if arms else None)


def _find_requested(deployment: Object, arm: Arm) -> int | None:
    """Return the revision that the spec asks for, or None if that one serves."""
    if arm.canary is not None:
        return arm.canary
    if arm.rejected is not None:
        return int(arm.rejected["revision"])
    rows = deployment["status"].get("revisions") or ()
    newest = max((row["number"] for row in rows), default=arm.stable)
    aborted = str(newest) in read_annotation(deployment, "abort")
    return newest if aborted and newest != arm.stable else None


def _list_roles(deployment: Object) -> dict[int, list[str]]:
    arms = read_arms(deployment)
    roles: dict[int, list[str]] = {}
    for arm in arms:
        named = f" of {arm.name}" if len(arms) > 1 else ""
        found = [(arm.stable, "stable"), (arm.canary, "canary")]
        found += [(warm["revision"], "kept warm") for warm in arm.warm]
        found += [(arm.rejected["revision"], "rolled back")] if arm.rejected is not None else []
        for number, role in found:
            if number is not None:
                roles.setdefault(number, []).append(role + named)
    return roles


def _format_yaml(record: Record) -> list[str]:
    return yaml.safe_dump(dict(record.template), sort_keys=True, width=120).splitlines()
