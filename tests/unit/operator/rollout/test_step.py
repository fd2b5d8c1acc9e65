from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.api.rollout import Pause, RolloutSpec, Step
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.rollout.canary import plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import (
    Rejection,
    RolloutState,
    WarmRevision,
    build_arm_status,
    read_rollout_state,
)
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = RolloutSpec(
    strategy="Canary",
    steps=(
        Step(weight=5, pause=Pause(duration="10m")),
        Step(weight=25),
        Step(weight=50, pause=Pause()),
    ),
)
BLUE_GREEN = RolloutSpec()
REPLICAS = 8


def inputs(
    weight: int = 0, ready: int | None = None, target: int = 2, **more: object
) -> RolloutInputs:
    """Revision 1 serves with 8 replicas, the spec asks for the target."""
    known = {1: REPLICAS} | ({} if ready is None else {target: ready})
    alive = {1: REPLICAS, target: ready or 0}
    return replace(
        RolloutInputs(
            stable=1,
            target=target,
            weight=weight,
            ready=known,
            alive=alive,
            answered={1},
            applied=True,
            replicas=REPLICAS,
        ),
        **more,
    )


def on_its_way(step: int = 0, **more: object) -> RolloutState:
    return replace(RolloutState(stable=1, canary=2, step=step, progress_at=NOW), **more)


def plan(
    policy: RolloutSpec,
    seen: RolloutInputs,
    state: RolloutState | None = None,
    commands: Commands | None = None,
    now: datetime = NOW,
) -> RolloutStep:
    return plan_step(policy, seen, state or RolloutState(stable=1), commands or Commands(), now)


# seen, memory -> weight, replicas of revision 2, words of the stage
STEPS = {
    "capacity comes first": (inputs(), None, 0, 1, "Step 1 of 4: 0 of 1 replicas"),
    "then the traffic": (inputs(ready=1), None, 5, 1, "revision 2 gets 5 %"),
    "then the gateways": (
        inputs(5, 1, applied=False),
        on_its_way(weight=5),
        5,
        1,
        "The gateways are applying 5 %",
    ),
    "then the pause begins": (
        inputs(5, 1),
        on_its_way(weight=5),
        5,
        1,
        "until 2026-01-02T03:14:05Z",
    ),
    "and ends": (
        inputs(5, 1),
        on_its_way(weight=5, since=NOW - timedelta(minutes=10)),
        5,
        2,
        "The next step is 25 %.",
    ),
    "capacity of the next step": (
        inputs(5, 1),
        on_its_way(1, weight=5),
        5,
        2,
        "Step 2 of 4: 1 of 2 replicas",
    ),
    "its traffic": (inputs(5, 2), on_its_way(1, weight=5), 25, 2, "revision 2 gets 25 %"),
    "a step without a pause is passed at once": (
        inputs(25, 2),
        on_its_way(1, weight=25),
        25,
        4,
        "The next step is 50 %.",
    ),
    "a pause without an end waits": (
        inputs(50, 4),
        on_its_way(2, weight=50),
        50,
        4,
        "llmdeployment.dev/promote: 2/3",
    ),
    "all replicas before all traffic": (
        inputs(50, 7),
        on_its_way(3, weight=50),
        50,
        8,
        "Step 4 of 4: 7 of 8 replicas",
    ),
    "a lost status costs no traffic": (inputs(50, 4), None, 50, 4, "promote: 2/3"),
    "steps that were made smaller take nothing back": (
        inputs(40, 4),
        on_its_way(0, weight=40),
        50,
        4,
        "gets 50 %",
    ),
    "a canary whose replicas are gone gives its traffic back": (
        inputs(25, 0),
        on_its_way(1, weight=25),
        0,
        2,
        "No replica of revision 2 is ready any more.",
    ),
}


@pytest.mark.parametrize(
    ("seen", "state", "weight", "need", "words"), STEPS.values(), ids=STEPS.keys()
)
def test_a_step(
    seen: RolloutInputs, state: RolloutState | None, weight: int, need: int, words: str
) -> None:
    found = plan(CANARY, seen, state)
    assert (found.stable, found.canary, found.weight) == (1, 2, weight)
    assert found.needs == {1: REPLICAS, 2: need}
    assert found.stage is not None
    assert words in found.stage.message


def test_the_last_step_is_the_promotion_and_the_one_before_stays_warm() -> None:
    found = plan(CANARY, inputs(50, 8), on_its_way(3, weight=50))
    assert (found.stable, found.canary, found.weight, found.stage) == (2, None, 0, None)
    assert found.state.warm == (WarmRevision(1, NOW + timedelta(minutes=5)),)
    assert found.needs == {2: 8, 1: 8}
    assert found.look_at == NOW + timedelta(minutes=5)


def test_a_stop_between_routes_and_status_keeps_the_one_before_warm_too() -> None:
    found = plan(CANARY, inputs(ready=8, stable=2), on_its_way(3, weight=50))
    assert found.stable == 2
    assert found.state.warm == (WarmRevision(1, NOW + timedelta(minutes=5)),)


