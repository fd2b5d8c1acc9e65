"""What changed from revision to revision, and where an undo leads."""

from typing import Any

import pytest
from tests.unit.cli.objects import (
    NOW,
    RECORDS,
    Object,
    annotated,
    deployment,
    on_its_way,
    revision,
)

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.gitops import find_caveat
from llmdeployment_cli.history import (
    describe_undo,
    find_record,
    find_serving,
    find_undo_record,
    format_diff,
    list_changes,
    list_entries,
    read_records,
)

KEPT = read_records(RECORDS)
REJECTED = {"revision": 4, "attempt": 1, "at": "2026-11-24T11:00:00Z", "message": "no GPU"}
GIVEN_UP = deployment({"name": "main", "weight": 100, "stable": 3, "rejected": REJECTED})
FIRST = deployment({"name": "main", "weight": 100, "stable": 2})


def test_a_diff_reads_from_the_first_to_the_second() -> None:
    assert format_diff(KEPT[1], KEPT[2]).splitlines() == [
        "--- revision 3",
        "+++ revision 4",
        "@@ -1,5 +1,8 @@",
        " engine:",
        "   args:",
        "-    max-model-len: 4096",
        "+    dtype: bfloat16",
        "+    max-model-len: 8192",
        " model:",
        "   source: pvc://models/chat",
        "+prompt:",
        "+  system: Be kind.",
    ]
    assert format_diff(KEPT[1], KEPT[1]) == ""


def test_what_a_stateful_set_records_of_its_pods_is_no_revision() -> None:
    pods = {
        "metadata": {"name": "chat-a-head-b"},
        "revision": 1,
        "data": {"spec": {"template": {}}},
    }
    assert read_records([pods, *RECORDS]) == KEPT


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({}, {}, ()),
        ({"image": "a"}, {"image": "b"}, ("image",)),
        ({"image": "a"}, {}, ("image",)),
        ({"prompt": {"system": "x"}}, {}, ("prompt.system",)),
        ({"engine": {"args": {"a": [1]}}}, {"engine": {"args": {"a": [2]}}}, ("engine.args.a",)),
        ({"engine": {"args": 1}}, {"engine": {"args": {"a": 1}}}, ("engine.args",)),
    ],
)
def test_changed_fields_are_named(before: Object, after: Object, fields: tuple[str, ...]) -> None:
    assert list_changes(before, after) == fields


def test_a_history_says_what_each_revision_is_now() -> None:
    arm = {"warm": [{"revision": 2, "until": "2026-11-24T12:04:05Z"}]}
    found = list_entries(on_its_way(**arm), KEPT)
    assert [(e.number, e.role, e.traffic) for e in found] == [
        (2, "kept warm", 0),
        (3, "stable", 75),
        (4, "canary", 25),
    ]
    assert [e.role for e in list_entries(GIVEN_UP, KEPT)] == ["", "stable", "rolled back"]


@pytest.mark.parametrize(
    ("obj", "to", "number"),
    [(deployment(), None, 2), (deployment(), 4, 4), (on_its_way(), 3, 3), (GIVEN_UP, 2, 2)],
)
def test_an_undo_goes_back(obj: Object, to: int | None, number: int) -> None:
    assert find_undo_record(obj, KEPT, to).number == number


def served(number: int, promoted: str | None, *, answered: bool = True) -> Object:
    row = revision(number) | ({"promotedAt": f"2026-11-24T{promoted}Z"} if promoted else {})
    return row | ({"firstReadyAt": "2026-11-24T09:00:00Z"} if answered else {})


@pytest.mark.parametrize(
    ("rows", "stable", "number"),
    [
        # 3 was rolled back by its verdict, so what served before 4 is 2.
        ([served(2, "10:00:00"), served(3, None), served(4, "11:00:00")], 4, 2),
        # 3 was Recreated and never answered.
        (
            [served(2, "10:00:00"), served(3, "10:30:00", answered=False), served(4, "11:00:00")],
            4,
            2,
        ),
        # An undo of an undo.
        ([served(2, "11:00:00"), served(3, "10:00:00")], 2, 3),
    ],
)
def test_an_undo_goes_back_to_what_served(rows: list[Object], stable: int, number: int) -> None:
    obj = deployment({"name": "main", "weight": 100, "stable": stable}, revisions=rows)
    assert find_undo_record(obj, KEPT, None).number == number


