"""What the commands write: JSON merge patches, computed from the object as it was read.

A merge patch and not server-side apply: apply would make this command a second owner of fields that the user's own tool applies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_cli.arms import Arm, Object, annotation, arm_named, arms_of, name_of
from llmdeployment_cli.errors import Refusal

TEMPLATE_FIELDS = (
    "model",
    "engine",
    "prompt",
    "resources",
    "parallelism",
    "image",
    "podTemplate",
)
"""Fields of the spec that a revision records; a test compares them with the operator's."""


@dataclass(frozen=True)
class Change:
    """What is written, and the sentence that says so."""

    patch: dict[str, Any]
    sentence: str


def merge_patch(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that makes `wanted` of `current`.

    Maps are merged by the server, so a key that goes needs a null; lists are replaced as a whole.

    >>> merge_patch({"a": {"x": 1, "y": 2}, "b": 1, "c": [1]}, {"a": {"x": 3}, "c": [2]})
    {'a': {'x': 3, 'y': None}, 'b': None, 'c': [2]}
    """
    patch: dict[str, Any] = {key: None for key in current if key not in wanted}
    for key, value in wanted.items():
        mine = current.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(mine, value)
            if inner:
                patch[key] = inner
        elif key not in current or mine != value:
            patch[key] = value
    return dict(sorted(patch.items()))


def restored(deployment: Object, template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that puts a revision's template fields back into the spec, and nothing else.

    It holds the resourceVersion it was computed from: on another object the nulls would be wrong, so the server refuses it there.
    """
    spec = deployment["spec"]
    current = {key: spec[key] for key in TEMPLATE_FIELDS if key in spec}
    wanted = {key: template[key] for key in TEMPLATE_FIELDS if key in template}
    version = deployment["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version}, "spec": merge_patch(current, wanted)}


def promote(deployment: Object, arm: str | None, step: int | None) -> Change:
    """Return the change that lets the canary pass its step, and those up to `step` if one is given.

    Raises:
        Refusal: no canary, or nothing that it could pass.
    """
    found, canary = _canary(deployment, arm)
    if annotation(deployment, "promote") == str(canary):
        raise Refusal(f"revision {canary} already skips what is left of its steps")
    if found.step >= found.steps:
        raise Refusal(
            f"revision {canary} is past its steps: it takes over as soon as all its replicas answer"
        )
    wanted = found.step if step is None else step
    if not found.step <= wanted < found.steps:
        raise Refusal(
            f"revision {canary} is at step {found.step} of {found.steps}; --step takes {found.step} to {found.steps - 1}"
        )
    sentence = f"Revision {canary} may pass step {wanted} of {found.steps} as soon as the next step's replicas answer."
    return _set(deployment, "promote", f"{canary}/{wanted}", sentence + _paused(deployment, canary))


def promote_fully(deployment: Object, arm: str | None) -> Change:
    """Return the change that lets the canary skip what is left of its steps, and a failed analysis.

    Raises:
        Refusal: no canary.
    """
    _, canary = _canary(deployment, arm)
    sentence = (
        f"Revision {canary} takes over without its other steps as soon as all its replicas answer."
    )
    return _set(deployment, "promote", str(canary), sentence + _paused(deployment, canary))


def abort(deployment: Object, arm: str | None) -> Change:
    """Return the change that takes the canary's traffic away.

    Raises:
        Refusal: no canary.
    """
    found, canary = _canary(deployment, arm)
    sentence = (
        f"Revision {canary} gives everything back to revision {found.stable}; the spec still asks for it: "
        f"`kubectl llm retry {name_of(deployment)}` begins its rollout anew, `undo --to {found.stable}` puts the spec back."
    )
    return _set(deployment, "abort", str(canary), sentence)


def pause(deployment: Object, arm: str | None) -> Change:
    """Return the change that keeps the canary at its weight.

    Raises:
        Refusal: no canary.
    """
    found, canary = _canary(deployment, arm)
    sentence = (
        f"Revision {canary} stays at {found.canary_weight} % until "
        f"`kubectl llm resume {name_of(deployment)}`."
    )
    return _set(deployment, "pause", str(canary), sentence)


def resume(deployment: Object, arm: str | None) -> Change:
    """Return the change that takes the pause away.

    Raises:
        Refusal: no canary, or it is not paused by annotation.
    """
    _, canary = _canary(deployment, arm)
    if annotation(deployment, "pause") != str(canary):
        raise Refusal(
            f"revision {canary} is not paused by annotation; a pause of spec.rollout.steps ends with "
            f"`kubectl llm promote {name_of(deployment)}`"
        )
    return _set(deployment, "pause", None, f"Revision {canary} goes on with its rollout.")


def retry(deployment: Object, arm: str | None) -> Change:
    """Return the change that tries a revision again which was given up or aborted.

    Raises:
        Refusal: none was, or it is tried again already.
    """
    aborted = annotation(deployment, "abort")
    found = arm_named(deployment, arm)
    rejected = found.rejected
    if rejected is None:
        if (found.canary is None or found.leaving) and aborted and aborted != str(found.stable):
            sentence = f"Revision {aborted} is no longer aborted; if the spec still asks for it, its rollout begins anew."
            return _set(deployment, "abort", None, sentence)
        return _evaluated_again(deployment, found)
    revision, attempt = rejected["revision"], rejected.get("attempt", 1)
    asked = f"{revision}/{attempt}"
    if annotation(deployment, "retry") == asked and aborted != str(revision):
        raise Refusal(f"revision {revision} is being tried again after attempt {attempt} already")
    sentence = f"Revision {revision} is tried again: its attempt {attempt} was given up."
    change = _set(deployment, "retry", asked, sentence)
    if aborted == str(revision):
        # Both stand in the way, and whoever says retry means neither.
        change.patch["metadata"]["annotations"]["llmdeployment.dev/abort"] = None
    return change


def _evaluated_again(deployment: Object, arm: Arm) -> Change:
    """Return the change that asks the golden set again of an arm that has no requests because of its answers."""
    rows = (deployment.get("status") or {}).get("revisions") or ()
    row: Mapping[str, Any] = next((row for row in rows if row.get("number") == arm.stable), {})
    if arm.weight or "evaluation" not in row:
        raise Refusal(f"no revision of {name_of(deployment)} was given up")
    asked = f"{arm.stable}/{row['evaluation'].get('attempt', 1)}"
    if annotation(deployment, "retry") == asked:
        raise Refusal(f"revision {arm.stable} is being tried again already")
    sentence = f"Revision {arm.stable} of arm {arm.name} answers the golden set again."
    return _set(deployment, "retry", asked, sentence)


def _canary(deployment: Object, name: str | None) -> tuple[Arm, int]:
    arm = arm_named(deployment, name)
    if arm.canary is None:
        of = f"arm {arm.name} of " if len(arms_of(deployment)) > 1 else ""
        serves = f"revision {arm.stable} serves and " if arm.stable is not None else ""
        raise Refusal(
            f"{of}{name_of(deployment)} has no canary: {serves}no other one is on its way"
        )
    if arm.leaving:
        raise Refusal(
            f"revision {arm.canary} is being taken back, {arm.canary_weight} % are left; "
            f"`kubectl llm retry {name_of(deployment)}` tries it again if it was given up or aborted"
        )
    return arm, arm.canary


def _set(deployment: Object, name: str, value: str | None, sentence: str) -> Change:
    if deployment["spec"].get("paused"):
        sentence += " But spec.paused is true: nothing happens until it is false."
    sentence += _replaced(deployment, name, value)
    patch = {"metadata": {"annotations": {f"llmdeployment.dev/{name}": value}}}
    return Change(patch, sentence)


def _replaced(deployment: Object, name: str, value: str | None) -> str:
    """Return what becomes of another arm's annotation of the same name: an object has one of each."""
    arms, old = arms_of(deployment), annotation(deployment, name)
    if value is None or old is None or len(arms) < 2:  # noqa: PLR2004  because several
        return ""
    revision = old.split("/")[0]
    mine = revision == value.split("/")[0]
    if mine or revision in {str(arm.stable) for arm in arms}:
        return ""
    effect = "its rollout begins anew" if name == "abort" else "which is no longer in force"
    return f" It takes the place of {name}={old} of revision {revision}: {effect}."


def _paused(deployment: Object, canary: int) -> str:
    if annotation(deployment, "pause") != str(canary):
        return ""
    return f" It is paused by annotation: `kubectl llm resume {name_of(deployment)}` too."
