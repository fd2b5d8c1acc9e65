"""What a person can decide at the page, by the same patches as `kubectl llm`."""

import shlex
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from llmdeployment_cli import patches
from llmdeployment_cli.arms import Object, find_arm
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record, find_undo_record

UNDO = "undo"

_BUILDERS = {
    "promote": lambda deployment, arm: patches.promote(deployment, arm, None),
    "pause": patches.pause,
    "resume": patches.resume,
    "abort": patches.abort,
    "retry": patches.retry,
}

ACTIONS = (*_BUILDERS, UNDO)


class ActionRequest(BaseModel):
    """What the page asks for."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["promote", "pause", "resume", "abort", "retry", "undo"]
    preview: bool
    arm: str | None = None


def build_change(deployment: Object, action: str, arm: str | None) -> patches.Change:
    """Return the change of an action other than undo.

    Raises:
        Refusal: it is not possible now; the message says why.
        KeyError: there is no such action.
    """
    return _BUILDERS[action](deployment, arm)


def preview_action(
    deployment: Object, records: Sequence[Record], action: str, arm: str | None
) -> dict[str, Any]:
    """Return what an action would write, and the command that does the same.

    Raises:
        Refusal: it is not possible now; the message says why.
    """
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    words = ["kubectl", "llm", action, name, "-n", namespace]
    if arm is not None and action != UNDO:
        words += ["--arm", arm]
    patch, sentence = _build_patch(deployment, records, action, arm)
    return {"action": action, "command": shlex.join(words), "patch": patch, "sentence": sentence}


def list_actions(deployment: Object, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the actions, and why one is not possible now."""
    return [_describe_action(deployment, records, action) for action in ACTIONS]


def _describe_action(deployment: Object, records: Sequence[Record], action: str) -> dict[str, Any]:
    label, why = action.capitalize(), None
    try:
        _build_patch(deployment, records, action, None)
    except Refusal as refusal:
        why = str(refusal)
    else:
        label = _write_label(deployment, records, action)
    return {"name": action, "label": label, "possible": why is None, "why": why}


def _write_label(deployment: Object, records: Sequence[Record], action: str) -> str:
    """Return the words of a button.

    >>> _write_label({"metadata": {"name": "chat"}, "status": {"arms": [{"stable": 3, "canary": 4}]}}, (), "promote")
    'Promote r4'
    """
    if action == UNDO:
        return f"Undo to r{find_undo_record(deployment, records, None).number}"
    canary = find_arm(deployment, None).canary
    return f"{action.capitalize()} r{canary}" if canary is not None else action.capitalize()


def _build_patch(
    deployment: Object, records: Sequence[Record], action: str, arm: str | None
) -> tuple[dict[str, Any], str]:
    if action == UNDO:
        record = find_undo_record(deployment, records, None)
        sentence = f"The spec asks for revision {record.number} again."
        return patches.build_undo(deployment, record.template), sentence
    change = build_change(deployment, action, arm)
    return change.patch, change.sentence
