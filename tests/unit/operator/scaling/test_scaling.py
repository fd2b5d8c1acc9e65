"""Stories of LLMDeployments with `spec.scaling`: the law in the operator, its memory, and what people are told."""

import json
from datetime import timedelta

import pytest
from tests.support.fleet import SCALING, Fleet, fleet
from tests.support.stories import conditions, message, split
from tests.support.world import World, pod, sample

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.observed.scaling_status import ScalingState, read_scaling_state
from llmdeployment_operator.plan.scaling.report import find_new_decisions

ZERO = {**SCALING, "minReplicas": 0, "scaleToZeroAfter": "2m"}
CANARY = {"strategy": "Canary", "steps": [{"weight": 25, "pause": {}}], "rollbackWindow": "0s"}


def busy() -> Fleet:
    """A fleet that got a second replica for its load, and learned what one carries."""
    found = fleet()
    found.load = 7
    found.until(2)
    found.pass_by(60)
    return found


def reasons(found: Fleet) -> list[tuple[int, int, str]]:
    return [(d["from"], d["to"], d["reason"]) for d in found.status["decisions"]]


def test_load_brings_replicas_and_its_end_takes_them_again() -> None:
    found = busy()
    assert conditions(found.world)["Ready"] == ("True", "Serving")
    found.load = 0.5
    found.until(1)
    assert conditions(found.world)["Scaling"] == ("True", "ScalingActive")
    (first, *_, last) = reasons(found)
    assert first[:2] == (1, 2)
    assert last == (2, 1, "Slack")
    assert found.status["replicas"] == found.world.status["replicas"] == 1


def test_each_decision_is_an_event_once_and_its_numbers_are_kept() -> None:
    found = fleet()
    found.load = 7
    told = []
    for _ in range(60):
        found.world.now += timedelta(seconds=2)
        found._see()
        told += [event for event in found.world.step().events if event.reason.startswith("Scaled")]
    assert [event.reason for event in told] == ["ScaledUp"] * len(reasons(found))
    assert told[0].message.startswith("Runtime ")
    assert "was scaled from 1 to 2 replicas" in told[0].message
    assert float(found.status["decisions"][0]["inputs"]["requestsPerSecond"]) > 0


def test_looks_write_nothing_but_once_a_minute() -> None:
    found = fleet()
    found.load = 1
    found.pass_by(60)
    written = 0
    for _ in range(150):
        found.world.now += timedelta(seconds=2)
        found._see()
        plan = found.world.step()
        assert not plan.apply
        assert not plan.serve
        assert plan.requeue_after == 2
        written += plan.status is not None
    assert written == 5


def test_passes_in_between_are_no_looks() -> None:
    found = fleet()
    found.load = 1
    found.pass_by(70)
    before = found.world.cluster.scaling
    found.world.now += timedelta(seconds=0.5)
    assert found.world.plan().scaling == before
    assert found.world.plan().quiet


def test_an_operator_that_starts_again_goes_on_from_the_status() -> None:
    found = busy()
    kept = read_scaling_state(found.world.cluster.status)
    found.restart()
    found.pass_by(2)
    (state,) = read_scaling_state(found.world.cluster.status).states.values()
    assert found.replicas == state.desired == 2
    (before,) = kept.states.values()
    assert state.arrivals.slots == before.arrivals.slots
    found.load = 0.5
    found.until(1)


@pytest.mark.parametrize("broken", ["{", "[]", '{"misses": 1}', '{"arrivals": {"never": 1}}'])
def test_a_state_that_cannot_be_read_costs_what_was_learned_and_no_replica(broken: str) -> None:
    found = fleet()
    found.load = 7
    found.until(2)
    status = json.loads(json.dumps(found.world.status))
    status["scaling"]["runtimes"][0]["state"] = broken
    status["scaling"]["decisions"].append({"at": 1})
    found.world.observe(status=read_status(status))
    found.restart()
    found.pass_by(10)
    assert found.replicas == 2


def test_a_status_that_was_lost_costs_no_replica() -> None:
    found = fleet()
    found.load = 7
    found.until(2)
    found.world.observe(status=Status())
    found.restart()
    found.pass_by(4)
    assert found.replicas == 2


def test_without_answers_nothing_is_given_back() -> None:
    found = busy()
    found.load, found.silent = 0.0, True
    found.pass_by(900)
    assert found.replicas == 2
    assert conditions(found.world)["Scaling"] == ("False", "MetricsUnavailable")
    assert "metrics of 2 of 2 ready replicas are missing or invalid" in message(
        found.world, "Scaling"
    )
    found.load, found.silent = 0.5, False
    found.until(1)


def test_replicas_too_busy_to_answer_get_help_for_what_the_gateways_give_them() -> None:
    found = busy()
    found.load, found.silent = 14, True
    found.until(3, seconds=30)
    assert reasons(found)[-1][2] == "DemandRose"


