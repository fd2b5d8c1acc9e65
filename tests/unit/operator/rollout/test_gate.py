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
    answers_each,
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
from llmdeployment_operator.plan.rollout.evaluation_result import hash_golden_set


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


PAIRED = {"evaluation": {**EVALUATION, "minScorePercent": 50, "compare": "Paired"}}
POINTS = {"evaluation": {**EVALUATION, "minScorePercent": 50}}


def compared_world(before: str, after: str, rollout: Object, contents: str = "5ee") -> World:
    """A second revision's answers beside the first one's, question by question."""
    world = serving_world()
    world.edit(rollout={**CANARY, **rollout})
    world.step()
    answers_each(world, 1, before)
    world.settle()
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    answers_each(world, 2, after, contents=contents)
    world.step()
    return world


ALL = "1" * 100
# Answers of both, what is set, whether the second revision gets requests, words of its comparison.
PAIRS = {
    "three lost, in points": (
        ALL,
        "000" + "1" * 97,
        POINTS,
        False,
        "failed, and 0 the other way round (-3.0 points; -10.3 to +2.3). This may be noise. Failed now: q1, q2, q3.",
    ),
    "three lost, paired": (ALL, "000" + "1" * 97, PAIRED, True, "compare: Paired lets it pass."),
    "seven lost, paired": (ALL, "0" * 7 + "1" * 93, PAIRED, False, "This is more than noise."),
    "two lost, in points": (ALL, "00" + "1" * 98, POINTS, True, "(-2.0 points;"),
    "some lost and as many won": (
        "11100" + "1" * 95,
        "11011" + "1" * 95,
        POINTS,
        True,
        "1 question that revision 1 answered as expected failed, and 2 the other way round (+1.0 points; -5.2 to",
    ),
    "one question, paired": (
        "1",
        "0",
        {"evaluation": {**PAIRED["evaluation"], "minScorePercent": 0}},
        False,
        "A golden set of 1 question can never tell a fall from noise. It takes at least 7.",
    ),
}


@pytest.mark.parametrize(
    ("before", "after", "rollout", "passes", "words"), PAIRS.values(), ids=PAIRS
)
def test_the_same_questions_are_compared_one_by_one(
    before: str,
    after: str,
    rollout: Object,
    passes: bool,  # noqa: FBT001  # because it is a column of the table above
    words: str,
) -> None:
    world = compared_world(before, after, rollout)
    assert split(world) == ([(2, 1000), (1, 10_000)] if passes else [(1, 10_000)])
    row = recorded(world, 2)
    assert row is not None
    assert words in row["comparison"]["message"]
    if not passes:
        assert words in message(world, "Degraded")


def test_the_questions_that_were_lost_are_named_and_counted() -> None:
    after = "0" * 30 + "1" * 70
    world = compared_world("11" + "0" + "1" * 96 + "0", after[:-1] + "1", POINTS)
    row = recorded(world, 2)
    assert row is not None
    found = row["comparison"]
    assert (found["revision"], found["lost"], found["won"]) == (1, 29, 1)
    assert (found["difference"], found["low"], found["high"]) == ("-28.0", "-42.6", "-15.9")
    # The stand-in names the first 20 that failed, of which q3 failed before too.
    assert found["questions"] == ["q1", "q2", *(f"q{n}" for n in range(4, 21)), "question 21"]
    assert "question 21 and 9 more." in message(world, "Degraded")
    assert len(row["wrong"]) == 20


def test_the_job_is_told_what_the_serving_revision_could_answer() -> None:
    world = serving_world()
    world.edit(rollout=CANARY)
    world.step()
    assert "LLMD_BASELINE" not in environment(world, 1)
    answers_each(world, 1, "1101" + "1" * 96)
    world.settle()
    world.edit(prompt=SHOUT)
    world.settle()
    row = recorded(world, 1)
    assert row is not None
    assert environment(world, 2)["LLMD_BASELINE"] == f"5ee:{row['answers']}"


def test_other_questions_under_the_same_name_are_not_compared() -> None:
    world = compared_world(ALL, "1" * 60 + "0" * 40, POINTS, contents="0dd")
    assert split(world) == [(2, 1000), (1, 10_000)]
    row = recorded(world, 2)
    assert row is not None
    assert "other questions than when revision 1 answered it" in row["comparison"]["message"]
    assert "lost" not in row["comparison"]


def test_what_an_older_image_reports_is_compared_in_points() -> None:
    world = edited_world(**PAIRED)
    answers(world, 2, 92)
    world.step()
    assert split(world) == [(1, 10_000)]
    assert "Which questions changed is not known" in message(world, "Degraded")


def test_the_comparison_outlives_the_promotion_and_the_job() -> None:
    world = compared_world(ALL, "0" + "1" * 99, POINTS)
    row = recorded(world, 2)
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.settle()
    world.gateway_applies(up=2)
    world.settle()
    assert split(world) == [(2, 10_000)]
    world.observe(children={k: v for k, v in world.cluster.children.items() if k[0] != "Job"})
    world.settle()
    assert recorded(world, 2) == row
    assert jobs(world) == []


def environment(world: World, number: int) -> Object:
    (container,) = job(world, number)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}
