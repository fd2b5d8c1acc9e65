"""Stories of rollouts on a virtual clock."""

from itertools import pairwise

import pytest
from tests.unit.operator.rehearsal.rollouts import ANALYSIS, canary, document, run, world

from llmdeployment_operator.plan.build import POLL_SECONDS
from llmdeployment_operator.rehearsal import run as rehearsal
from llmdeployment_operator.rehearsal.change import read_change
from llmdeployment_operator.rehearsal.run import Outcome

SEEDS = range(3)
PAUSES = [
    {"weight": 5, "pause": {"duration": "10m"}},
    {"weight": 25, "pause": {"duration": "4m"}},
    {"weight": 75, "pause": {"duration": "1m"}},
]


def test_a_canary_that_is_the_same_is_promoted() -> None:
    endings = [run(world(canary()), seed=seed) for seed in SEEDS]

    assert [ending.outcome for ending in endings] == [Outcome.PROMOTED] * len(SEEDS)
    for ending in endings:
        assert list(ending.steps) == [25, 50, 100]
        # 1 minute until a replica is ready, 10 s that are not compared, 2 of minDuration.
        assert ending.steps[50] - ending.steps[25] >= 130
        assert 0 < ending.users < 2000
        assert ending.users < ending.requests


@pytest.mark.parametrize(
    ("harm", "metric"), [("ttft=2x", "ttft"), ("errors=10", "errorRate"), ("ttft=40", "ttft")]
)
def test_a_harm_is_found_and_few_users_have_it(harm: str, metric: str) -> None:
    for seed in SEEDS:
        bad, same = run(world(canary()), harm, seed), run(world(canary()), "none", seed)

        assert bad.outcome is Outcome.ROLLED_BACK
        assert f"{metric}" in bad.message
        assert bad.requests < same.requests
        assert bad.users < same.users


def test_a_harm_that_nothing_compares_is_promoted() -> None:
    errors = {"metrics": [{"name": "errorRate"}], "minDuration": "2m"}

    assert run(world(canary(analysis=errors)), "ttft=2x").outcome is Outcome.PROMOTED


def test_steps_take_the_time_of_their_pauses_and_of_what_the_operator_polls() -> None:
    ending = run(world(canary(steps=PAUSES, analysis=None)))

    assert list(ending.steps) == [5, 25, 75, 100]
    assert ending.steps[5] == 60
    times = list(ending.steps.values())
    took = [after - before for before, after in pairwise(times)]
    # The pause begins with the pass that sees the weight at all gateways. 25 % need no further replica, only one more pass; for 75 %
    # and 100 % replicas are ordered when the pause is over, and warm up for a minute.
    assert took == [600 + 2 * POLL_SECONDS, 240 + POLL_SECONDS + 60, 60 + POLL_SECONDS + 60]
    assert ending.seconds == ending.steps[100]


def test_blue_green_moves_all_at_once_with_twice_the_replicas() -> None:
    ending = run(world(read_change([document()], "new.yaml")))

    assert (ending.outcome, ending.steps) == (Outcome.PROMOTED, {100: 60})
    assert (ending.users, ending.requests, ending.most) == (0, 0, 8)
    # Four more during the warm-up, and the four old ones for the 5 minutes of rollbackWindow.
    assert 4 * 360 <= ending.extra_seconds <= 4 * (360 + 2 * POLL_SECONDS)


def test_with_max_surge_fewer_replicas_exist_and_requests_move_in_between() -> None:
    steps = [{"weight": 50, "pause": {"duration": "1m"}}]
    all_at_once = run(world(canary(steps=steps, analysis=None, rollbackWindow="0s")))
    one_by_one = run(world(canary(steps=steps, analysis=None, maxSurge=1)))

    assert (all_at_once.most, one_by_one.most) == (8, 5)
    assert list(all_at_once.steps) == [50, 100]
    assert list(one_by_one.steps) == [25, 50, 75, 100]
    assert one_by_one.seconds > all_at_once.seconds


