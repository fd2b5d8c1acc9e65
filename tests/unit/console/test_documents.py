"""The documents of the API, as files for the page's own tests. Renew them with LLMD_UPDATE_GOLDEN=1."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.objects import NOW, RECORDS, annotated, deployment, on_its_way, priced, unseen
from tests.unit.console.fakes import EVENT, moving, point

from llmdeployment_cli.history import read_records
from llmdeployment_console.actions import list_actions, preview_action
from llmdeployment_console.documents import NO_MINUTES, build_deployment, build_fleet_item
from llmdeployment_console.history import build_point_of_status
from llmdeployment_console.sentences import describe_deployment
from llmdeployment_operator.api.status_document import read_status

GOLDEN = Path(__file__).parents[2] / "data/console"
RECORDED = read_records(RECORDS)


def fleet() -> dict[str, Any]:
    spark = [*[None] * 50, *(0.4, 0.41, 0.43, 0.4, 0.39, 0.44, 0.47, 0.5, 0.48, 0.46)]
    arms = {**priced(), "metadata": {**priced()["metadata"], "name": "support"}}
    new = {**unseen(), "metadata": {**unseen()["metadata"], "name": "new"}}
    items = [
        build_fleet_item(moving(), point(), spark, NOW),
        build_fleet_item(new, None, NO_MINUTES, NOW),
        build_fleet_item(arms, None, NO_MINUTES, NOW),
    ]
    return {"items": items, "now": NOW.isoformat()}


DOCUMENTS = {
    "fleet": fleet,
    "deployment": lambda: build_deployment(moving(), RECORDED, [EVENT], point(), NOW),
    "point": point,
    "history": lambda: {
        "points": [point(60), {**point(90), "at": "2026-11-24T12:00:05.000Z"}],
        "message": None,
    },
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_those_of_the_contract_with_the_page(name: str) -> None:
    file = GOLDEN / f"{name}.json"
    found = json.dumps(DOCUMENTS[name](), indent=1) + "\n"
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_the_interval_is_that_of_the_code_that_decides() -> None:
    (found,) = build_deployment(moving(), RECORDED, [], None, NOW)["analysis"]
    by_name = {metric["name"]: metric for metric in found["metrics"]}
    metric = by_name["ttft>500ms"]
    assert metric["difference"] == pytest.approx(9 / 412 - 18 / 1648)
    assert metric["low"] < 0 < metric["difference"] < metric["high"]
    assert (metric["tolerance"], by_name["errorRate"]["tolerance"]) == (0.05, 0.01)
    assert metric["canary"] == {"total": 412, "bad": 9}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ({}, "No operator has acted on it yet."),
        (deployment()["status"], "Serves."),
        (moving()["status"], "Serves. Canary r4 has 25 %, about 170 requests until a verdict."),
        (
            {
                **deployment()["status"],
                "arms": [
                    {"name": "a", "stable": 3, "canary": 4, "canaryWeight": 5},
                    {"name": "b", "stable": 3, "rejected": {"revision": 5, "at": "2026-11-24T11:00:00Z"}},
                ],
            },
            "Serves. r4 of arm a is being rolled back and still has 5 %. r5 of arm b was rolled back.",
        ),
        (
            {
                "conditions": [
                    {
                        "type": kind,
                        "status": "False",
                        "reason": "WaitingForGPU",
                        "message": f"{kind} waits for 1 nvidia.com/gpu.",
                        "lastTransitionTime": "2026-11-24T11:00:00Z",
                    }
                    for kind in ("Available", "Ready")
                ]
            },
            "Ready waits for 1 nvidia.com/gpu.",
        ),
    ],
)  # fmt: skip
def test_one_sentence_says_what_it_does_and_waits_for(status: Any, sentence: str) -> None:
    assert describe_deployment(read_status(status)) == sentence


def test_what_another_version_wrote_is_left_out_and_not_an_error() -> None:
    odd = moving()
    odd["status"]["arms"][0]["analysis"] = {"result": "Maybe", "metrics": "many"}
    odd["spec"]["rollout"] = {"steps": [{"percent": 5}]}
    found = build_deployment(odd, (), [], None, NOW)
    assert found["analysis"] == [
        {
            "arm": "main",
            "result": "Maybe",
            "message": "",
            "requestsLeft": None,
            "users": {"stable": 0, "canary": 0},
            "metrics": [],
        }
    ]
    assert build_point_of_status(odd, NOW)["analysis"] == {}


def test_actions_say_why_they_are_not_possible() -> None:
    found = {each["name"]: each for each in list_actions(moving(), RECORDED)}
    assert found["promote"] == {
        "name": "promote",
        "label": "Promote r4",
        "possible": True,
        "why": None,
    }
    assert not found["resume"]["possible"]
    assert "is not paused" in found["resume"]["why"]
    serving = {each["name"]: each for each in list_actions(deployment(), RECORDED)}
    assert [name for name, each in serving.items() if each["possible"]] == ["undo"]
    assert serving["undo"]["label"] == "Undo to r2"
    assert "no canary" in serving["promote"]["why"]


def test_a_preview_has_the_patch_and_the_command_of_kubectl_llm() -> None:
    found = preview_action(annotated(on_its_way(), pause="4"), RECORDED, "resume", None)
    assert found["command"] == "kubectl llm resume chat -n shop"
    assert found["patch"] == {"metadata": {"annotations": {"llmdeployment.dev/pause": None}}}
    undo = preview_action(deployment(), RECORDED, "undo", None)
    assert (
        undo["patch"]
        == {
            "metadata": {"resourceVersion": "77"},
            "spec": {"engine": None},
        }
        or "spec" in undo["patch"]
    )
    assert preview_action(moving(), RECORDED, "promote", "main")["command"].endswith("--arm main")
