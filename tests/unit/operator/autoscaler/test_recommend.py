"""One rule of the law after the other, at made-up replicas."""

import json
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from tests.support.observations import Site, sample

from llmdeployment_operator.autoscaler.recommend import recommend
from llmdeployment_operator.autoscaler.signals import QUEUE_SECONDS
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import (
    Observation,
    ScalingPolicy,
    ScalingReason,
    Target,
)

POLICY = ScalingPolicy(1, 20, (Target("ttft", 90, 0.5),))


def steady(site: Site, seconds: int, requests: int = 1, running: int = 10) -> Site:
    for _ in range(seconds):
        site.second(requests=requests, running=running)
    return site


@pytest.mark.parametrize(
    ("minimum", "maximum", "ready", "expected"),
    [
        (3, 8, 1, (3, ScalingReason.BELOW_MINIMUM)),
        (1, 4, 6, (4, ScalingReason.ABOVE_MAXIMUM)),
        (1, 4, 2, (2, ScalingReason.HOLDING)),
        (0, 0, 3, (0, ScalingReason.ABOVE_MAXIMUM)),
    ],
)
def test_bounds_are_kept_at_once(
    minimum: int, maximum: int, ready: int, expected: tuple[int, ScalingReason]
) -> None:
    decision = Site(ScalingPolicy(minimum, maximum), ready).second()

    assert (decision.replicas, decision.reason) == expected


def test_nothing_known_nothing_moved() -> None:
    decision = Site(POLICY, 5).second(requests=1, running=3)

    assert (decision.replicas, decision.reason) == (5, ScalingReason.HOLDING)


def test_steady_load_holds() -> None:
    site = Site(POLICY, 3)
    replicas = {site.second(requests=1, running=10).replicas for _ in range(600)}

    assert replicas == {3}


def test_five_times_the_load_is_seen_at_once() -> None:
    site = steady(Site(POLICY, 3), 300)
    first = [site.second(requests=5, running=20 + 10 * i) for i in range(2)]

    assert first[-1].replicas > 3
    assert first[-1].reason in (ScalingReason.DEMAND_ROSE, ScalingReason.QUEUE_GREW)


def test_replicas_on_their_way_are_credited() -> None:
    site = steady(Site(POLICY, 3), 300)
    wanted = 3
    for second in range(30):
        wanted = site.second(requests=2, running=15).replicas
        site.pending = wanted - 3
        assert second < 5 or wanted == site.state.desired
    more = [site.second(requests=2, running=15).replicas for _ in range(60)]

    assert set(more) == {wanted}


def test_missed_targets_move_it_without_any_model() -> None:
    site = Site(POLICY, 4)
    decisions = [site.second(requests=4, running=2, slow=0.5) for _ in range(5)]

    first = next(decision for decision in decisions if decision.replicas > 4)
    assert (first.replicas, first.reason) == (5, ScalingReason.TARGET_MISSED)


def test_a_target_that_low_load_misses_too_is_beyond_reach() -> None:
    site = Site(POLICY, 4)
    for _ in range(300):
        decision = site.second(requests=4, running=0, slow=0.5)
        site.second(requests=4, running=1, slow=0.5)
        site.ready = decision.replicas

    assert decision.reason == ScalingReason.BEYOND_REACH
    assert decision.replicas < POLICY.maximum
    # It is not told again and again while few ask: as long as the target is left out, that is the reason.
    quiet = [site.second(running=i % 2).reason for i in range(60)]
    assert set(quiet) == {ScalingReason.BEYOND_REACH}


def test_a_lasting_queue_moves_it() -> None:
    site = Site(POLICY, 2)
    decisions = [site.second(running=8, waiting=8) for _ in range(4)]

    assert decisions[-1].replicas == 4
    assert ScalingReason.QUEUE_GREW in {decision.reason for decision in decisions}


@pytest.mark.parametrize("period", [0.5, 1.0, 2.0])
def test_a_queue_counts_by_its_seconds_and_not_by_how_often_is_looked(period: float) -> None:
    """Within one period, replicas are ordered as late, whether one looks twice a second or every other second."""
    state, now = AutoscalerState(), 100.0
    began = now
    while True:
        full = sample(now, running=8, waiting=8)
        seen = Observation(now, 2, 0, {"a": full, "b": full})
        decision = recommend(POLICY, seen, state, now)
        if decision.replicas > 2:
            break
        state, now = decision.state, now + period
    assert decision.reason == ScalingReason.QUEUE_GREW
    assert QUEUE_SECONDS <= now - began < QUEUE_SECONDS + period


def test_a_queue_that_goes_begins_anew() -> None:
    state = AutoscalerState()
    for second, waiting in enumerate((8, 8, 0, 8, 8, 8)):
        full = sample(float(second), running=8, waiting=waiting)
        seen = Observation(float(second), 2, 0, {"a": full, "b": full})
        state = recommend(POLICY, seen, state, float(second)).state
    assert (state.waiting_since, state.desired) == (3.0, 2)


def test_full_caches_move_it() -> None:
    full = sample(1.0, running=3, kv=0.95)
    decision = recommend(
        POLICY, Observation(1.0, 2, 0, {"a": full, "b": full}), AutoscalerState(), 1.0
    )

    assert (decision.replicas, decision.reason) == (3, ScalingReason.CACHE_FULL)


def test_at_the_maximum_it_says_so() -> None:
    site = Site(replace(POLICY, maximum=2), 2)
    decision = [site.second(running=8, waiting=8) for _ in range(4)][-1]

    assert (decision.replicas, decision.reason) == (2, ScalingReason.AT_MAXIMUM)
    assert "maxReplicas is 2" in decision.message


