"""What happens to users at the end of an experiment with `onEnd: ShiftToWinner`, as the whole plan makes it."""

import json
from datetime import timedelta
from itertools import groupby, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import conditions, message
from tests.support.world import World
from tests.unit.operator.experiment.test_experiment_story import (
    EXPERIMENT,
    Requests,
    apply,
    ask,
    experimenting,
    row,
)
from tests.unit.operator.rollout.test_arms import OTHER, TERSE, arms, rest, split, workers

from llmdeployment_operator.plan.base.routes import BUCKETS
from llmdeployment_operator.plan.experiment.sentences import write_patch

SHIFT = {**EXPERIMENT, "onEnd": "ShiftToWinner"}
TERSE_IS_BETTER: Requests = {1: (64, 20), 2: (64, 6)}
TERSE_IS_WORSE: Requests = {1: (64, 6), 2: (64, 30)}


def ended(requests: Requests, arms_: list[dict[str, Any]] | None = None, **changes: Any) -> World:
    """An experiment that these requests have ended, before the pass that follows."""
    world = experimenting(arms_, **{"onEnd": "ShiftToWinner", **changes})
    for _ in range(400):
        ask(world, requests)
        if "endedAt" in row(world):
            return world
    raise AssertionError("no end")


def weights(world: World) -> dict[str, int]:
    return {each["name"]: each["weight"] for each in world.status["arms"]}


def test_the_winner_gets_all_users_and_the_spec_stays_as_it_is() -> None:
    world = ended(TERSE_IS_BETTER)
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]
    assert world.plan().requeue_after == 2
    spec = json.loads(json.dumps(world.raw["spec"]))
    rest(world)

    assert split(world) == [("terse", 2, BUCKETS)]
    assert world.raw["spec"] == spec
    assert weights(world) == {"terse": 100, "control": 0}
    assert world.status["traffic"] == "terse rev2 100%"
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert conditions(world)["Experimenting"] == ("False", "ExperimentConcluded")
    told = message(world, "Experimenting")
    assert told.startswith("Arm terse wins: ttft>500ms")
    assert (
        " The operator sends all users to terse, because spec.experiment.onEnd is ShiftToWinner. "
        "spec.arms still has control 50, terse 50. To write terse into your spec, run kubectl patch llm simulated"
    ) in told


def test_hold_moves_nobody() -> None:
    world = ended(TERSE_IS_BETTER, onEnd="Hold")
    rest(world)
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]
    assert "The operator" not in message(world, "Experimenting")


def test_a_control_that_wins_gets_all_users() -> None:
    world = ended(TERSE_IS_WORSE)
    rest(world)
    assert row(world)["outcome"] == "ControlWins"
    assert split(world) == [("control", 1, BUCKETS)]


def test_without_a_difference_nobody_is_moved() -> None:
    world = ended({1: (64, 6), 2: (64, 6)})
    rest(world)
    assert row(world)["outcome"] == "NoDifference"
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]
    assert "ShiftToWinner" not in message(world, "Experimenting")


def test_when_time_is_up_nobody_is_moved() -> None:
    world = experimenting(onEnd="ShiftToWinner", maxDuration="1h")
    ask(world, TERSE_IS_BETTER)
    ask(world, {}, seconds=3600)
    rest(world)
    assert row(world)["outcome"] == "TimedOut"
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]


def test_users_wait_for_the_winners_replicas_and_the_losers_end_afterwards() -> None:
    world = experimenting(arms(control=50, terse=(50, OTHER)), onEnd="ShiftToWinner")
    world.edit(replicas=4)
    rest(world)
    (old, new) = workers(world)
    for _ in range(400):
        ask(world, TERSE_IS_BETTER)
        if "endedAt" in row(world):
            break
    world.step()
    assert workers(world) == {old: 2, new: 4}
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]
    assert conditions(world)["Progressing"][0] == "True"
    assert (
        "The operator moves all users to terse when its replicas are ready, because "
        "spec.experiment.onEnd is ShiftToWinner."
    ) in message(world, "Experimenting")
    rest(world)
    assert split(world) == [("terse", 2, BUCKETS)]
    assert workers(world) == {new: 4}


def test_the_patch_moves_nobody_after_the_shift() -> None:
    world = ended(TERSE_IS_BETTER)
    rest(world)
    before, replicas = split(world), workers(world)
    patched = apply(row(world)["patch"], world.raw)
    world.edit(**patched)
    del world.raw["spec"]["experiment"]
    for _ in range(5):
        world.step()
        assert split(world) == before
        world.obey()
    rest(world)

    assert (split(world), workers(world)) == (before, replicas)
    assert weights(world) == {"terse": 100}
    assert "Experimenting" not in conditions(world)


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": {**SHIFT, "metrics": [{"name": "ttft", "milliseconds": 300}]}},
        {"gateway": {"replicas": 1, "assignment": {"salt": "again"}}},
    ],
    ids=["metrics", "salt"],
)
def test_another_design_gives_the_arms_the_weights_of_the_spec_and_says_so(
    change: dict[str, Any],
) -> None:
    world = ended(TERSE_IS_BETTER)
    rest(world)
    world.edit(**change)
    rest(world)

    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]
    assert weights(world) == {"control": 50, "terse": 50}
    ask(world, TERSE_IS_BETTER)
    told = message(world, "Experimenting")
    assert "The experiment began anew at" in told
    assert (
        "The arms have the weights of spec.arms again, so users that onEnd had moved go back."
        in told
    )


