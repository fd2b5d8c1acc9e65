"""Whether a new revision has requests, by what its evaluation says: as the whole plan makes it."""

from typing import Any

import pytest
from tests.support.evaluations import (
    AT,
    BLUE_GREEN,
    CANARY,
    EVALUATION,
    SHOUT,
    WHISPER,
    Object,
    answers,
    breaks,
    edited_world,
    end,
    job,
    jobs,
    recorded,
    run,
)
from tests.support.stories import conditions, message, routed, serving_world, split
from tests.support.world import World, admitted, sample

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.plan.rollout.gate import hash_golden_set


def test_the_first_revision_is_not_held_but_gets_a_score() -> None:
    world = World(admitted(sample("simulated")))
    world.edit(rollout=CANARY)
    for _ in range(6):
        world.step()
        world.obey()
    assert routed(world) == 1
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert jobs(world) == ["r1-eval-1"]
    answers(world, 1, 95)
    world.settle()
    score = {"attempt": 1, "score": 95, "passed": 95, "total": 100, "at": AT}
    golden = hash_golden_set(EvaluationSpec.model_validate(EVALUATION))
    assert recorded(world, 1) == {**score, "golden": golden, "message": "q9: has no 'Paris' in it"}
    assert jobs(world) == ["r1-eval-1"]


def test_a_first_revision_that_cannot_be_asked_goes_on_serving_and_is_not_asked_for_ever() -> None:
    world = serving_world()
    world.edit(rollout=CANARY)
    world.step()
    breaks(world, 1, "line 3: is not JSON")
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    row = recorded(world, 1)
    assert row is not None
    assert (row["message"], row.get("score")) == ("line 3: is not JSON", None)
    assert jobs(world) == ["r1-eval-1"]


@pytest.mark.parametrize("rollout", [CANARY, BLUE_GREEN], ids=["Canary", "BlueGreen"])
def test_no_request_before_the_answers_are_good_enough(rollout: Object) -> None:
    world = serving_world()
    world.edit(rollout=rollout)
    world.step()
    answers(world, 1, 95)
    world.settle()
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    assert (
        message(world)
        == "Revision 2 is being evaluated on the golden set before its first request."
    )
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    assert jobs(world) == ["r2-eval-1"]
    plan = world.settle()
    assert (plan.apply, plan.requeue_after, split(world)) == ((), 2.0, [(1, 10_000)])

    run(world, 2, running={"startedAt": AT})
    world.settle()
    assert split(world) == [(1, 10_000)]
    answers(world, 2, 94)
    world.step()
    assert split(world) == ([(2, 1000), (1, 10_000)] if rollout is CANARY else [(2, 10_000)])
    row = recorded(world, 2)
    assert row is not None
    assert (row["score"], row["at"]) == (94, AT)
    world.gateway_applies(up=2)
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


# How the Job ends, the words of the message.
GIVEN_UP = {
    "too low": (
        lambda w: answers(w, 2, 89),
        [
            "Revision 1 serves. Revision 2 was rolled back. It answered 89 of 100 questions",
            "(89 %). It needs 90 % (spec.rollout.evaluation.minScorePercent).",
            "The first failures: q9: has no 'Paris'",
        ],
    ),
    "regressed": (
        lambda w: answers(w, 2, 92),
        [
            "The revision that serves has 95 %, and at most 2 points less are allowed",
            "maxRegression",
        ],
    ),
    "broken": (
        lambda w: breaks(w, 2, "key golden.jsonl of ConfigMap questions, line 3: is not JSON"),
        ["Its evaluation has no result. Key golden.jsonl of ConfigMap questions, line 3"],
    ),
    "without a word": (
        lambda w: breaks(w, 2, ""),
        ["has no result. It ended with exit code 1 (Error) and without a message."],
    ),
    "without a pod": (
        lambda w: end(w, 2, kind="Failed", reason="BackoffLimitExceeded"),
        ["has no result. Its pod was gone before the operator read the result."],
    ),
    "too late": (
        lambda w: end(w, 2, kind="Failed", reason="DeadlineExceeded"),
        ["It did not end within 5 min (spec.rollout.evaluation.timeoutSeconds)"],
    ),
    "not a result": (
        lambda w: (run(w, 2, terminated={"exitCode": 0, "message": "Killed"}), end(w, 2)),
        ["Its result cannot be read. It begins with: Killed"],
    ),
    "a result that lies": (
        lambda w: answers(w, 2, 300),
        ["Its result cannot be read."],
    ),
    "a result of nothing": (lambda w: answers(w, 2, 0, total=0), ["Its result cannot be read."]),
}


@pytest.mark.parametrize(("happens", "words"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_a_revision_is_rolled_back(happens: Any, words: list[str]) -> None:
    world = edited_world()
    happens(world)
    world.step()
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    said = message(world, "Degraded")
    for each in (*words, "or try again with the annotation llmdeployment.dev/retry: 2/1"):
        assert each in said
    world.gateway_applies(up=2)
    assert world.settle().requeue_after is None
    assert jobs(world) == ["r2-eval-1"]


def test_trying_again_is_another_job_and_a_good_result_of_it_counts() -> None:
    world = edited_world()
    answers(world, 2, 10)
    world.settle()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.settle()
    assert jobs(world) == ["r2-eval-2"]
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    answers(world, 2, 50, attempt=2)
    world.settle()
    assert "retry: 2/2" in message(world, "Degraded")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/2"}
    world.settle()
    answers(world, 2, 99, attempt=3)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_one_try_more_is_enough_after_other_revisions_came_and_went() -> None:
    world = edited_world()
    answers(world, 2, 10)
    world.settle()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.settle()
    answers(world, 2, 20, attempt=2)
    world.settle()
    world.edit(prompt=WHISPER)
    world.settle()
    answers(world, 3, 30)
    world.settle()
    world.edit(prompt=SHOUT)
    world.settle()
    said = message(world, "Degraded")
    assert "answered 20 of 100" in said
    assert "retry: 2/2" in said
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/2"}
    world.settle()
    assert jobs(world) == ["r2-eval-3"]


def test_a_lower_bar_and_another_try_need_no_other_job() -> None:
    world = edited_world()
    answers(world, 2, 80)
    world.settle()
    lower = {**EVALUATION, "minScorePercent": 75, "maxRegressionPercent": 20}
    world.edit(rollout={**CANARY, "evaluation": lower})
    world.settle()
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == ["r2-eval-1"]


def test_another_golden_set_asks_again_and_is_not_compared_with_the_old_one() -> None:
    world = edited_world(passed=100)
    old = job(world, 2)["metadata"]["name"]
    other = {**EVALUATION, "golden": {"pvc": "pvc://sets/b.jsonl"}}
    world.edit(rollout={**CANARY, "evaluation": other})
    world.settle()
    made = job(world, 2)
    assert made["metadata"]["name"] != old
    assert jobs(world) == ["r2-eval-1"]
    answers(world, 2, 91)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_a_score_on_record_is_not_asked_for_again() -> None:
    world = edited_world()
    answers(world, 2, 99)
    world.step()
    world.gateway_applies(up=2)
    world.edit(prompt=WHISPER)
    world.settle()
    assert jobs(world) == ["r3-eval-1"]  # that of revision 2 has nothing to say any more
    world.gateway_applies(up=2)
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == []


def test_a_result_whose_pod_is_not_yet_seen_to_have_ended_is_waited_for() -> None:
    world = edited_world()
    run(world, 2, running={"startedAt": AT})
    end(world, 2)
    world.settle()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    answers(world, 2, 99)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