def test_at_the_maximum_it_says_so() -> None:
    found = fleet({**SCALING, "maxReplicas": 2})
    found.load = 30
    found.pass_by(300)
    assert found.replicas == 2
    assert conditions(found.world)["Scaling"] == ("True", "TooManyReplicas")


def test_other_bounds_are_kept_at_once() -> None:
    found = fleet()
    found.world.edit(scaling={**SCALING, "minReplicas": 3})
    found.pass_by(2)
    assert found.replicas == 3
    found.world.edit(scaling={**SCALING, "maxReplicas": 1})
    found.pass_by(2)
    found.until(1, 10)
    assert reasons(found) == [(1, 3, "BelowMinimum"), (3, 1, "AboveMaximum")]


def test_a_schedule_raises_the_minimum_while_it_is_open() -> None:
    begins = {"schedule": "10 3 * * *", "duration": "20m", "minReplicas": 3}
    found = fleet({**SCALING, "schedules": [begins]})
    assert found.replicas == 1
    found.load = 9
    found.pass_by(8 * 60)
    assert found.replicas == 3
    found.load = 0.5
    found.pass_by(10 * 60)
    assert found.replicas == 3
    found.pass_by(20 * 60)
    assert found.replicas < 3


def test_kubectl_scale_has_no_effect_and_that_is_said() -> None:
    found = fleet(replicas=2)
    assert found.replicas == 2, "it is the number to begin with"
    found.world.edit(replicas=4)
    found.pass_by(20)
    assert found.replicas == 2
    assert "spec.replicas, which kubectl scale writes, has no effect" in message(
        found.world, "Scaling"
    )


def test_without_scaling_the_spec_has_the_last_word_again() -> None:
    found = fleet()
    found.load = 7
    found.until(2)
    found.world.edit(scaling=None, replicas=3)
    found.pass_by(2)
    assert found.replicas == 3
    assert "Scaling" not in conditions(found.world)
    assert "scaling" not in found.world.status
    assert found.world.plan().scaling is None


def test_a_deployment_that_was_edited_by_hand_is_put_right() -> None:
    found = fleet()
    found.load = 7
    found.until(2)
    children = json.loads(json.dumps([*found.world.cluster.children.values()]))
    for obj in children:
        if obj["kind"] == "Deployment" and obj["spec"]["replicas"] == 2:
            obj["spec"]["replicas"] = 4
    found.world.observe(children={(o["kind"], o["metadata"]["name"]): o for o in children})
    assert found.replicas == 4
    found.world.step()
    assert found.replicas == 2


def test_paused_means_that_nothing_is_decided() -> None:
    found = fleet()
    found.world.edit(paused=True)
    found.load = 30
    found.pass_by(120)
    assert found.replicas == 1
    assert conditions(found.world)["Scaling"] == ("False", "Paused")
    found.world.edit(paused=False)
    found.until(2, 120)


def test_to_zero_and_back() -> None:
    found = fleet(ZERO)
    found.load = 1
    found.pass_by(60)
    found.load = 0
    found.until(0, 300)
    found.pass_by(10)
    assert conditions(found.world)["Ready"] == ("True", "ScaledToZero")
    assert conditions(found.world)["Progressing"] == ("False", "ScaledToZero")
    assert conditions(found.world)["Degraded"][0] == "False"
    assert "no request for 2 min" in message(found.world)
    found.restart()
    found.pass_by(600)
    assert found.replicas == 0
    found.held = 1
    found.pass_by(2)
    assert found.replicas == 1
    found.held, found.load = 0, 1
    found.pass_by(20)
    assert conditions(found.world)["Ready"] == ("True", "Serving")
    assert reasons(found)[-2:] == [(1, 0, "Idle"), (0, 1, "RequestsHeld")]


def test_a_rollout_wakes_it_up() -> None:
    found = fleet(ZERO, rollout=CANARY)
    found.until(0, 300)
    found.world.edit(engine={"name": "simulated", "args": {"seed": 9}})
    found.pass_by(20)
    assert sorted(found.by_runtime.values()) == [1, 1]
    assert [number for number, _ in split(found.world)] == [2, 1]
    found.pass_by(600)
    assert sorted(found.by_runtime.values()) == [1, 1], "nothing is given back meanwhile"
    found.world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    found.until(0, 300)


