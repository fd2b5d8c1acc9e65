"""What the commands write, and when they refuse."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.objects import Object, annotated, deployment, on_its_way, revision

from llmdeployment_cli import patches
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.patches import Change
from llmdeployment_operator.plan.rollout.commands import Commands, read_commands

REJECTED = {"revision": 4, "attempt": 2, "at": "2026-11-24T11:00:00Z", "message": "no GPU"}
IDLE = deployment()
GIVEN_UP = deployment({"name": "main", "weight": 100, "stable": 3, "rejected": REJECTED})
LAST = on_its_way(step=4)
TAKEN_BACK = {"name": "main", "weight": 100, "stable": 3, "canary": 4, "canaryWeight": 25}
NEW_ARM = deployment(
    {"name": "control", "weight": 100, "stable": 3},
    {"name": "terse", "weight": 0, "stable": 4},
    revisions=[revision(3, 100), {**revision(4), "evaluation": {"attempt": 2, "score": 10}}],
)
LEAVING = deployment(TAKEN_BACK)
TWO = deployment(
    {"name": "control", "weight": 90, "stable": 3, "canary": 5, "step": 1},
    {"name": "terse", "weight": 10, "stable": 4, "canary": 6, "step": 3},
)
PAUSED = {**on_its_way(), "spec": {**on_its_way()["spec"], "paused": True}}

Command = Callable[[Object], Change]


def promote(arm: str | None = None, step: int | None = None) -> Command:
    return lambda obj: patches.promote(obj, arm, step)


def promote_fully(obj: Object) -> Change:
    return patches.promote_fully(obj, None)


def pause(obj: Object) -> Change:
    return patches.pause(obj, None)


def resume(obj: Object) -> Change:
    return patches.resume(obj, None)


def abort(obj: Object) -> Change:
    return patches.abort(obj, None)


def retry(obj: Object) -> Change:
    return patches.retry(obj, None)


def annotations(change: Change) -> dict[str, Any]:
    assert change.patch.keys() == {"metadata"}
    found: dict[str, Any] = change.patch["metadata"]["annotations"]
    return found


WRITTEN = [
    (promote(), on_its_way(), Commands(promote={4: 2}), "may pass step 2 of 4"),
    (promote(step=3), on_its_way(), Commands(promote={4: 3}), "may pass step 3 of 4"),
    (promote(arm="terse"), TWO, Commands(promote={6: 3}), "Revision 6"),
    (promote(), annotated(on_its_way(), pause="4"), Commands(promote={4: 2}), "resume chat"),
    (promote_fully, on_its_way(), Commands(promote={4: None}), "takes over"),
    (promote_fully, LAST, Commands(promote={4: None}), "takes over"),
    (abort, on_its_way(), Commands(abort={4}), "to revision 3"),
    (pause, on_its_way(), Commands(pause={4}), "stays at 25 %"),
    (pause, PAUSED, Commands(pause={4}), "spec.paused is true"),
    (retry, GIVEN_UP, Commands(retry={4: 2}), "attempt 2"),
    (
        lambda obj: patches.retry(obj, "terse"),
        NEW_ARM,
        Commands(retry={4: 2}),
        "Revision 4 of arm terse answers the golden set again",
    ),
    (retry, deployment({**TAKEN_BACK, "rejected": REJECTED}), Commands(retry={4: 2}), "attempt 2"),
]


@pytest.mark.parametrize(("command", "obj", "commands", "sentence"), WRITTEN)
def test_a_command_writes_what_the_operator_reads(
    command: Command, obj: Object, commands: Commands, sentence: str
) -> None:
    change = command(obj)
    assert read_commands(annotations(change)) == commands
    assert sentence in change.sentence


REMOVED = [
    (resume, annotated(on_its_way(), pause="4"), {"llmdeployment.dev/pause": None}),
    (retry, annotated(IDLE, abort="4"), {"llmdeployment.dev/abort": None}),
    (retry, annotated(LEAVING, abort="4"), {"llmdeployment.dev/abort": None}),
    (
        retry,
        annotated(GIVEN_UP, abort="4"),
        {"llmdeployment.dev/retry": "4/2", "llmdeployment.dev/abort": None},
    ),
]


@pytest.mark.parametrize(("command", "obj", "written"), REMOVED)
def test_a_command_takes_an_annotation_away(
    command: Command, obj: Object, written: dict[str, str | None]
) -> None:
    assert annotations(command(obj)) == written


REFUSED = [
    (promote(), IDLE, "chat has no canary: revision 3 serves"),
    (promote_fully, IDLE, "no canary"),
    (abort, IDLE, "no canary"),
    (pause, IDLE, "no canary"),
    (resume, IDLE, "no canary"),
    (retry, IDLE, "no revision of chat was rolled back"),
    (retry, annotated(IDLE, abort="3"), "no revision of chat was rolled back"),
    (retry, annotated(GIVEN_UP, retry="4/2"), "is already being retried"),
    (
        lambda obj: patches.retry(obj, "terse"),
        annotated(NEW_ARM, retry="4/2"),
        "being evaluated again",
    ),
    (lambda obj: patches.retry(obj, "control"), NEW_ARM, "no revision of chat was rolled back"),
    (resume, on_its_way(), "not paused by annotation"),
    (resume, annotated(on_its_way(), pause="3"), "not paused by annotation"),
    (promote(step=1), on_its_way(), "--step takes 2 to 3"),
    (promote(step=4), on_its_way(), "--step takes 2 to 3"),
    (promote(), LAST, "past its last step"),
    (promote(), annotated(on_its_way(), promote="4"), "already skips"),
    (
        promote(),
        LEAVING,
        "revision 4 is being rolled back and still gets 25 % of the requests. `kubectl llm retry chat`",
    ),
    (abort, LEAVING, "is being rolled back"),
    (promote(), TWO, "Choose one with --arm: control, terse."),
    (promote(arm="other"), TWO, "no arm other. Its arms are: control, terse."),
    (promote(), {"metadata": {"name": "chat"}, "spec": {}}, "has no rollout yet"),
]


@pytest.mark.parametrize(("command", "obj", "why"), REFUSED)
def test_a_command_is_refused_with_a_sentence(command: Command, obj: Object, why: str) -> None:
    with pytest.raises(Refusal) as error:
        command(obj)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("command", "old", "written"),
    [
        (promote(arm="terse"), {"promote": "5/2"}, {"promote": "5/2,6/3"}),
        (promote(arm="terse"), {"promote": "5/2, 6/1"}, {"promote": "5/2,6/3"}),
        (promote(arm="terse"), {"promote": "6/1"}, {"promote": "6/3"}),
        (promote(arm="terse"), {"promote": "3,4"}, {"promote": "6/3"}),  # both serve by now
        (lambda obj: patches.abort(obj, "terse"), {"abort": "5"}, {"abort": "5,6"}),
        (lambda obj: patches.resume(obj, "terse"), {"pause": "5,6"}, {"pause": "5"}),
        (lambda obj: patches.resume(obj, "terse"), {"pause": "6"}, {"pause": None}),
    ],
)
def test_a_command_is_added_to_those_for_other_arms(
    command: Command, old: dict[str, str], written: dict[str, str | None]
) -> None:
    change = command(annotated(TWO, **old))
    assert annotations(change) == {f"llmdeployment.dev/{k}": v for k, v in written.items()}
    # What is kept of others must be what is there when it is written.
    kept = any("5" in (value or "") for value in written.values())
    assert change.patch["metadata"].get("resourceVersion") == ("77" if kept else None)


def test_one_of_several_arms_is_tried_again() -> None:
    control = {"name": "control", "weight": 90, "stable": 3, "rejected": {"revision": 5}}
    terse = {"name": "terse", "weight": 10, "stable": 4}
    found = annotated(deployment(control, terse), abort="5,6", retry="6/1")
    assert annotations(patches.retry(found, "control")) == {
        "llmdeployment.dev/retry": "6/1,5/1",
        "llmdeployment.dev/abort": "6",
    }
    with pytest.raises(Refusal, match="revisions 5, 6 are aborted, and their arms are unknown"):
        patches.retry(found, "terse")


def test_the_only_arm_with_a_canary_is_meant() -> None:
    control = {"name": "control", "weight": 90, "stable": 3}
    terse = {"name": "terse", "weight": 10, "stable": 4, "canary": 6, "step": 1}
    assert annotations(patches.pause(deployment(control, terse), None)) == {
        "llmdeployment.dev/pause": "6"
    }
    with pytest.raises(Refusal, match="arm control of chat has no canary"):
        patches.pause(deployment(control, terse), "control")


def test_an_undo_writes_template_fields_alone() -> None:
    obj = deployment()
    obj["spec"] |= {
        "engine": {"name": "vllm", "args": {"max-model-len": 8192, "dtype": "bfloat16"}},
        "prompt": {"system": "Be kind."},
        "image": "registry.example/serving:2",
        "replicas": 4,
    }
    template = {
        "model": {"source": "pvc://models/old"},
        "engine": {"args": {"max-model-len": 4096}},
    }
    assert patches.build_undo(obj, template) == {
        "metadata": {"resourceVersion": "77"},
        "spec": {
            "engine": {"args": {"dtype": None, "max-model-len": 4096}, "name": None},
            "image": None,
            "model": {"source": "pvc://models/old"},
            "prompt": None,
        },
    }


_SCALARS = st.integers(0, 3) | st.text("ab", max_size=1) | st.lists(st.integers(0, 2), max_size=2)
_MAPS = st.recursive(
    st.dictionaries(st.sampled_from("xyz"), _SCALARS, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), _SCALARS | inner, max_size=3),
    max_leaves=8,
)


def applied(target: Any, patch: Any) -> Any:
    """MergePatch of RFC 7386, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = applied(result.get(key), value)
    return result


@given(_MAPS, _MAPS)
def test_a_merge_patch_makes_one_object_of_another(current: Object, wanted: Object) -> None:
    patch = patches.merge_patch(current, wanted)
    assert applied(current, patch) == wanted
    assert patches.merge_patch(wanted, wanted) == {}
