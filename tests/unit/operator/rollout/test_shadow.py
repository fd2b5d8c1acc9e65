"""Whether a new revision has requests, by what it answered beside the stable one: as the whole plan makes it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.evaluations import EVALUATION, SHOUT, answers, scored_world
from tests.support.stories import GATEWAY, conditions, message, pods_of, serving_world, split
from tests.support.world import NOW, World

from llmdeployment_operator.analysis.shadow import PairedShare, ShadowCounts, name_counts
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.plan.rollout.canary import plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.shadow import casts_shadow
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep
from llmdeployment_serving.config import UserConfig, parse

Object = dict[str, Any]

SHADOW = {"percent": 20, "requests": 100, "maxTokens": 64, "minAgreementPercent": 80}
CANARY = {
    "strategy": "Canary",
    "steps": [{"weight": 10, "pause": {}}, {"weight": 50}],
    "shadow": SHADOW,
}
BLUE_GREEN = {"shadow": SHADOW}
STABLE_ALONE = [(1, 10_000)]


def shadowed_world(rollout: Object = CANARY, **edit: Any) -> World:
    """A world whose second revision is ready and shadowed; by default in the pods of the first."""
    world = serving_world()
    world.edit(rollout=rollout)
    world.settle()
    world.edit(**(edit or {"prompt": SHOUT}))
    world.step()
    if len(world.runtimes()) > 1:
        old, new = world.runtimes()
        world.pods(*pods_of(old), *pods_of(new), GATEWAY)
        world.serve(new, replicas=2)
        world.step()
    world.step()
    return world


def shadows(world: World) -> dict[str, list[Object]]:
    """Return what the replicas of each runtime are told to shadow."""
    found = {}
    for runtime, state in world.cluster.serve.items():
        (replica,) = (state.config or {})["deployments"]
        found[runtime] = replica["user_config"].get("shadows", [])
    return found


def policies(world: World) -> list[str]:
    found = (name for kind, name in world.cluster.children if kind == "NetworkPolicy")
    return sorted(name for name in found if "-shadow" in name)


def count(world: World, *, stable: int = 1, canary: int = 2, **counts: Any) -> None:
    """Let replicas have counted so much more, and a pass take it."""
    found = name_counts(ShadowCounts(**counts), stable)
    world.observe(shadow_fresh={canary: found})
    world.step()
    world.observe(shadow_fresh={})


def recorded(world: World) -> Object:
    (arm,) = world.status["arms"]
    return dict(arm.get("shadow", {}))


@pytest.mark.parametrize("rollout", [CANARY, BLUE_GREEN], ids=["Canary", "BlueGreen"])
def test_no_request_before_the_answers_agree(rollout: Object) -> None:
    world = shadowed_world(rollout)
    assert conditions(world)["Progressing"] == ("True", "Shadowing")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    assert message(world) == (
        "Revision 2 answers a sample of live requests before its first one. Shadow: 0 of 100 requests."
    )
    assert split(world) == STABLE_ALONE

    count(world, compared=60, identical=30, agreement=57_000, skipped=5)
    assert split(world) == STABLE_ALONE
    assert message(world).endswith(
        "Shadow: 60 of 100 requests, agreement 95.0 % (30 identical), 5 skipped."
    )
    count(world, compared=40, agreement=30_000)
    assert split(world) == ([(2, 1000), (1, 10_000)] if rollout is CANARY else [(2, 10_000)])
    assert all(rows == [] for rows in shadows(world).values())
    if rollout is CANARY:
        row = recorded(world)
        assert (row["result"], row["compared"], row["agreementThousandths"]) == (
            "Passed",
            100,
            87_000,
        )
        world.gateway_applies(up=2)
        world.settle()
        assert "Shadow: 100 of 100 requests, agreement 87.0 % (30 identical)" in message(world)


def test_the_same_pods_are_told_at_one_address_and_need_no_policy() -> None:
    world = shadowed_world()
    (runtime,) = world.runtimes()
    assert shadows(world) == {
        runtime: [
            {
                "stable": "1",
                "revision": "2",
                "url": f"http://simulated-{runtime}.team.svc:30000",
                "percent": 20,
                "maxTokens": 64,
                "seconds": 3600,
            }
        ]
    }
    assert policies(world) == []
    # Replicas take it, and refuse what they do not know.
    (replica,) = (world.cluster.serve[runtime].config or {})["deployments"]
    (taken,) = parse(UserConfig, replica["user_config"]).shadows
    assert (taken.stable, taken.revision, taken.percent, taken.seconds) == ("1", "2", 20, 3600)


def test_other_pods_are_reached_while_the_shadow_runs() -> None:
    world = shadowed_world(engine={"name": "simulated", "args": {"seed": 7}})
    assert conditions(world)["Progressing"] == ("True", "Shadowing")
    old, new = world.runtimes()
    told = shadows(world)
    assert [row["url"] for row in told[old]] == [f"http://simulated-{new}.team.svc:30000"]
    assert told[new] == []
    assert policies(world) == ["simulated-r2-of-1-shadow", "simulated-r2-of-1-shadowed"]
    egress, ingress = (
        world.cluster.children["NetworkPolicy", name]["spec"] for name in policies(world)
    )
    ports = [{"protocol": "TCP", "port": 30000}]
    stable, canary = egress["podSelector"], ingress["podSelector"]
    assert stable["matchLabels"]["llmdeployment.dev/runtime"] == old
    assert canary["matchLabels"]["llmdeployment.dev/runtime"] == new
    assert egress["egress"] == [{"to": [{"podSelector": canary}], "ports": ports}]
    assert ingress["ingress"] == [{"from": [{"podSelector": stable}], "ports": ports}]
    assert (egress["policyTypes"], ingress["policyTypes"]) == (["Egress"], ["Ingress"])
    count(world, compared=100, agreement=90_000)
    world.step()
    assert policies(world) == []


def test_where_pods_may_call_everywhere_no_policy_narrows_that() -> None:
    world = serving_world()
    world.settings = replace(world.settings, runtime_egress="Open")
    world.edit(rollout=CANARY)
    world.settle()
    world.edit(engine={"name": "simulated", "args": {"seed": 7}})
    world.step()
    old, new = world.runtimes()
    world.pods(*pods_of(old), *pods_of(new), GATEWAY)
    world.serve(new, replicas=2)
    for _ in range(3):
        world.step()
    assert policies(world) == ["simulated-r2-of-1-shadowed"]


# What replicas counted, the words of the message.
REFUSED = {
    "differs": (
        {"compared": 100, "agreement": 61_000, "identical": 3},
        "Its answers to 100 live requests agree with those of revision 1 by 61.0 %",
    ),
    "fails": (
        {"compared": 90, "failed": 10, "agreement": 90_000},
        "It failed 10 of 100 live requests that it was asked too (10.0 %)",
    ),
    "refuses": (
        {"compared": 100, "agreement": 90_000, "shares": {"refusal": PairedShare(100, 0, 30, 0)}},
        "Share refusal: 30 of its answers to 100 live requests, and 0 of revision 1.",
    ),
}


@pytest.mark.parametrize(("counts", "words"), REFUSED.values(), ids=REFUSED)
def test_a_revision_is_rolled_back(counts: Object, words: str) -> None:
    world = shadowed_world()
    count(world, **counts)
    assert split(world) == STABLE_ALONE
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    said = message(world, "Degraded")
    assert words in said
    assert "or try again with the annotation llmdeployment.dev/retry: 2/1" in said
    world.settle()
    assert all(rows == [] for rows in shadows(world).values())
    assert recorded(world) == {}
    # Another try is asked anew.
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.step()
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Shadowing")
    assert recorded(world)["compared"] == 0


def test_too_little_traffic_does_not_hold_a_rollout_for_ever() -> None:
    world = shadowed_world()
    count(world, compared=9, agreement=0)
    world.now += timedelta(seconds=3599)
    world.step()
    assert split(world) == STABLE_ALONE
    world.now += timedelta(seconds=1)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert recorded(world)["result"] == "TimedOut"
    world.gateway_applies(up=2)
    world.settle()
    assert "Shadow: 9 of 100 requests, agreement 0.0 %. These are too few" in message(world)


def test_when_time_is_up_what_there_is_decides() -> None:
    world = shadowed_world()
    count(world, compared=10, agreement=7_000)
    world.now += timedelta(seconds=3600)
    world.step()
    assert conditions(world)["Degraded"] == ("True", "RolledBack")


def test_settings_that_are_on_their_way_do_not_end_the_shadow() -> None:
    world = shadowed_world()
    (runtime,) = world.runtimes()
    told = shadows(world)
    # Ray Serve is not at rest for a moment after it was told, so nobody knows that the canary's replicas are ready.
    world.serve(runtime, status="DEPLOYING")
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Canary")
    assert shadows(world) == told
    world.serve(runtime, status="RUNNING")
    count(world, compared=5, agreement=5_000)
    assert conditions(world)["Progressing"] == ("True", "Shadowing")
    assert recorded(world)["compared"] == 5


def test_a_pause_stops_it_and_loses_nothing() -> None:
    world = shadowed_world()
    count(world, compared=50, agreement=50_000)
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/pause": "2"}
    count(world, compared=7, agreement=7_000)
    assert conditions(world)["Progressing"] == ("True", "CanaryPaused")
    assert all(rows == [] for rows in shadows(world).values())
    world.raw["metadata"]["annotations"] = {}
    world.step()
    assert recorded(world)["compared"] == 57
    assert conditions(world)["Progressing"] == ("True", "Shadowing")


def test_who_promotes_has_the_last_word() -> None:
    world = shadowed_world()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.step()
    assert split(world) == [(2, 10_000)]
    world.gateway_applies(up=2)
    world.settle()
    assert all(rows == [] for rows in shadows(world).values())


def test_a_shadow_that_is_not_asked_for_any_more_ends() -> None:
    world = shadowed_world()
    count(world, compared=5, agreement=5_000)
    world.edit(rollout={key: value for key, value in CANARY.items() if key != "shadow"})
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert recorded(world) == {}


def test_the_golden_set_comes_first() -> None:
    world = scored_world(shadow=SHADOW)
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    assert EVALUATION["timeoutSeconds"] == 300
    assert all(rows == [] for rows in shadows(world).values())
    answers(world, 2, 95)
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Shadowing")
    count(world, compared=100, agreement=90_000)
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_another_edit_ends_the_shadow_of_the_canary_before() -> None:
    world = shadowed_world()
    count(world, compared=50, agreement=50_000)
    world.edit(prompt={"system": "Whisper."})
    for _ in range(3):
        world.step()
    assert [row["revision"] for rows in shadows(world).values() for row in rows] == ["3"]
    assert recorded(world)["compared"] == 0


def test_arms_have_shadows_of_their_own() -> None:
    world = serving_world()
    arms = [
        {"name": "one", "weight": 50, "overrides": {"prompt": {"system": "One."}}},
        {"name": "two", "weight": 50, "overrides": {"prompt": {"system": "Two."}}},
    ]
    world.edit(rollout=CANARY, arms=arms)
    for _ in range(6):
        world.step()
        world.obey()
    world.settle()
    numbers = {arm["name"]: arm["stable"] for arm in world.status["arms"]}
    world.edit(
        arms=[{**arm, "overrides": {"prompt": {"system": "New."}}} for arm in arms[:1]] + arms[1:]
    )
    world.step()
    world.step()
    (rows,) = (rows for rows in shadows(world).values() if rows)
    assert [row["stable"] for row in rows] == [str(numbers["one"])]


def test_a_shadow_outlives_the_progress_deadline() -> None:
    world = shadowed_world()
    (runtime,) = world.runtimes()
    for _ in range(3):
        world.now += timedelta(seconds=1000)
        world.step()
    # Half an hour without a step is no lack of progress while answers are compared.
    world.serve(runtime, status="DEPLOYING")
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Canary")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")


def plan(**changed: Any) -> RolloutStep:
    """Return the move of a canary whose replicas are ready, unless something is changed."""
    runtimes = {1: "0a0a0a0a", 2: "0b0b0b0b"}
    inputs = RolloutInputs(
        1, 2, 0, {1: 4, 2: 4}, {1: 4, 2: 4}, {1}, True, 4, runtimes=runtimes
    )  # because it is a field
    state = RolloutState(stable=1, canary=2, progress_at=NOW)
    policy = RolloutSpec.model_validate(CANARY)
    return plan_step(policy, replace(inputs, **changed), state, Commands(), NOW)


def test_replicas_of_an_api_elsewhere_cast_no_shadow() -> None:
    assert casts_shadow(plan(), 2)
    assert plan().weight == 0
    step = plan(runtimes={1: "x1a2b3c4", 2: "0b0b0b0b"})
    assert not casts_shadow(step, 2)
    assert (step.weight, step.state.shadow) == (10, None)


def test_a_canary_of_no_replicas_is_awaited() -> None:
    step = plan(replicas=0, ready={1: 0, 2: 0}, alive={1: 0, 2: 0})
    assert step.stage is not None
    assert (
        step.stage.message == "The shadow of revision 2 waits until one of its replicas is ready."
    )
    assert step.state.shadow is None
    assert not casts_shadow(step, 2)


def test_a_canary_that_has_requests_is_not_shadowed() -> None:
    step = plan()
    assert not casts_shadow(replace(step, weight=1), 2)
    assert not casts_shadow(step, 3)
    assert not casts_shadow(replace(step, canary=None), 2)


def test_a_status_that_was_lost_costs_the_counts_and_no_request() -> None:
    world = shadowed_world()
    count(world, compared=99, agreement=99_000)
    (arm,) = world.cluster.status.arms
    world.observe(status=world.cluster.status.model_copy(update={"arms": ()}))
    world.step()
    assert split(world) == STABLE_ALONE
    assert recorded(world)["compared"] == 0
    assert arm.shadow is not None
    odd = arm.model_copy(
        update={"shadow": arm.shadow.model_copy(update={"result": "Of another version"})}
    )
    world.observe(status=world.cluster.status.model_copy(update={"arms": (odd,)}))
    world.step()
    assert split(world) == STABLE_ALONE