def test_a_warm_one_cools_down() -> None:
    state = RolloutState(stable=2, warm=(WarmRevision(1, NOW),))
    found = plan(CANARY, inputs(ready=8, stable=2), state)
    assert (found.needs, found.state.warm, found.look_at) == ({2: 8}, (), None)


def test_a_shorter_window_is_kept_to_and_only_the_one_before_is_warm() -> None:
    state = RolloutState(stable=2, warm=(WarmRevision(1, NOW + timedelta(minutes=5)),))
    seen = inputs(ready=8, stable=2)
    shorter = CANARY.model_copy(update={"rollback_window": "1m"})
    none = CANARY.model_copy(update={"rollback_window": "0s"})
    assert plan(shorter, seen, state).state.warm == (WarmRevision(1, NOW + timedelta(minutes=1)),)
    assert plan(none, seen, state).needs == {2: 8}
    promoted = inputs(ready=8, stable=2, target=3, answered={1, 2}, alive={2: 8, 3: 8})
    following = replace(promoted, ready={2: 8, 3: 8})
    assert plan(BLUE_GREEN, following, state).needs == {3: 8, 2: 8}


def test_what_is_warm_makes_room_for_what_has_no_place() -> None:
    state = RolloutState(stable=2, warm=(WarmRevision(1, NOW + timedelta(minutes=3)),))
    seen = replace(inputs(ready=8, stable=2), runtimes={1: "old", 2: "new"}, crowded=True)
    found = plan(CANARY, seen, state)
    assert (found.needs, found.state.warm, found.look_at) == ({2: 8}, (), None)
    # In the same pods it takes no room.
    same = replace(seen, runtimes={1: "new", 2: "new"})
    assert plan(CANARY, same, state).state.warm == state.warm
    # Asked for again, it is what needs the room.
    asked = replace(seen, target=1, answered={1, 2}, alive={1: 8, 2: 8}, ready={1: 8, 2: 8})
    assert plan(CANARY, asked, state).why == "revision 1 is still warm"
    # And none becomes warm at its promotion.
    last = replace(inputs(50, 8), crowded=True)
    assert plan(CANARY, last, on_its_way(3, weight=50)).needs == {2: 8}


def test_going_back_to_a_warm_one_takes_no_steps() -> None:
    state = RolloutState(stable=2, warm=(WarmRevision(1, NOW + timedelta(minutes=3)),))
    seen = inputs(ready=8, stable=2, target=1, answered={1, 2}, alive={1: 8, 2: 8})
    found = plan(CANARY, replace(seen, ready={1: 8, 2: 8}), state)
    assert (found.stable, found.canary, found.why) == (1, None, "revision 1 is still warm")


def test_going_back_on_the_way_is_immediate() -> None:
    found = plan(CANARY, inputs(target=1), on_its_way(2, weight=50))
    assert (found.stable, found.canary, found.needs) == (1, None, {1: 8})


def test_another_spec_on_the_way_begins_anew() -> None:
    found = plan(CANARY, inputs(target=3), on_its_way(2, weight=50))
    assert (found.canary, found.weight, found.state.step) == (3, 0, 0)
    assert found.needs == {1: 8, 3: 1}


def test_blue_green_waits_for_all_and_moves_all() -> None:
    assert plan(BLUE_GREEN, inputs(ready=7)).needs == {1: 8, 2: 8}
    assert plan(BLUE_GREEN, inputs(ready=7)).stable == 1
    assert plan(BLUE_GREEN, inputs(ready=8)).stable == 2


def test_recreate_moves_first_and_keeps_nothing_warm() -> None:
    found = plan(RolloutSpec(strategy="Recreate"), inputs())
    assert (found.stable, found.needs, found.state.warm) == (2, {2: 8}, ())


def test_recreate_in_the_same_pods_waits_until_all_of_them_carry_it() -> None:
    policy, shared = RolloutSpec(strategy="Recreate"), {1: "a", 2: "a"}
    seen = inputs(ready=7, runtimes=shared)
    found = plan(policy, seen)
    assert (found.stable, found.weight, found.needs) == (1, 0, {1: 8, 2: 8})
    assert found.stage is not None
    assert "7 of 8 replicas of revision 2 are ready." in found.stage.message
    done = plan(policy, inputs(ready=8, runtimes=shared), found.state)
    assert (done.stable, done.needs, done.state.warm) == (2, {2: 8}, ())


def test_a_revision_that_never_answered_has_nothing_to_keep() -> None:
    assert plan(CANARY, inputs(answered=frozenset())).stable == 2


def test_no_replicas_asked_for_need_none() -> None:
    found = plan(BLUE_GREEN, inputs(ready=0, replicas=0))
    assert (found.stable, found.needs) == (2, {2: 0, 1: 0})