@pytest.mark.parametrize("onEnd", ["Hold", None])
def test_another_end_gives_the_arms_the_weights_of_the_spec(onEnd: str | None) -> None:  # noqa: N803  # because it is the field
    world = ended(TERSE_IS_BETTER)
    rest(world)
    if onEnd is None:
        world.edit()
        del world.raw["spec"]["experiment"]
    else:
        world.edit(experiment={**EXPERIMENT, "onEnd": onEnd})
    rest(world)
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]


def test_onEnd_may_be_set_after_the_end() -> None:  # noqa: N802  # because it is the field
    world = ended(TERSE_IS_BETTER, onEnd="Hold")
    world.now += timedelta(hours=1)
    world.edit(experiment=SHIFT)
    rest(world)
    assert split(world) == [("terse", 2, BUCKETS)]


def test_paused_nobody_is_moved() -> None:
    world = ended(TERSE_IS_BETTER)
    world.edit(paused=True)
    rest(world)
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]


def test_losers_stay_on_record_and_no_revision_is_made_at_each_pass() -> None:
    three = arms(control=34, terse=(33, TERSE), other=(33, OTHER))
    world = experimenting(three, onEnd="ShiftToWinner")
    world.edit(revisionHistoryLimit=1)
    for _ in range(400):
        ask(world, {1: (64, 6), 2: (64, 30), 3: (64, 30)})
        if "endedAt" in row(world):
            break
    rest(world)
    assert weights(world) == {"control": 100, "terse": 0, "other": 0}
    assert [each["number"] for each in world.status["revisions"]] == [1, 2, 3]
    rest(world)
    assert [each["number"] for each in world.status["revisions"]] == [1, 2, 3]


def test_a_new_template_of_the_winner_rolls_out_as_ever() -> None:
    world = ended(TERSE_IS_BETTER)
    rest(world)
    world.edit(arms=arms(control=50, terse=(50, {"prompt": {"system": "Two words."}})))
    rest(world)
    assert split(world) == [("terse", 3, BUCKETS)]


@pytest.mark.parametrize("winner", [None, "gone"])
def test_a_status_with_a_winner_that_is_no_arm_moves_nobody(winner: str | None) -> None:
    world = ended(TERSE_IS_BETTER)
    status = world.cluster.status
    assert status.experiment is not None
    torn = status.experiment.model_copy(update={"winner": winner})
    world.observe(status=status.model_copy(update={"experiment": torn}))
    rest(world)
    assert split(world) == [("control", 1, 5000), ("terse", 2, BUCKETS)]


def test_wherever_the_operator_is_killed_the_winner_has_all_users() -> None:
    for writes in range(10):
        world = ended(TERSE_IS_BETTER)
        world.crash(writes)
        world.obey()
        rest(world)
        assert split(world) == [("terse", 2, BUCKETS)]


designs = st.integers(1, 10**9).map(Random)


def draw_weights(random: Random) -> list[int]:
    """Return weights of two to eight arms."""
    cuts = [0, *sorted(random.sample(range(1, 100), random.randint(1, 7))), 100]
    return [after - before for before, after in pairwise(cuts)]


def conclude_for(world: World, winner: str) -> None:
    """Let the experiment have ended for an arm."""
    status = world.cluster.status
    assert status.experiment is not None
    outcome = "ControlWins" if winner == status.experiment.control else "Winner"
    ends = {
        "ended_at": status.experiment.written_at,
        "outcome": outcome,
        "winner": winner if outcome == "Winner" else None,
        "patch": write_patch(world.deployment, winner),
    }
    experiment = status.experiment.model_copy(update=ends)
    world.observe(status=status.model_copy(update={"experiment": experiment}))


def list_holders(world: World) -> list[str]:
    """Return the arm of every 50th bucket."""
    found = split(world)
    return [next(arm for arm, _, below in found if b < below) for b in range(0, BUCKETS, 50)]


@settings(max_examples=25, deadline=None)
@given(designs)
def test_nobody_leaves_the_winner_and_all_others_move_once(random: Random) -> None:
    weights = draw_weights(random)
    winner = f"a{random.randrange(len(weights))}"
    world = experimenting(
        [
            {"name": f"a{n}", "weight": weight, "overrides": {"prompt": {"system": f"{n}"}}}
            for n, weight in enumerate(weights)
        ],
        onEnd="ShiftToWinner",
        control="a0",
    )
    seen = [list_holders(world)]
    conclude_for(world, winner)
    for passes in range(16):
        if passes == 8:
            assert set(seen[-1]) == {winner}
            world.edit(**apply(row(world)["patch"], world.raw))
            del world.raw["spec"]["experiment"]
        world.step()
        seen.append(list_holders(world))
        world.obey()

    for holders in zip(*seen, strict=True):
        path = [arm for arm, _ in groupby(holders)]
        assert path in ([winner], [holders[0], winner])
