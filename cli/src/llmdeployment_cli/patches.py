"""What the commands write: JSON merge patches, computed from the object as it was read.

A merge patch and not server-side apply: apply would make this command a second owner of fields that the user's own tool applies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_cli.arms import Arm, Object, find_arm, get_name, read_annotation, read_arms
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


def build_undo(deployment: Object, template: Mapping[str, Any]) -> dict[str, Any]:
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
    found, canary = _find_canary(deployment, arm)
    if read_annotation(deployment, "promote").get(str(canary)) == str(canary):
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
    return _set(
        deployment, "promote", f"{canary}/{wanted}", sentence + _describe_pause(deployment, canary)
    )


def promote_fully(deployment: Object, arm: str | None) -> Change:
    """Return the change that lets the canary skip what is left of its steps, and a failed analysis.

    Raises:
        Refusal: no canary.
    """
    _, canary = _find_canary(deployment, arm)
    sentence = (
        f"Revision {canary} takes over without its other steps as soon as all its replicas answer."
    )
    return _set(deployment, "promote", str(canary), sentence + _describe_pause(deployment, canary))


def abort(deployment: Object, arm: str | None) -> Change:
    """Return the change that takes the canary's traffic away.

    Raises:
        Refusal: no canary.
    """
    found, canary = _find_canary(deployment, arm)
    sentence = (
        f"Revision {canary} gives everything back to revision {found.stable}; the spec still asks for it: "
        f"`kubectl llm retry {get_name(deployment)}` begins its rollout anew, `undo --to {found.stable}` puts the spec back."
    )
    return _set(deployment, "abort", str(canary), sentence)


def pause(deployment: Object, arm: str | None) -> Change:
    """Return the change that keeps the canary at its weight.

    Raises:
        Refusal: no canary.
    """
    found, canary = _find_canary(deployment, arm)
    sentence = (
        f"Revision {canary} stays at {found.canary_weight} % until "
        f"`kubectl llm resume {get_name(deployment)}`."
    )
    return _set(deployment, "pause", str(canary), sentence)


def resume(deployment: Object, arm: str | None) -> Change:
    """Return the change that takes the pause away.

    Raises:
        Refusal: no canary, or it is not paused by annotation.
    """
    _, canary = _find_canary(deployment, arm)
    if str(canary) not in read_annotation(deployment, "pause"):
        raise Refusal(
            f"revision {canary} is not paused by annotation; a pause of spec.rollout.steps ends with "
            f"`kubectl llm promote {get_name(deployment)}`"
        )
    return _unset(deployment, "pause", canary, f"Revision {canary} goes on with its rollout.")


def retry(deployment: Object, arm: str | None) -> Change:
    """Return the change that tries a revision again which was given up or aborted.

    Raises:
        Refusal: none was, or it is tried again already.
    """
    aborted = read_annotation(deployment, "abort")
    found = find_arm(deployment, arm)
    rejected = found.rejected
    if rejected is None:
        if found.canary is not None and not found.leaving:
            raise Refusal(f"no revision of {get_name(deployment)} was given up")
        gone = _find_aborted(deployment, found, aborted)
        if gone is None:
            return _retry_evaluation(deployment, found)
        sentence = f"Revision {gone} is no longer aborted; if the spec still asks for it, its rollout begins anew."
        return _unset(deployment, "abort", int(gone), sentence)
    revision, attempt = rejected["revision"], rejected.get("attempt", 1)
    asked = f"{revision}/{attempt}"
    stands = str(revision) in aborted
    if read_annotation(deployment, "retry").get(str(revision)) == asked and not stands:
        raise Refusal(f"revision {revision} is being tried again after attempt {attempt} already")
    sentence = f"Revision {revision} is tried again: its attempt {attempt} was given up."
    change = _set(deployment, "retry", asked, sentence)
    if stands:
        # Both stand in the way, and whoever says retry means neither.
        other = _unset(deployment, "abort", revision, "").patch["metadata"]["annotations"]
        change.patch["metadata"]["annotations"] |= other
    return change


def _find_aborted(deployment: Object, arm: Arm, aborted: Mapping[str, str]) -> str | None:
    """Return the revision of an arm that is aborted by annotation, or None; the status does not always say whose it is.

    Raises:
        Refusal: it may be one of several.
    """
    if arm.leaving and str(arm.canary) in aborted:
        return str(arm.canary)
    arms = read_arms(deployment)
    others = {str(each.stable) for each in arms}
    others |= {str(each.canary) for each in arms if each.name != arm.name}
    found = [revision for revision in aborted if revision not in others]
    if len(found) > 1:
        raise Refusal(
            f"revisions {', '.join(found)} are aborted: take the one that is meant out of the annotation llmdeployment.dev/abort"
        )
    return found[0] if found else None


def _retry_evaluation(deployment: Object, arm: Arm) -> Change:
    """Return the change that asks the golden set again of an arm that has no requests because of its answers."""
    rows = (deployment.get("status") or {}).get("revisions") or ()
    row: Mapping[str, Any] = next((row for row in rows if row.get("number") == arm.stable), {})
    if arm.weight or "evaluation" not in row:
        raise Refusal(f"no revision of {get_name(deployment)} was given up")
    asked = f"{arm.stable}/{row['evaluation'].get('attempt', 1)}"
    if read_annotation(deployment, "retry").get(str(arm.stable)) == asked:
        raise Refusal(f"revision {arm.stable} is being tried again already")
    sentence = f"Revision {arm.stable} of arm {arm.name} answers the golden set again."
    return _set(deployment, "retry", asked, sentence)


def _find_canary(deployment: Object, name: str | None) -> tuple[Arm, int]:
    arm = find_arm(deployment, name)
    if arm.canary is None:
        of = f"arm {arm.name} of " if len(read_arms(deployment)) > 1 else ""
        serves = f"revision {arm.stable} serves and " if arm.stable is not None else ""
        raise Refusal(
            f"{of}{get_name(deployment)} has no canary: {serves}no other one is on its way"
        )
    if arm.leaving:
        raise Refusal(
            f"revision {arm.canary} is being taken back, {arm.canary_weight} % are left; "
            f"`kubectl llm retry {get_name(deployment)}` tries it again if it was given up or aborted"
        )
    return arm, arm.canary


def _set(deployment: Object, name: str, value: str, sentence: str) -> Change:
    """Return the change that adds a command to those for the other arms, in the place of an earlier one for the same revision."""
    return _write_annotation(deployment, name, {value.split("/", maxsplit=1)[0]: value}, sentence)


def _unset(deployment: Object, name: str, revision: int, sentence: str) -> Change:
    return _write_annotation(deployment, name, {str(revision): None}, sentence)


def _write_annotation(
    deployment: Object, name: str, changed: Mapping[str, str | None], sentence: str
) -> Change:
    if deployment["spec"].get("paused"):
        sentence += " But spec.paused is true: nothing happens until it is false."
    others = {r: v for r, v in _list_other_commands(deployment, name).items() if r not in changed}
    values = {**others, **changed}
    text = ",".join(value for value in values.values() if value is not None)
    metadata: dict[str, Any] = {"annotations": {f"llmdeployment.dev/{name}": text or None}}
    if others:
        # On an object that somebody wrote meanwhile the server refuses it, and it is computed anew: no command of theirs is lost.
        metadata["resourceVersion"] = deployment["metadata"]["resourceVersion"]
    return Change({"metadata": metadata}, sentence)


def _list_other_commands(deployment: Object, name: str) -> dict[str, str]:
    """Return the commands that may be for other arms: with one arm there are none, and whoever serves needs none any more."""
    arms = read_arms(deployment)
    if len(arms) < 2:  # noqa: PLR2004  because several
        return {}
    serving = {str(arm.stable) for arm in arms if arm.weight}
    found = read_annotation(deployment, name)
    return {revision: value for revision, value in found.items() if revision not in serving}


def _describe_pause(deployment: Object, canary: int) -> str:
    if str(canary) not in read_annotation(deployment, "pause"):
        return ""
    return f" It is paused by annotation: `kubectl llm resume {get_name(deployment)}` too."