def test_without_progress_it_is_rolled_back_and_says_how_to_try_again() -> None:
    late = NOW + timedelta(seconds=1800)
    found = plan(CANARY, inputs(5, 1), on_its_way(1, weight=5, ready=1), now=late)
    assert (found.stable, found.canary, found.weight, found.needs) == (1, None, 0, {1: 8})
    assert found.stage is not None
    assert found.stage.reason is Reason.ROLLED_BACK
    assert "1 of 2 replicas were ready, and there was no progress within" in found.stage.message
    assert "llmdeployment.dev/retry: 2/1" in found.stage.message

    again = plan(CANARY, inputs(), found.state, now=late)
    assert again.canary is None
    retried = plan(CANARY, inputs(), found.state, Commands(retry={2: 1}), late)
    assert (retried.canary, retried.state.attempt, retried.state.progress_at) == (2, 2, late)
    on = plan(CANARY, inputs(), retried.state, Commands(retry={2: 1}), late)
    assert (on.canary, on.state) == (2, retried.state)


def test_what_is_remembered_fits_the_status() -> None:
    late = NOW + timedelta(seconds=1800)
    found = plan(CANARY, inputs(lacking="x" * 5000), on_its_way(), now=late)
    assert found.stage is not None
    assert "llmdeployment.dev/retry: 2/1" in found.stage.message[:1024]
    counts = {
        CountKey(f"ttft>{n}ms", str(m)): Stratum(Counts(), Counts())
        for n in range(40)
        for m in range(20)
    }
    rejected = Rejection(2, 1, NOW, "x" * 5000)
    state = on_its_way(rejected=rejected, analysis=Analysis(counts, message="x" * 5000))
    status = read_status(dump_status(Status(arms=(build_arm_status(state, "main"),))))
    assert status.arms[0].analysis is not None
    assert status.arms[0].analysis.metrics[-1].name == "ttft>39ms"
    assert status.arms[0].analysis.metrics[-1].strata[-1].prompt_bytes == "19"


def test_a_replica_more_is_progress() -> None:
    later = NOW + timedelta(seconds=1000)
    found = plan(BLUE_GREEN, inputs(ready=3), on_its_way(ready=2), now=later)
    assert found.state.progress_at == later


PAUSED = on_its_way(2, weight=50)
COMMANDS = {
    "promote this step": (Commands(promote={2: 3}), 50, {1: 8, 2: 8}),
    "promote an earlier step": (Commands(promote={2: 2}), 50, {1: 8, 2: 4}),
    "promote another revision": (Commands(promote={3: None}), 50, {1: 8, 2: 4}),
    "promote at all": (Commands(promote={2: None}), 50, {1: 8, 2: 8}),
    "pause": (Commands(pause={2}, promote={2: None}), 50, {1: 8, 2: 8}),
    "abort": (Commands(abort={2}), 0, {1: 8}),
    "abort another": (Commands(abort={1}), 50, {1: 8, 2: 4}),
}


@pytest.mark.parametrize(("commands", "weight", "needs"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command(commands: Commands, weight: int, needs: dict[int, int]) -> None:
    found = plan(CANARY, inputs(50, 4), PAUSED, commands)
    assert (found.weight, found.needs) == (weight, needs)


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from([CANARY, BLUE_GREEN]),
    happenings=st.lists(
        st.tuples(
            st.integers(0, REPLICAS),  # replicas of the target that answer
            st.booleans(),  # the gateways have applied the routes
            st.integers(0, 2000),  # seconds that pass
            st.sampled_from([1, 2, 3]),  # what the spec asks for
            st.sampled_from([Commands(), Commands(promote={2: None}), Commands(abort={3})]),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_nobody_is_sent_where_nothing_answers(
    policy: RolloutSpec, happenings: list[tuple[int, bool, int, int, Commands]]
) -> None:
    stable, canary, weight, state, now = 1, None, 0, RolloutState(stable=1), NOW
    for ready, applied, seconds, target, commands in happenings:
        now += timedelta(seconds=seconds)
        replicas = {stable: REPLICAS, target: ready if target != stable else REPLICAS}
        seen = RolloutInputs(
            stable=stable,
            target=target,
            weight=weight if canary == target else 0,
            ready=replicas,
            alive=replicas,
            answered={1, 2, 3},
            applied=applied,
            replicas=REPLICAS,
        )
        found = plan_step(policy, seen, state, commands, now)
        assert found.needs[found.stable] == REPLICAS
        assert len(found.needs.keys() - {w.revision for w in found.state.warm}) <= 2
        if found.stable != stable:
            assert replicas[found.stable] == REPLICAS
        if found.weight > seen.weight:
            assert found.canary == target
            assert replicas[target] * 100 >= found.weight * REPLICAS
        if found.canary is not None:
            assert found.canary not in commands.abort
        read = read_rollout_state(Status(arms=(build_arm_status(found.state, "main"),)), "main")
        assert read == found.state
        stable, canary, weight, state = found.stable, found.canary, found.weight, read
