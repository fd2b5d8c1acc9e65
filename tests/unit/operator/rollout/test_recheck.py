"""The revision that serves is asked again on schedule: when, how often, and what its answers mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.evaluations import (
    CANARY,
    EVALUATION,
    SHOUT,
    Object,
    answers,
    answers_again,
    answers_each,
    build_result,
    finish,
    jobs,
    recheck_jobs,
)
from tests.support.stories import conditions, message, serving_world
from tests.support.world import World, sample

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.plan.base.names import COMPONENT
from llmdeployment_operator.plan.rollout.evaluation_result import REVISION
from llmdeployment_operator.plan.rollout.recheck import MONTHLY_ALPHA, find_due, split_alpha

NIGHTLY = {**EVALUATION, "schedule": "0 3 * * *"}
FIRST = "1" * 95 + "0" * 5
"""The world's clock is at 03:04:05 of 2 January 2026, and AT, when the first evaluation ended, is 03:04:09."""


def scheduled_world(first: str = FIRST, **more: Any) -> World:
    """A revision that serves, with a score and a schedule, four hours after its evaluation."""
    world = serving_world()
    world.edit(rollout={**CANARY, "evaluation": {**NIGHTLY, **more}})
    world.step()
    answers_each(world, 1, first)
    world.settle()
    world.now += timedelta(hours=4)
    world.settle()
    return world


def next_night(world: World, result: Object | str) -> None:
    """Let a day pass, and the Job of the night end so."""
    world.now += timedelta(days=1)
    world.settle()
    answers_again(world, result)
    world.settle()


def recheck(world: World) -> Object:
    (row,) = (row for row in world.status["revisions"] if row["trafficPercent"])
    found: Object = row["recheck"]
    return found


def test_it_is_asked_again_when_the_time_has_come_and_not_before() -> None:
    world = scheduled_world()
    assert recheck_jobs(world) == []
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
    assert "95 % of the golden set as expected on 2026-01-02T03:04:09Z" in message(
        world, "Drifting"
    )
    assert "It is asked again on 2026-01-03T03:00:00Z." in message(world, "Drifting")
    plan = world.step()
    assert plan.requeue_after == (datetime(2026, 1, 3, 3, tzinfo=UTC) - world.now).total_seconds()
    world.now = datetime(2026, 1, 3, 2, 59, 59, tzinfo=UTC)
    world.settle()
    assert recheck_jobs(world) == []
    world.now = datetime(2026, 1, 3, 3, tzinfo=UTC)
    world.settle()
    (made,) = recheck_jobs(world)
    assert made["metadata"]["labels"]["llmdeployment.dev/due"] == "1767409200"
    assert len(made["metadata"]["name"]) < 63
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    assert any(each["name"] == "LLMD_BASELINE" and each["value"][:4] == "5ee:" for each in env)
    world.settle()
    assert recheck_jobs(world) == [made]


def test_times_that_nobody_was_there_for_are_one() -> None:
    world = scheduled_world()
    world.now += timedelta(days=9)
    world.settle()
    answers_again(world, build_result(FIRST))
    world.settle()
    assert recheck(world)["dueAt"] == "2026-01-11T03:00:00Z"
    assert len(recheck_jobs(world)) == 1  # the one that ended, for its log
    assert conditions(world)["Drifting"] == ("False", "NoDrift")


def test_a_fall_is_said_counted_from_its_first_day_and_told_once() -> None:
    world = scheduled_world()
    world.now += timedelta(days=1)
    world.settle()
    answers_again(world, build_result("0" * 20 + "1" * 75 + "0" * 5))
    plan = world.step()
    warnings = [each for each in plan.events if each.reason == "ScoreFell"]
    assert [each.type for each in warnings] == ["Warning"]
    assert conditions(world)["Drifting"] == ("True", "ScoreFell")
    said = message(world, "Drifting")
    for words in (
        "Revision 1 answered 95 % of the golden set as expected on 2026-01-02T03:04:09Z, and 75 % on 2026-01-03T03:00:00Z.",
        "Its answers have been worse since 2026-01-03T03:00:00Z.",
        "20 questions that revision 1 answered as expected failed, and 0 the other way round",
        "Failed now: q1, q2,",
        "Find out what changed under the revision",
    ):
        assert words in said
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    next_night(world, build_result("0" * 21 + "1" * 74 + "0" * 5))
    assert "worse since 2026-01-03T03:00:00Z" in message(world, "Drifting")
    next_night(world, build_result(FIRST))
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
    assert "fallenSince" not in recheck(world)


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        # 95 % before. A night has a 62nd of 1 %: with none won it takes 16 lost questions.
        ("0" * 15 + "1" * 80 + "0" * 5, "False"),
        ("0" * 16 + "1" * 79 + "0" * 5, "True"),
        ("0" * 3 + "1" * 92 + "0" * 5, "False"),
    ],
)
def test_noise_is_no_alarm(answered: str, status: str) -> None:
    world = scheduled_world()
    next_night(world, build_result(answered))
    assert conditions(world)["Drifting"][0] == status


