"""The health that Argo CD shows, run on objects with the operator's own conditions.

`LLMD_UPDATE_GOLDEN=1 pytest` of this file writes the objects and the table of what is expected, which Argo CD's own tests read too.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime
from tests.support.world import NOW

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_accepted,
    build_paused,
    build_refused,
    merge_conditions,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason

FOLDER = (
    Path(__file__).parents[4]
    / "manifests/argocd/resource_customizations/llmdeployment.dev/LLMDeployment"
)
JUST_NOW = Finding(Reason.IMAGE_PULL_FAILED, "A registry stumbles.")
UNSEEN = "The operator has not seen this generation yet."
SERVES = "Revision 4 serves all requests."
PAUSED = "spec.paused is true. The operator changes nothing until it is false."


@dataclass(frozen=True)
class Case:
    """An object, and its health."""

    conditions: list[Condition] | None
    status: str
    message: str
    seen: int = 4
    """Its generation is 4."""


def find_beginning(finding: Finding | None) -> datetime:
    """Return since when something is wrong: it becomes Stalled after a minute."""
    return NOW - timedelta(seconds=5 if finding is JUST_NOW else 3600)


def build_serving(finding: Finding | None = None, *, newest: bool = True) -> list[Condition]:
    """Return the conditions while requests are answered."""
    available = Condition("Available", True, Reason.SERVING, "Requests are answered.")
    return [*build_accepted(newest, finding, SERVES, NOW, find_beginning(finding)), available]


def build_silent(finding: Finding, *, newest: bool = False) -> list[Condition]:
    """Return the conditions while no request is answered."""
    text = "Requests are not answered now. The condition Ready says why."
    available = Condition("Available", False, finding.reason, text)
    return [*build_accepted(newest, finding, SERVES, NOW, find_beginning(finding)), available]


def find(reason: Reason) -> Finding:
    return Finding(reason, f"{reason.value} and what to do.")


CASES = {
    "healthy": Case(build_serving(), "Healthy", SERVES),
    "canary": Case(
        build_serving(find(Reason.CANARY), newest=False), "Healthy", "Canary and what to do."
    ),
    "more_replicas": Case(build_serving(find(Reason.LOADING_MODEL)), "Healthy", SERVES),
    "scaled_to_zero": Case(
        build_silent(find(Reason.SCALED_TO_ZERO), newest=True),
        "Healthy",
        "ScaledToZero and what to do.",
    ),
    "changed_at_zero": Case(
        build_silent(find(Reason.SCALED_TO_ZERO)), "Healthy", "ScaledToZero and what to do."
    ),
    "new": Case(None, "Progressing", UNSEEN),
    "stale_generation": Case(build_serving(), "Progressing", UNSEEN, seen=3),
    "progressing": Case(
        build_silent(find(Reason.LOADING_MODEL)), "Progressing", "LoadingModel and what to do."
    ),
    "tried_again": Case(
        build_refused(find(Reason.API_ERROR)), "Progressing", "APIError and what to do."
    ),
    "stumbling": Case(build_silent(JUST_NOW), "Progressing", "A registry stumbles."),
    "stumbling_beside_what_serves": Case(
        build_serving(JUST_NOW, newest=False), "Healthy", "A registry stumbles."
    ),
    "paused": Case(build_paused(build_serving()), "Suspended", PAUSED),
    "canary_paused": Case(
        build_serving(find(Reason.CANARY_PAUSED), newest=False),
        "Suspended",
        "CanaryPaused and what to do.",
    ),
    "degraded": Case(
        build_serving(find(Reason.CRASH_LOOP)), "Degraded", "CrashLoop and what to do."
    ),
    "rolled_back": Case(
        build_serving(find(Reason.ROLLED_BACK), newest=False),
        "Degraded",
        "RolledBack and what to do.",
    ),
    "stalled": Case(
        build_silent(find(Reason.IMAGE_PULL_FAILED)),
        "Degraded",
        "ImagePullFailed and what to do.",
    ),
    "refused": Case(
        build_refused(find(Reason.INVALID_SPEC)), "Degraded", "InvalidSpec and what to do."
    ),
    "paused_and_degraded": Case(
        build_paused(build_serving(find(Reason.CRASH_LOOP))),
        "Degraded",
        "CrashLoop and what to do.",
    ),
}


def build_object(case: Case) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat", "namespace": "team", "uid": "1", "generation": 4},
        "spec": {"model": {"source": "hf://org/name"}},
    }
    if case.conditions is not None:
        rows = merge_conditions(case.conditions, (), case.seen, NOW)
        made["status"] = {
            "observedGeneration": case.seen,
            "conditions": [row.model_dump(mode="json", by_alias=True) for row in rows],
        }
    return made


def build_table() -> dict[str, Any]:
    """Return health_test.yaml, as Argo CD reads it."""
    return {
        "tests": [
            {
                "healthStatus": {"status": case.status, "message": case.message},
                "inputPath": f"testdata/{name}.yaml",
            }
            for name, case in CASES.items()
        ]
    }


def read_or_write(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(content, sort_keys=False, width=200), encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def run_lua(obj: dict[str, Any]) -> dict[str, str]:
    """Return what the script says, in the version of Lua that Argo CD has."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    return dict(lua.execute((FOLDER / "health.lua").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", CASES)
def test_the_health_of_an_object_is_what_argo_cd_should_show(name: str) -> None:
    case = CASES[name]
    obj = read_or_write(FOLDER / f"testdata/{name}.yaml", build_object(case))

    assert obj == build_object(case), "the operator says something else by now"
    assert parse(obj).metadata.name == "chat"
    assert run_lua(obj) == {"status": case.status, "message": case.message}


def test_argo_cds_own_table_has_every_case_and_each_file_is_in_it() -> None:
    assert read_or_write(FOLDER / "health_test.yaml", build_table()) == build_table()
    assert {path.stem for path in (FOLDER / "testdata").iterdir()} == CASES.keys()