def test_replacing_many_one_at_a_time_is_waited_for() -> None:
    document_ = document(maxSurge=1)
    ending = run(world(read_change([document_], "new.yaml", 60), warm_up=300.0))

    # 60 warm-ups of 5 minutes.
    assert ending.outcome is Outcome.PROMOTED
    assert 60 * 300 <= ending.seconds < 1.1 * 60 * 300


def test_replicas_that_come_too_late_are_no_progress() -> None:
    ending = run(world(canary(progressDeadlineSeconds=30)))

    assert ending.outcome is Outcome.ROLLED_BACK
    assert "no progress within 30 s" in ending.message
    assert (ending.seconds, ending.requests) == (30, 0)


def test_a_person_who_is_waited_for_promotes_at_once() -> None:
    steps = [{"weight": 10, "pause": {}}, {"weight": 50, "pause": {"duration": "1m"}}]
    ending = run(world(canary(steps=steps, analysis=None)))

    assert ending.outcome is Outcome.PROMOTED
    assert ending.steps[50] - ending.steps[10] <= 5 * POLL_SECONDS + 60


def test_a_person_waits_for_the_analysis_of_the_step() -> None:
    steps = [{"weight": 25, "pause": {}, "analysis": True}]
    same, bad = run(world(canary(steps=steps))), run(world(canary(steps=steps)), "errors=10")

    assert same.outcome is Outcome.PROMOTED
    assert same.steps[100] - same.steps[25] >= 130
    assert bad.outcome is Outcome.ROLLED_BACK


TOO_FEW = {**ANALYSIS, "maxRequests": 60, "minDuration": "20m"}


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("Promote", Outcome.PROMOTED),
        ("Rollback", Outcome.ROLLED_BACK),
        ("Hold", Outcome.PROMOTED),
    ],
)
def test_without_a_verdict_the_spec_decides(what: str, outcome: Outcome) -> None:
    ending = run(world(canary(analysis={**TOO_FEW, "onInconclusive": what})))

    assert ending.outcome is outcome
    held = ending.outcome is Outcome.PROMOTED and ending.steps[50] - ending.steps[25] > 1200
    assert held is (what == "Hold")


def test_too_little_traffic_is_undecided() -> None:
    where = world(canary(), "poisson:rate=0.05,seconds=600")
    ending = run(where)

    assert ending.outcome is Outcome.UNDECIDED
    assert ending.seconds == pytest.approx(where.limit, abs=POLL_SECONDS)
    assert "more canary requests are needed" in ending.message or "No verdict" in ending.message


@pytest.mark.parametrize("harm", ["none", "errors=10", "ttft=2x"])
def test_looks_that_are_left_out_would_have_changed_nothing(
    monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    where = world(canary(), correlation=0.05)
    ending = run(where, harm)
    monkeypatch.setattr(rehearsal, "may_decide", lambda *_, **__: True)

    assert run(where, harm) == ending


@pytest.mark.parametrize("harm", ["errors=10", "ttft=2x"])
def test_the_operator_that_looks_more_often_decides_a_little_earlier(
    monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    ending = run(world(canary()), harm)
    monkeypatch.setattr(rehearsal, "LOOKS", (POLL_SECONDS,))
    sooner = run(world(canary()), harm)

    assert sooner.outcome is ending.outcome
    assert sooner.seconds <= ending.seconds <= 1.06 * sooner.seconds + 5


def test_users_stay_in_their_buckets_so_a_tenth_of_the_traffic_is_about_a_tenth_of_the_users() -> (
    None
):
    steps = [{"weight": 10, "pause": {"duration": "60m"}}]
    few = world(canary(steps=steps, analysis=None), users=300)

    # All 300 ask within an hour; those of bucket 0 to 999 have the canary.
    assert 15 <= run(few).users <= 45