def test_sustained_slack_gives_back_one_at_a_time() -> None:
    site = steady(Site(POLICY, 6), 120, requests=1, running=10)
    seen = []
    for _ in range(400):
        decision = site.second(requests=1 if int(site.now) % 5 == 0 else 0, running=2)
        seen.append(decision.replicas)
        site.ready = decision.replicas

    assert seen[-1] < 6
    assert all(0 <= before - after <= 1 for before, after in pairwise(seen))


def test_nothing_is_given_back_while_an_answer_is_missing() -> None:
    site = steady(Site(POLICY, 6), 120, requests=1, running=10)
    for _ in range(600):
        decision = site.second(requests=0, running=1, answering=5)

    assert (decision.replicas, decision.reason) == (6, ScalingReason.DATA_MISSING)


def test_a_replica_that_lies_holds_and_is_named() -> None:
    state = AutoscalerState(desired=2)
    for at in (1.0, 2.0, 3.0):
        observation = Observation(at, 2, 0, {"a": sample(at), "b": sample(at, kv=inf)})
        decision = recommend(POLICY, observation, state, at)
        state = decision.state

    assert (decision.replicas, decision.reason) == (2, ScalingReason.DATA_MISSING)
    assert "metrics of 1 of 2 ready replicas are missing or invalid" in decision.message
    assert "1 of them report impossible numbers." in decision.message


def test_a_target_out_of_reach_does_not_keep_replicas_for_the_others() -> None:
    site = Site(replace(POLICY, targets=(*POLICY.targets, Target("e2e", 90, 10.0))), 4)
    seen = []
    for _ in range(200):
        site.second(requests=4, running=0, slow=0.5)
        site.ready = site.second(requests=4, running=1, slow=0.5).replicas
        seen.append(site.ready)

    assert (max(seen), seen[-1]) == (5, 3)


def test_while_no_replica_answers_the_gateways_say_what_comes() -> None:
    site = steady(Site(POLICY, 3), 300)
    calm = {site.second(requests=1, running=10, answering=0).replicas for _ in range(60)}
    rush = [site.second(requests=4, running=10, answering=0) for _ in range(10)]

    assert calm == {3}
    first = next(decision for decision in rush if decision.replicas > 3)
    assert first.reason == ScalingReason.DEMAND_ROSE
    # What the gateways told is not counted again when the replicas answer.
    site.ready = rush[-1].replicas
    before = rush[-1].inputs["requestsPerSecond"]
    after = site.second(requests=12 // site.ready, running=10).inputs["requestsPerSecond"]
    assert after <= 1.2 * before


def test_zero_after_silence_and_back_for_a_held_request() -> None:
    site = Site(ScalingPolicy(0, 5, POLICY.targets, scale_to_zero_after=60.0), 1)
    site.second(requests=1, running=1)
    silent = [site.second() for _ in range(70)]
    first = next(index for index, decision in enumerate(silent) if decision.replicas == 0)
    site.ready = 0
    held = site.second(held=2)

    assert 58 <= first <= 62
    assert silent[first].reason == ScalingReason.IDLE
    assert (held.replicas, held.reason) == (1, ScalingReason.REQUESTS_HELD)
    assert site.second().reason == ScalingReason.WARMING_UP


def test_a_blackout_is_made_up_for() -> None:
    site = steady(Site(POLICY, 3), 300)
    for _ in range(60):
        site.second(requests=3, running=10, answering=0)
    back = site.second(requests=3, running=10)

    assert 8.0 < back.inputs["requestsPerSecond"] < 14.0  # nine, and its trend
    assert back.replicas >= 3


def test_no_zero_while_an_answer_is_missing() -> None:
    site = Site(ScalingPolicy(0, 5, POLICY.targets, scale_to_zero_after=60.0), 2)
    replicas = {site.second(answering=1).replicas for _ in range(200)}

    assert replicas == {2}


def test_the_minimum_keeps_it_from_zero() -> None:
    site = Site(ScalingPolicy(1, 5, POLICY.targets, scale_to_zero_after=60.0), 1)

    assert {site.second().replicas for _ in range(100)} == {1}


def test_warm_ups_are_learned() -> None:
    site = Site(ScalingPolicy(1, 5, POLICY.targets), 1)
    site.second()
    site.policy = replace(POLICY, minimum=3)
    site.second()
    for _ in range(40):
        site.second()
    site.ready = 3
    site.second()

    assert site.state.warm_up == pytest.approx(41.0)


def test_a_lying_sample_cannot_ask_for_everything() -> None:
    site = steady(Site(replace(POLICY, maximum=1000), 3), 300)
    decision = site.second(requests=100_000, running=100_000)

    assert decision.replicas <= 12


def test_the_state_survives_a_restart() -> None:
    site = steady(Site(POLICY, 3), 300)
    written = json.loads(json.dumps(site.state.as_dict()))
    read = AutoscalerState.of(written)

    assert len(json.dumps(written)) < 6000
    assert read.as_dict() == site.state.as_dict()
    assert AutoscalerState.of({"desired": 4, "of a later version": 1}) == AutoscalerState(desired=4)
    site.state = read
    assert steady(site, 60).state.desired == 3


def test_every_reason_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "concepts" / "autoscaling.md").read_text(
        encoding="utf-8"
    )

    assert not [reason for reason in ScalingReason if f"`{reason}`" not in page]


def test_reasons_are_words_and_inputs_numbers() -> None:
    decision = steady(Site(POLICY, 3), 60).second(requests=1, running=10)

    assert decision.reason.isalpha()
    assert all(-inf < value < inf for value in decision.inputs.values())
