"""The evaluation's Job with tasks of lm-evaluation-harness for a golden set."""

from typing import Any

import pytest
from tests.support.evaluations import (
    EVALUATION,
    Object,
)
from tests.support.world import World, admitted, sample

from llmdeployment_operator.api import lm_eval
from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.rollout.evaluation_result import hash_golden_set

TASKS = {"tasks": ["gsm8k", "ours"], "pvc": "pvc://sets/tasks"}


def container_of(evaluation: Object) -> Object:
    """Return the container and the volumes of the first evaluation's Job."""
    raw = sample("simulated")
    raw["spec"]["rollout"] = {"evaluation": evaluation}
    world = World(raw)
    for _ in range(6):
        world.step()
        world.obey()
    (made,) = (obj for (kind, _), obj in world.cluster.children.items() if kind == "Job")
    inner = made["spec"]["template"]["spec"]
    return {**inner["containers"][0], "volumes": inner["volumes"]}


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({}, ["--golden=/golden/tasks", "--golden-name=pvc://sets/tasks"]),
        ({"pvc": "pvc://sets"}, ["--golden=/golden", "--golden-name=pvc://sets"]),
        (
            {"limit": 50, "numFewshot": 0},
            [
                "--golden=/golden/tasks",
                "--golden-name=pvc://sets/tasks",
                "--limit=50",
                "--num-fewshot=0",
            ],
        ),
    ],
)
def test_tasks_are_asked_from_their_folder_by_the_image_that_has_them(
    more: Object, options: list[str]
) -> None:
    made = container_of(
        {"golden": {"lmEval": {**TASKS, **more}}, "image": "mine:lm-eval", "maxTokens": 64}
    )
    asked = {"--golden", "--golden-name", "--limit", "--num-fewshot"}
    assert [a for a in made["args"] if a.partition("=")[0] in asked] == options
    assert {"--lm-eval=gsm8k,ours", "--max-tokens=64"} <= set(made["args"])
    assert made["image"] == "mine:lm-eval"
    assert made["resources"]["limits"] == {"memory": "2Gi"}
    (claim,) = (v for v in made["volumes"] if "persistentVolumeClaim" in v)
    assert claim["persistentVolumeClaim"] == {"claimName": "sets", "readOnly": True}


def test_the_image_of_an_evaluation_goes_before_that_of_the_replicas() -> None:
    assert container_of({**EVALUATION, "image": "mine:1"})["image"] == "mine:1"


def test_tasks_limit_and_examples_are_part_of_what_is_asked_and_the_image_is_not() -> None:
    def spec(image: str = "i", **more: Any) -> str:
        golden = {"lmEval": {**TASKS, **more}}
        return hash_golden_set(EvaluationSpec.model_validate({"golden": golden, "image": image}))

    assert spec() == spec("other")
    others = {spec(limit=5), spec(numFewshot=0), spec(pvc="pvc://b"), spec(tasks=["gsm8k"])}
    assert len(others | {spec()}) == 5


def test_the_hash_of_questions_in_a_file_is_as_it_was_before_there_were_tasks() -> None:
    policy = EvaluationSpec.model_validate({"golden": {"pvc": "pvc://claim/set.jsonl"}})
    asked = {"golden": {"pvc": "pvc://claim/set.jsonl"}}
    assert hash_golden_set(policy) == digest(asked)


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({"golden": {}}, "exactly one of configMapRef, pvc and lmEval"),
        (
            {"golden": {"configMapRef": {"name": "a"}, "pvc": "pvc://a/b"}},
            "exactly one of configMapRef, pvc and lmEval",
        ),
        ({"golden": {"pvc": "pvc://a/b", "lmEval": TASKS}, "image": "i"}, "exactly one of"),
        ({"golden": {"lmEval": TASKS}}, lm_eval.NEEDS_IMAGE),
        (
            {
                "golden": {"lmEval": TASKS},
                "image": "i",
                "judge": {"url": "https://judge/v1", "model": "a"},
            },
            lm_eval.NO_JUDGE,
        ),
        ({"golden": {"lmEval": {**TASKS, "tasks": []}}, "image": "i"}, "at least 1 item"),
        (
            {"golden": {"lmEval": {**TASKS, "tasks": ["a", "b", "a"]}}, "image": "i"},
            lm_eval.NO_DUPLICATES,
        ),
        (
            {"golden": {"lmEval": {**TASKS, "tasks": ["../a"]}}, "image": "i"},
            "must have names of tasks, such as gsm8k",
        ),
        (
            {"golden": {"lmEval": {**TASKS, "tasks": ["a,b"]}}, "image": "i"},
            "must have names of tasks, such as gsm8k",
        ),
        (
            {"golden": {"lmEval": {**TASKS, "pvc": "pvc://a/../b"}}, "image": "i"},
            "lmEval.pvc must be pvc://claim or pvc://claim/path",
        ),
        ({"golden": {"lmEval": {**TASKS, "limit": 0}}, "image": "i"}, "greater than or equal to 1"),
        ({"golden": {"lmEval": {"tasks": ["a"]}}, "image": "i"}, "pvc"),
        ({"golden": {"pvc": "pvc://a"}}, "must be pvc://claim/path/file.jsonl"),
        ({"golden": {"pvc": "pvc://a/../b"}}, "must be pvc://claim/path/file.jsonl"),
        (
            {**EVALUATION, "judge": {"url": "https://me:key@host/v1", "model": "a"}},
            "spec.rollout.evaluation.judge.url must be http(s)://host/v1",
        ),
    ],
)
def test_a_bad_evaluation_is_refused_with_what_to_do(evaluation: Object, why: str) -> None:
    raw = admitted(sample("simulated"))
    raw["spec"]["rollout"] = {"evaluation": evaluation}
    with pytest.raises(ValueError, match="evaluation") as error:
        parse(raw)
    assert why in str(error.value)
    raw["spec"]["rollout"] = {"evaluation": EVALUATION, "strategy": "Recreate"}
    with pytest.raises(ValueError, match=r"spec\.rollout\.evaluation is for strategy Canary"):
        parse(raw)