@pytest.mark.parametrize(
    ("obj", "to", "why"),
    [
        (deployment(), 1, "revision 1 of chat does not exist"),
        (deployment(), 1, "kept: 2, 3, 4"),
        (FIRST, None, "no revision served before revision 2. Choose one with --to: 2, 3, 4."),
        (on_its_way(), None, "the spec asks for revision 4. Use --to 3 to go back to what serves"),
        (on_its_way(), None, "or --to 2 for the one before"),
        (GIVEN_UP, None, "the spec asks for revision 4"),
        (deployment({"name": "main", "weight": 100}), None, "no revision of chat serves yet"),
        ({"metadata": {"name": "chat"}, "spec": {}}, None, "has no rollout yet"),
    ],
)
def test_an_undo_that_is_not_clear_is_refused(obj: Object, to: int | None, why: str) -> None:
    with pytest.raises(Refusal) as error:
        find_undo_record(obj, KEPT, to)
    assert why in str(error.value)


def test_an_aborted_revision_is_still_what_the_spec_asks_for() -> None:
    obj = annotated(on_its_way(), abort="4")
    obj["status"]["arms"] = [{"name": "main", "weight": 100, "stable": 3}]
    with pytest.raises(Refusal, match="the spec asks for revision 4"):
        find_undo_record(obj, KEPT, None)


def test_arms_with_fields_of_their_own_are_not_undone() -> None:
    obj = deployment()
    obj["spec"]["arms"] = [
        {"name": "control", "weight": 90},
        {"name": "terse", "weight": 10, "overrides": {"prompt": {"system": "x"}}},
    ]
    with pytest.raises(Refusal, match="to every arm"):
        find_undo_record(obj, KEPT, 2)


@pytest.mark.parametrize(
    ("obj", "number", "how"),
    [
        (deployment(), 2, "It takes over according to spec.rollout (Canary)"),
        (on_its_way(), 3, "It serves already"),
        (on_its_way(warm=[{"revision": 2, "until": "2026-11-24T12:04:05Z"}]), 2, "kept warm"),
        (
            on_its_way(warm=[{"revision": 2, "until": "2026-11-24T11:59:59Z"}]),
            2,
            "takes over according to",
        ),
        (annotated(deployment(), abort="2"), 2, "`kubectl llm retry chat` removes the annotation"),
    ],
)
def test_an_undo_says_how_it_takes_effect(obj: Object, number: int, how: str) -> None:
    sentence = describe_undo(obj, find_record(obj, KEPT, number), ("prompt.system",), NOW)
    assert f"asks for revision {number} again (prompt.system restored)" in sentence
    assert how in sentence


def test_what_serves_is_asked_of_an_arm() -> None:
    arms = [{"name": "a", "weight": 50, "stable": 3}, {"name": "b", "weight": 50, "stable": 5}]
    assert find_serving(deployment(*arms), "b") == 5
    with pytest.raises(Refusal, match="--arm"):
        find_serving(deployment(*arms), None)


def applied_by(manager: str, **more: str) -> list[Any]:
    return [{"manager": manager, "operation": "Apply", **more}]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, ""),
        ({"managedFields": applied_by("llmdeployment-operator", subresource="status")}, ""),
        ({"managedFields": [{"manager": "kubectl-edit", "operation": "Update"}]}, ""),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD"),
        ({"managedFields": applied_by("argocd-controller")}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux"),
        ({"managedFields": applied_by("helm-controller")}, "Flux"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "helm upgrade"),
        ({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, "file"),
        ({"managedFields": applied_by("terraform")}, "terraform applies this object"),
    ],
)
def test_an_undo_says_who_may_take_it_back(metadata: Object, words: str) -> None:
    found = find_caveat({"metadata": metadata})
    assert words in found
    assert bool(found) == bool(words)
