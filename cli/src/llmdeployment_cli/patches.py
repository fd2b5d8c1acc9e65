"""JSON merge patches that the commands write, computed from the object as it was read.

Server-side apply is not used: it would make this command a second owner of fields that the user's own tool applies.
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
    """A patch, and the sentence that describes it."""

    patch: dict[str, Any]
    sentence: str


def merge_patch(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that makes `wanted` of `current`.

    The server merges maps, so a removed key needs a null. It replaces lists as a whole.

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

    The patch holds the resourceVersion that it was computed from. On a changed object the nulls would be wrong, so the server refuses it.
    """
    spec = deployment["spec"]
    current = {key: spec[key] for key in TEMPLATE_FIELDS if key in spec}
    wanted = {key: template[key] for key in TEMPLATE_FIELDS if key in template}
    version = deployment["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version}, "spec": merge_patch(current, wanted)}


def promote(deployment: Object, arm: str | None, step: int | None) -> Change:
    """Return the change that lets the canary pass its step, and those up to `step` if one is given.

    Raises:
        Refusal: there is no canary, or no step that it could pass.
    """
    found, canary = _find_canary(deployment, arm)
    if read_annotation(deployment, "promote").get(str(canary)) == str(canary):
        raise Refusal(
            f"revision {canary} already skips its remaining steps. Nothing is to be done."
        )
    if found.step >= found.steps:
        raise Refusal(
            f"revision {canary} is past its last step. It takes over as soon as all its replicas are ready."
        )
    wanted = found.step if step is None else step
    if not found.step <= wanted < found.steps:
        raise Refusal(
            f"revision {canary} is at step {found.step} of {found.steps}. --step takes {found.step} to {found.steps - 1}."
        )
    sentence = f"Revision {canary} may pass step {wanted} of {found.steps} as soon as the next step's replicas are ready."
    return _set(
        deployment, "promote", f"{canary}/{wanted}", sentence + _describe_pause(deployment, canary)
    )


def promote_fully(deployment: Object, arm: str | None) -> Change:
    """Return the change that lets the canary skip its remaining steps, and a failed analysis.

    Raises:
        Refusal: there is no canary.
    """
    _, canary = _find_canary(deployment, arm)
    sentence = f"Revision {canary} skips its remaining steps. It takes over as soon as all its replicas are ready."
    return _set(deployment, "promote", str(canary), sentence + _describe_pause(deployment, canary))


def abort(deployment: Object, arm: str | None) -> Change:
    """Return the change that aborts the rollout of the canary.

    Raises:
        Refusal: there is no canary.
    """
    found, canary = _find_canary(deployment, arm)
    sentence = (
        f"Revision {canary} returns its traffic to revision {found.stable}. The spec still asks for revision {canary}. "
        f"`kubectl llm retry {get_name(deployment)}` starts its rollout again; `undo --to {found.stable}` restores the spec."
    )
    return _set(deployment, "abort", str(canary), sentence)


def pause(deployment: Object, arm: str | None) -> Change:
    """Return the change that keeps the canary at its weight.

    Raises:
        Refusal: there is no canary.
    """
    found, canary = _find_canary(deployment, arm)
    sentence = (
        f"Revision {canary} stays at {found.canary_weight} % of the requests until "
        f"`kubectl llm resume {get_name(deployment)}`."
    )
    return _set(deployment, "pause", str(canary), sentence)


def resume(deployment: Object, arm: str | None) -> Change:
    """Return the change that removes the pause.

    Raises:
        Refusal: there is no canary, or it is not paused by annotation.
    """
    _, canary = _find_canary(deployment, arm)
    if str(canary) not in read_annotation(deployment, "pause"):
        raise Refusal(
            f"revision {canary} is not paused by annotation. To end a pause of spec.rollout.steps, use "
            f"`kubectl llm promote {get_name(deployment)}`."
        )
    return _unset(deployment, "pause", canary, f"Revision {canary} continues its rollout.")


def retry(deployment: Object, arm: str | None) -> Change:
    """Return the change that retries a revision that was rolled back or aborted.

    Raises:
        Refusal: no revision was, or it is already being retried.
    """
    aborted = read_annotation(deployment, "abort")
    found = find_arm(deployment, arm)
    rejected = found.rejected
    if rejected is None:
        if found.canary is not None and not found.leaving:
            raise Refusal(_describe_no_retry(deployment))
        gone = _find_aborted(deployment, found, aborted)
        if gone is None:
            return _retry_evaluation(deployment, found)
        sentence = f"Revision {gone} is no longer aborted. If the spec still asks for it, its rollout starts again."
        return _unset(deployment, "abort", int(gone), sentence)
    revision, attempt = rejected["revision"], rejected.get("attempt", 1)
    asked = f"{revision}/{attempt}"
    stands = str(revision) in aborted
    if read_annotation(deployment, "retry").get(str(revision)) == asked and not stands:
        raise Refusal(
            f"revision {revision} is already being retried after attempt {attempt}. "
            f"`kubectl llm status {get_name(deployment)}` shows how far it is."
        )
    sentence = f"Revision {revision} is retried. Its attempt {attempt} was rolled back."
    change = _set(deployment, "retry", asked, sentence)
    if stands:
        # Rejection and abort both block a retry, so a retry removes both.
        other = _unset(deployment, "abort", revision, "").patch["metadata"]["annotations"]
        change.patch["metadata"]["annotations"] |= other
    return change


def _find_aborted(deployment: Object, arm: Arm, aborted: Mapping[str, str]) -> str | None:
    """Return the revision of an arm that an annotation aborts, or None; the status does not always name its arm.

    Raises:
        Refusal: several revisions could be meant.
    """
    if arm.leaving and str(arm.canary) in aborted:
        return str(arm.canary)
    arms = read_arms(deployment)
    others = {str(each.stable) for each in arms}
    others |= {str(each.canary) for each in arms if each.name != arm.name}
    found = [revision for revision in aborted if revision not in others]
    if len(found) > 1:
        raise Refusal(
            f"revisions {', '.join(found)} are aborted, and their arms are unknown. Remove the one to retry from the annotation "
            "llmdeployment.dev/abort."
        )
    return found[0] if found else None


def _retry_evaluation(deployment: Object, arm: Arm) -> Change:
    """Return the change that evaluates an arm again that gets no requests because it failed its golden set."""
    rows = (deployment.get("status") or {}).get("revisions") or ()
    row: Mapping[str, Any] = next((row for row in rows if row.get("number") == arm.stable), {})
    if arm.weight or "evaluation" not in row:
        raise Refusal(_describe_no_retry(deployment))
    asked = f"{arm.stable}/{row['evaluation'].get('attempt', 1)}"
    if read_annotation(deployment, "retry").get(str(arm.stable)) == asked:
        raise Refusal(
            f"revision {arm.stable} is already being evaluated again. "
            f"`kubectl llm status {get_name(deployment)}` shows the result."
        )
    sentence = f"Revision {arm.stable} of arm {arm.name} answers the golden set again."
    return _set(deployment, "retry", asked, sentence)


def _describe_no_retry(deployment: Object) -> str:
    return f"no revision of {get_name(deployment)} was rolled back or aborted, so nothing can be retried."


def _find_canary(deployment: Object, name: str | None) -> tuple[Arm, int]:
    arm = find_arm(deployment, name)
    if arm.canary is None:
        of = f"arm {arm.name} of " if len(read_arms(deployment)) > 1 else ""
        serves = f"revision {arm.stable} serves and " if arm.stable is not None else ""
        raise Refusal(
            f"{of}{get_name(deployment)} has no canary: {serves}no rollout is in progress."
        )
    if arm.leaving:
        raise Refusal(
            f"revision {arm.canary} is being rolled back and still gets {arm.canary_weight} % of the requests. "
            f"`kubectl llm retry {get_name(deployment)}` retries it if it failed or was aborted."
        )
    return arm, arm.canary


def _set(deployment: Object, name: str, value: str, sentence: str) -> Change:
    """Return the change that adds a command to those for other arms, and replaces an earlier one for the same revision."""
    return _write_annotation(deployment, name, {value.split("/", maxsplit=1)[0]: value}, sentence)


def _unset(deployment: Object, name: str, revision: int, sentence: str) -> Change:
    return _write_annotation(deployment, name, {str(revision): None}, sentence)


def _write_annotation(
    deployment: Object, name: str, changed: Mapping[str, str | None], sentence: str
) -> Change:
    if deployment["spec"].get("paused"):
        sentence += " But spec.paused is true, so nothing happens until it is false."
    others = {r: v for r, v in _list_other_commands(deployment, name).items() if r not in changed}
    values = {**others, **changed}
    text = ",".join(value for value in values.values() if value is not None)
    metadata: dict[str, Any] = {"annotations": {f"llmdeployment.dev/{name}": text or None}}
    if others:
        # If somebody changed the object meanwhile, the server refuses the patch and it is computed again: no command is lost.
        metadata["resourceVersion"] = deployment["metadata"]["resourceVersion"]
    return Change({"metadata": metadata}, sentence)


def _list_other_commands(deployment: Object, name: str) -> dict[str, str]:
    """Return the commands that may be for other arms; with one arm there are none, and a stable revision needs none."""
    arms = read_arms(deployment)
    if len(arms) < 2:  # noqa: PLR2004  # because two are several
        return {}
    serving = {str(arm.stable) for arm in arms if arm.weight}
    found = read_annotation(deployment, name)
    return {revision: value for revision, value in found.items() if revision not in serving}


def _describe_pause(deployment: Object, canary: int) -> str:
    if str(canary) not in read_annotation(deployment, "pause"):
        return ""
    return (
        f" An annotation also pauses it: `kubectl llm resume {get_name(deployment)}` removes that."
    )