def test_what_is_within_the_bar_is_no_alarm_however_sure() -> None:
    world = scheduled_world(maxRegressionPercent=20)
    next_night(world, build_result("0" * 20 + "1" * 75 + "0" * 5))
    assert conditions(world)["Drifting"] == ("False", "NoDrift")


UNKNOWN = {
    "no result": ("the judge cannot be reached", "without a result. The judge cannot be reached."),
    "other questions": (build_result(FIRST, "0dd"), "other questions than when revision 1"),
    "an older image": (
        {"passed": 1, "total": 100, "failures": []},
        "Which questions changed is not known",
    ),
}


@pytest.mark.parametrize(("result", "words"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_compared_is_unknown(result: Object | str, words: str) -> None:
    world = scheduled_world()
    next_night(world, result)
    assert conditions(world)["Drifting"] == ("Unknown", "DriftUnknown")
    assert words in message(world, "Drifting")


def test_what_cannot_be_told_ends_no_fall() -> None:
    world = scheduled_world()
    next_night(world, build_result("0" * 50 + "1" * 50))
    next_night(world, "the judge cannot be reached")
    assert conditions(world)["Drifting"] == ("Unknown", "DriftUnknown")
    next_night(world, build_result("0" * 50 + "1" * 50))
    assert "worse since 2026-01-03T03:00:00Z" in message(world, "Drifting")


def test_a_set_of_one_question_can_tell_nothing() -> None:
    world = scheduled_world("1", minScorePercent=0)
    next_night(world, build_result("0"))
    assert conditions(world)["Drifting"] == ("Unknown", "DriftUnknown")
    assert "A golden set of 1 question can never tell a fall from noise" in message(
        world, "Drifting"
    )


def test_a_first_evaluation_without_a_result_has_nothing_to_compare_with() -> None:
    world = serving_world()
    world.edit(rollout={**CANARY, "evaluation": NIGHTLY})
    world.step()
    assert conditions(world)["Drifting"] == ("Unknown", "DriftUnknown")
    assert "has not answered the golden set yet" in message(world, "Drifting")


def test_one_job_at_a_time_and_none_in_a_rollout() -> None:
    world = scheduled_world()
    world.now += timedelta(days=1)
    world.settle()
    (running,) = recheck_jobs(world)
    world.now += timedelta(days=1)
    world.settle()
    assert recheck_jobs(world) == [running]
    answers_again(world, build_result(FIRST))
    world.settle()
    (following,) = recheck_jobs(world)
    assert following["metadata"]["name"] != running["metadata"]["name"]
    answers_again(world, build_result(FIRST))
    world.settle()
    world.edit(prompt=SHOUT)
    world.settle()
    world.now += timedelta(days=1)
    world.settle()
    assert [job["metadata"]["name"] for job in recheck_jobs(world)] == [
        following["metadata"]["name"]
    ]
    assert "r2-eval-1" in jobs(world)


def test_a_new_revision_is_compared_with_its_own_past() -> None:
    world = scheduled_world()
    next_night(world, build_result("0" * 50 + "1" * 50))
    world.edit(prompt=SHOUT)
    world.settle()
    answers_each(world, 2, "1" * 100)
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.settle()
    world.gateway_applies(up=2)
    world.settle()
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
    assert "Revision 2 answered 100 %" in message(world, "Drifting")
    assert [row["number"] for row in world.status["revisions"] if "recheck" in row] == []


def test_without_a_schedule_there_is_no_condition_and_no_job() -> None:
    world = scheduled_world()
    next_night(world, build_result("0" * 50 + "1" * 50))
    world.edit(rollout={**CANARY, "evaluation": EVALUATION})
    world.settle()
    assert "Drifting" not in conditions(world)
    assert recheck_jobs(world) == []
    assert all("recheck" not in row for row in world.status["revisions"])


def test_wherever_the_operator_is_killed_a_night_has_one_result() -> None:
    for writes in range(6):
        world = scheduled_world()
        world.now += timedelta(days=1)
        for _ in range(3):
            world.crash(writes)
        world.settle()
        answers_again(world, build_result("0" * 50 + "1" * 50))
        for _ in range(3):
            world.crash(writes)
        world.settle()
        assert recheck(world)["fallenSince"] == "2026-01-03T03:00:00Z"
        assert len(recheck_jobs(world)) == 1


def test_an_older_score_without_answers_is_unknown() -> None:
    world = serving_world()
    world.edit(rollout={**CANARY, "evaluation": NIGHTLY})
    world.step()
    answers(world, 1, 95)
    world.settle()
    next_night(world, build_result(FIRST))
    assert conditions(world)["Drifting"] == ("Unknown", "DriftUnknown")


@pytest.mark.parametrize(
    ("schedule", "looks"), [("0 3 * * *", 62), ("0 * * * *", 1488), ("0 3 1 1 *", 1)]
)
def test_the_alarms_of_a_month_are_at_most_one_in_a_hundred(schedule: str, looks: int) -> None:
    """The looks within 31 days of one, each with its share, have no more than the whole."""
    policy = EvaluationSpec.model_validate({**EVALUATION, "schedule": schedule})
    at = datetime(2026, 6, 15, 3, tzinfo=UTC)
    assert MONTHLY_ALPHA == 0.01
    assert split_alpha(policy, at) == pytest.approx(MONTHLY_ALPHA / looks)


def test_a_burst_of_looks_has_no_more_than_the_whole() -> None:
    policy = EvaluationSpec.model_validate({**EVALUATION, "schedule": "0 * 1 1 *"})
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    shares = [split_alpha(policy, begin + timedelta(hours=hour)) for hour in range(24)]
    assert sum(shares) == pytest.approx(MONTHLY_ALPHA)


def test_nobody_is_due_without_a_schedule() -> None:
    world = scheduled_world()
    policy = EvaluationSpec.model_validate(EVALUATION)
    assert find_due(policy, world.cluster, 1, world.now + timedelta(days=40)) is None


def test_nobody_is_asked_without_a_replica_or_a_golden_set() -> None:
    world = scheduled_world()
    workers = world.cluster.pods
    world.now += timedelta(days=1)
    world.pods(*(p for p in workers if p["metadata"]["labels"][COMPONENT] != "worker"))
    world.step()
    assert recheck_jobs(world) == []
    world.pods(*workers)
    world.observe(missing_config_maps=frozenset({"questions"}))
    world.step()
    assert recheck_jobs(world) == []
    world.observe(missing_config_maps=frozenset())
    world.step()
    assert len(recheck_jobs(world)) == 1


def test_a_clock_that_goes_back_asks_nothing_twice() -> None:
    world = scheduled_world()
    next_night(world, build_result(FIRST))
    (ended,) = recheck_jobs(world)
    world.now -= timedelta(hours=12)
    world.settle()
    assert recheck_jobs(world) == [ended]
    assert recheck(world)["dueAt"] == "2026-01-03T03:00:00Z"


def test_arms_with_one_revision_ask_it_once_and_the_worst_arm_is_told() -> None:
    world = serving_world()
    arms = [
        {"name": "control", "weight": 50},
        {"name": "same", "weight": 30},
        {"name": "terse", "weight": 20, "overrides": {"prompt": SHOUT}},
    ]
    world.edit(arms=arms, rollout={"evaluation": NIGHTLY})
    for _ in range(8):
        world.step()
        world.obey()
    for number in (1, 2):
        answers_each(world, number, FIRST)
    for _ in range(8):
        world.step()
        world.obey()
    assert world.status["traffic"] == "control rev1 50% same rev1 30% terse rev2 20%"
    world.now += timedelta(days=1)
    world.settle()
    asked = {job["metadata"]["labels"][REVISION]: job for job in recheck_jobs(world)}
    assert sorted(asked) == ["1", "2"]
    assert len(recheck_jobs(world)) == 2
    for number, good in (("1", FIRST), ("2", "0" * 50 + FIRST[50:])):
        said = json.dumps(build_result(good))
        finish(world, asked[number], {"exitCode": 0, "message": said}, "Complete")
    world.settle()
    assert conditions(world)["Drifting"] == ("True", "ScoreFell")
    assert message(world, "Drifting").startswith("Revision 2 answered 95 %")


def test_an_api_elsewhere_is_asked_again_too() -> None:
    raw = sample("external")
    raw["metadata"]["name"] = "simulated"  # by which the helpers find its Jobs
    world = World(raw)
    world.edit(rollout={"evaluation": NIGHTLY})
    for _ in range(6):
        world.step()
        world.obey()
    answers_each(world, 1, FIRST)
    world.settle()
    next_night(world, build_result("0" * 95 + "0" * 5))
    assert conditions(world)["Drifting"] == ("True", "ScoreFell")
    assert "an API elsewhere" in message(world, "Drifting")


def test_a_job_that_is_deleted_after_its_result_is_not_made_again() -> None:
    world = scheduled_world()
    next_night(world, build_result(FIRST))
    world.observe(children={k: v for k, v in world.cluster.children.items() if k[0] != "Job"})
    world.settle()
    assert recheck_jobs(world) == []
    assert recheck(world)["dueAt"] == "2026-01-03T03:00:00Z"