WAITS = pod(
    "worker",
    "waits",
    "",
    phase="Pending",
    conditions=[
        {
            "type": "PodScheduled",
            "status": "False",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
    ],
)


def test_what_never_comes_is_not_ordered_again() -> None:
    found = fleet({**SCALING, "maxReplicas": 8})
    found.load = 2
    found.pass_by(300)
    found.load = 7
    found.until(2)
    found.pass_by(600)
    (runtime,) = found.by_runtime
    waits = {**WAITS["metadata"], "labels": {**WAITS["metadata"]["labels"], names.RUNTIME: runtime}}
    found.starts, found.waiting = False, ({**WAITS, "metadata": waits},)
    found.load = 8
    found.pass_by(30)
    ordered = found.replicas
    assert ordered > 2
    # why: rising demand and a growing queue ask for more, even while replicas are on their way.
    for load in (10, 12, 15, 20, 25, 30):
        found.load = load
        found.pass_by(30)
        assert found.replicas == ordered
    assert conditions(found.world)["Scaling"] == ("False", "WaitingForGPU")
    assert "No more replicas are ordered until" in message(found.world, "Scaling")
    found.starts, found.waiting = True, ()
    found.until(8, 300)


def test_during_a_canary_nothing_is_given_back_and_afterwards_it_goes_on() -> None:
    found = fleet(rollout=CANARY)
    found.load = 7
    found.until(2)
    found.pass_by(60)
    had = found.replicas
    (stable,) = found.by_runtime
    found.world.edit(engine={"name": "simulated", "args": {"seed": 9}})
    found.pass_by(20)
    (canary,) = set(found.by_runtime) - {stable}
    assert [number for number, _ in split(found.world)] == [2, 1]
    assert found.by_runtime == {stable: had, canary: 1}
    found.load = 0.4
    found.pass_by(900)
    assert found.by_runtime[stable] == had, "the stable revision must be able to take all back"
    annotations = {"llmdeployment.dev/promote": "2"}
    found.world.raw["metadata"]["annotations"] = annotations
    found.pass_by(20)
    assert [number for number, _ in split(found.world)] == [2]
    assert set(read_scaling_state(found.world.cluster.status).states) == {canary}
    found.until(1)
    last = found.status["decisions"][-1]
    assert (last["runtime"], last["from"]) == (canary, had), "it begins with what it has"


def test_a_canary_that_needs_more_than_its_share_gets_it() -> None:
    found = fleet(rollout=CANARY)
    found.world.edit(engine={"name": "simulated", "args": {"seed": 9}})
    found.pass_by(20)
    found.load = 14
    found.pass_by(60)
    assert all(count >= 2 for count in found.by_runtime.values()), found.by_runtime
    assert all(count <= 4 for count in found.by_runtime.values()), found.by_runtime


ARMS = [
    {"name": "a", "weight": 75},
    {"name": "b", "weight": 25, "overrides": {"engine": {"args": {"seed": 9}}}},
]


def test_arms_scale_each_for_itself_within_their_part_of_the_bounds() -> None:
    found = fleet({**SCALING, "minReplicas": 4, "maxReplicas": 8}, arms=ARMS)
    assert sorted(found.by_runtime.values()) == [1, 3]
    found.load = 60
    found.pass_by(300)
    assert sorted(found.by_runtime.values()) == [2, 6]


def test_an_arm_that_gets_more_requests_has_the_replicas_before() -> None:
    found = fleet({**SCALING, "minReplicas": 4, "maxReplicas": 8}, arms=ARMS)
    found.load = 4
    found.world.edit(arms=[{**ARMS[0], "weight": 50}, {**ARMS[1], "weight": 50}])
    found.pass_by(2)
    assert sorted(found.by_runtime.values()) == [2, 3]
    assert split(found.world)[0][1] == 7500
    found.pass_by(20)
    assert split(found.world)[0][1] == 5000


def test_arms_of_one_runtime_are_scaled_together() -> None:
    arms = [{"name": "a", "weight": 50}, {"name": "b", "weight": 50, "overrides": {"prompt": {}}}]
    arms[1]["overrides"] = {"prompt": {"system": "Be brief."}}
    found = fleet(arms=arms)
    assert list(found.by_runtime.values()) == [1]
    found.load = 7
    found.until(2)


def test_a_clock_that_was_put_back_stops_nothing() -> None:
    found = fleet()
    found.load = 1
    found.pass_by(20)
    assert found.replicas == 1
    found.world.now -= timedelta(hours=1)
    found.load = 7
    found.until(2, 300)


def test_decisions_are_told_once() -> None:
    one = {"at": "x", "runtime": "r", "from": 1, "to": 2, "reason": "Slack", "message": ""}
    two = {**one, "at": "y"}
    before = read_status({"scaling": {"decisions": [one]}})
    assert [
        d.at
        for d in find_new_decisions(read_status({"scaling": {"decisions": [one, two]}}), before)
    ] == ["y"]
    assert (
        len(read_scaling_state(read_status({"scaling": {"decisions": [one] * 30}})).decisions) == 10
    )
    assert read_scaling_state(Status()) == ScalingState()


def test_an_object_without_scaling_is_as_it_was() -> None:
    world = World(sample("simulated"))
    plan = world.step()
    assert plan.scaling is None
    assert "scaling" not in world.status
