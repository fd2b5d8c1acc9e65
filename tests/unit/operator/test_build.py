import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import (
    GATEWAY,
    conditions,
    message,
    pods_of,
    routed,
    serving_world,
)
from tests.support.world import World, pod, sample

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.pods import Capacity
from llmdeployment_operator.plan.build import POLL_SECONDS

ROUTES = ("ConfigMap", "simulated-routes")


def test_the_life_of_a_first_revision() -> None:
    world = World(sample("simulated"))
    assert len(world.step().apply) == 18
    (runtime,) = world.runtimes()
    assert conditions(world)["Progressing"] == ("True", "StartingRay")

    world.pods(pod("head", "h", runtime, conditions=[]), pod("worker", "w", runtime, conditions=[]))
    world.step()
    assert conditions(world)["Progressing"] == ("True", "StartingPods")

    world.pods(pod("head", "h", runtime), GATEWAY)
    world.serve(runtime, error="Ray Serve answers 503")
    plan = world.step()
    assert (plan.serve, plan.requeue_after) == ((), 2.0)

    world.serve(runtime, error="")
    (put,) = world.step().serve
    assert put.body["applications"][0]["deployments"][0]["num_replicas"] == 2
    assert world.step().serve == ()

    world.pods(*pods_of(runtime), GATEWAY)
    world.step()
    assert conditions(world)["Ready"] == ("False", "StartingGateway")
    assert world.status["ready"] == "2/2"

    world.gateway_applies(up=0)
    world.step()
    assert "reaches no replica" in message(world)
    assert world.status["traffic"] == ""

    world.gateway_applies(up=2)
    plan = world.step()
    assert conditions(world) == {
        "Accepted": ("True", "Accepted"),
        "Progressing": ("False", "Serving"),
        "Ready": ("True", "Serving"),
        "Degraded": ("False", "AsExpected"),
        "Stalled": ("False", "AsExpected"),
        "Available": ("True", "Serving"),
    }
    assert plan.requeue_after is None
    assert world.status["traffic"] == "rev1 100%"
    assert world.status["readyReplicas"] == 2


def test_a_prompt_is_declared_before_it_gets_traffic() -> None:
    world = serving_world()
    world.edit(prompt={"system": "Shout."})
    (runtime,) = world.runtimes()
    plan = world.plan()
    (put,) = plan.serve
    config = put.body["applications"][0]["deployments"][0]["user_config"]["revisions"]
    assert set(config) == {"1", "2"}
    assert {o["kind"] for o in plan.apply} == {"ControllerRevision"}
    world.step()
    assert routed(world) == 1
    world.step()
    assert routed(world) == 2
    assert world.runtimes() == [runtime]
    assert conditions(world)["Ready"][0] == "False"
    world.gateway_applies(up=2)
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert world.status["traffic"] == "rev2 100%"


def test_another_engine_takes_over_when_all_its_replicas_answer_and_the_old_one_drains() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    args = {**world.raw["spec"]["engine"]["args"], "seed": 2}
    world.edit(engine={"name": "simulated", "args": args}, rollout={"rollbackWindow": "0s"})
    world.step()
    (new,) = set(world.runtimes()) - {old}
    assert routed(world) == 1
    world.serve(new)
    world.pods(*pods_of(old), *pods_of(new, workers=1), GATEWAY)
    world.step()
    world.step()
    assert routed(world) == 1
    world.pods(*pods_of(old), *pods_of(new), GATEWAY)
    world.step()
    assert routed(world) == 2
    assert world.step().remove == ()  # the gateways still route by what they had

    world.gateway_applies(up=2)
    assert [gone.kind for gone in world.step().remove] == ["Deployment"]
    assert world.step().remove == ()  # its pods have not ended yet

    world.pods(*pods_of(new), GATEWAY)
    gone = [removal.kind for removal in world.step().remove]
    assert gone[0] == "Secret"
    assert set(gone) == {"Secret", "Service", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"}
    world.settle()
    assert world.runtimes() == [new]
    assert sum(kind == "ControllerRevision" for kind, _ in world.cluster.children) == 2


def test_the_gateway_is_told_of_replicas_that_take_another_number_of_requests() -> None:
    """While both runtimes serve, each Service has its own number; the default is not written."""
    world = serving_world()
    (old,) = world.runtimes()

    def told() -> Any:
        return json.loads(world.cluster.children[ROUTES]["data"]["routes.json"]).get(
            "replicaRequests"
        )

    assert told() is None
    engine = world.raw["spec"]["engine"]
    world.edit(engine={**engine, "maxOngoingRequests": 32})
    world.step()
    (new,) = set(world.runtimes()) - {old}
    assert told() is None
    world.serve(new)
    world.pods(*pods_of(old), *pods_of(new), GATEWAY)
    world.step()
    world.step()
    assert (routed(world), told()) == (2, {f"simulated-{new}": 32})


def test_going_back_uses_the_old_revision_again() -> None:
    world = serving_world()
    before = copy.deepcopy(world.raw["spec"]["prompt"])
    world.edit(prompt={"system": "Shout."})
    world.step()
    world.step()
    world.edit(prompt=before)
    world.step()
    assert routed(world) == 1
    assert sum(kind == "ControllerRevision" for kind, _ in world.cluster.children) == 2


def test_a_broken_new_revision_leaves_the_traffic_where_it_is() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    world.edit(engine={"name": "simulated", "args": {"fail-start": "no such flag"}})
    world.step()
    (new,) = set(world.runtimes()) - {old}
    waiting = pod("worker", "w", new, phase="Running", conditions=[{"type": "Ready", "status": "False"}],
                  containerStatuses=[{"name": "ray", "ready": False, "state": {"running": {}}}])  # fmt: skip
    world.pods(*pods_of(old), pod("head", "h", new), waiting, GATEWAY)
    world.serve(new)
    world.step()
    world.serve(
        new, status="DEPLOY_FAILED", message="no such flag", declared_at=world.now.timestamp()
    )
    world.step()
    assert routed(world) == 1
    assert conditions(world)["Degraded"] == ("True", "EngineFailed")
    assert message(world, "Degraded").startswith(
        "The engine fails in a replica. It says: no such flag."
    )
    assert world.plan().remove == ()


def test_a_first_revision_that_never_answered_gives_way_at_once() -> None:
    world = World(sample("simulated"))
    world.step()
    (old,) = world.runtimes()
    world.edit(engine={"name": "simulated", "args": {"seed": 5}})
    world.step()
    assert routed(world) == 2
    assert set(world.runtimes()) > {old}  # until a gateway says that it routes elsewhere


def test_scaling_down_keeps_pods_until_their_replicas_are_gone() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    world.edit(replicas=1)
    plan = world.step()
    (put,) = plan.serve
    assert put.body["applications"][0]["deployments"][0]["num_replicas"] == 1
    assert plan.apply == ()
    world.serve(runtime, replicas=1)
    (deployment,) = world.step().apply
    assert deployment["spec"]["replicas"] == 1


def test_a_pod_on_its_way_out_asks_for_no_second_one() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    going = pod("worker", "going", runtime)
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    world.pods(*pods_of(runtime), going, GATEWAY)
    world.serve(runtime, replicas=3)
    assert world.plan().apply == ()


@pytest.mark.parametrize(
    ("unplaced", "placed", "since", "told", "expected"),
    [
        (1, [], "2026-01-02T03:00:00Z", 600, ["w"]),
        (1, [], "2026-01-02T03:03:00Z", 600, []),  # it may still be joining
        (1, [], "2026-01-02T03:00:00Z", 60, []),  # Serve has only just been told
        (0, [], "2026-01-02T03:00:00Z", 600, []),  # nobody looks for a place
        (1, ["198.18.0.7"], "2026-01-02T03:00:00Z", 600, []),  # it holds one that starts
    ],
)
def test_a_worker_that_ray_gives_no_replica_to_is_made_anew(
    unplaced: int, placed: list[str], since: str, told: int, expected: list[str]
) -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    empty = pod(
        "worker",
        "w",
        runtime,
        podIP="198.18.0.7",
        conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": since}],
        containerStatuses=[
            {
                "name": "ray",
                "ready": False,
                "state": {"running": {"startedAt": "2026-01-02T02:00:00Z"}},
            }
        ],
    )
    empty["metadata"]["uid"] = "uid-of-the-pod"
    world.pods(pod("head", "h", runtime), empty, GATEWAY)
    declared_at = world.now.timestamp() - told
    world.serve(runtime, unplaced=unplaced, placed=frozenset(placed), declared_at=declared_at)
    assert [gone.name for gone in world.plan().remove] == expected


def test_no_replicas_is_rest_and_not_trouble() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    world.edit(replicas=0)
    world.step()
    # Ray Serve is asked for one, the least it takes; it is the pod that goes.
    (replica,) = world.cluster.serve[runtime].config["deployments"]
    assert replica["num_replicas"] == 1
    assert world.cluster.children["Deployment", f"simulated-{runtime}"]["spec"]["replicas"] == 0
    world.serve(runtime, status="DEPLOYING", replicas=1, unplaced=1)
    world.pods(pod("head", "h", runtime), GATEWAY)
    world.gateway_applies(up=0)
    plan = world.settle()
    assert plan.requeue_after is None
    assert conditions(world) == {
        "Accepted": ("True", "Accepted"),
        "Progressing": ("False", "ScaledToZero"),
        "Ready": ("True", "ScaledToZero"),
        "Degraded": ("False", "AsExpected"),
        "Stalled": ("False", "AsExpected"),
        "Available": ("False", "ScaledToZero"),
    }


def test_a_change_without_replicas_waits_for_some_however_long() -> None:
    world = serving_world()
    (old,) = world.runtimes()
    world.edit(replicas=0)
    world.settle()
    world.pods(pod("head", "h", old), GATEWAY)
    world.gateway_applies(up=0)
    world.edit(engine={"name": "simulated", "args": {"seed": 9}})
    for _ in range(4):
        plan = world.settle()
        assert conditions(world)["Ready"] == ("False", "ScaledToZero")
        world.now += timedelta(seconds=plan.requeue_after or 0)
    world.edit(replicas=2)
    world.settle()
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    (new,) = set(world.runtimes()) - {old}
    assert world.cluster.children["Deployment", f"simulated-{new}"]["spec"]["replicas"] == 2


def test_a_failed_start_is_tried_again_after_a_while() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    world.serve(runtime, status="DEPLOY_FAILED", declared_at=world.now.timestamp() - 200)
    assert world.plan().serve == ()
    world.serve(runtime, declared_at=world.now.timestamp() - 301)
    (put,) = world.step().serve
    assert put.body["applications"][0]["deployments"][0]["health_check_timeout_s"] == 30.001
    world.serve(runtime, declared_at=world.now.timestamp())
    assert world.plan().serve == ()


def test_a_resource_the_cluster_does_not_have_is_named_with_numbers() -> None:
    world = World(sample("gpu"))
    world.step()
    (runtime,) = world.runtimes()
    waiting = pod("worker", "w", runtime, conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "lastTransitionTime": "2026-01-02T03:00:00Z",
         "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}])  # fmt: skip
    waiting["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}}
    world.pods(pod("head", "h", runtime), waiting)
    world.observe(capacity={"nvidia.com/gpu": Capacity(total=4, taken=3, partial=False)})
    world.step()
    assert conditions(world)["Ready"] == ("False", "WaitingForGPU")
    assert "for 2 nvidia.com/gpu. 1 of the cluster's 4 are free." in message(world)


@pytest.mark.parametrize("name", ["simulated", "smollm2-cpu", "gpu"])
def test_a_second_pass_has_nothing_to_write(name: str) -> None:
    world = World(sample(name))
    world.step()
    assert world.plan().quiet


SPECS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            [
                {"source": "hf://org/name@main"},
                {"source": "pvc://models/a/b", "servedName": "a"},
                {"source": "file:///opt/model"},
            ]
        )
    },
    optional={
        "engine": st.sampled_from(
            [{"name": "vllm", "args": {"max-model-len": 1}}, {"name": "simulated"}]
        ),
        "prompt": st.sampled_from(
            [{}, {"system": "Be brief."}, {"defaults": {"temperature": 0.5}}]
        ),
        "resources": st.sampled_from(
            [{}, {"limits": {"nvidia.com/gpu": 1}}, {"limits": {"amd.com/gpu": 2}}]
        ),
        "replicas": st.integers(0, 3),
        "paused": st.just(False),
        "revisionHistoryLimit": st.integers(0, 2),
        "podTemplate": st.sampled_from(
            [
                {"metadata": {"labels": {"team": "a"}}},
                {"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]}},
            ]
        ),
        "gateway": st.sampled_from([{}, {"replicas": 1}, {"hold": {"seconds": 5}}]),
    },
)


@settings(max_examples=150, deadline=None)
@given(first=SPECS, second=SPECS, ready=st.booleans())
def test_whatever_is_asked_for_the_writing_ends_and_nothing_serving_is_lost(
    first: dict[str, Any], second: dict[str, Any], *, ready: bool
) -> None:
    world = World(sample("simulated"))
    world.raw["spec"] = first
    world.step()
    if ready:
        (runtime,) = world.runtimes()
        world.pods(*pods_of(runtime, first.get("replicas", 1)), GATEWAY)
        world.serve(runtime)
        world.step()
        world.gateway_applies()
    world.settle()
    before = routed(world)
    world.raw = {**world.raw, "spec": second}
    world.settle()
    assert world.plan().quiet
    revision = routed(world)
    record = world.cluster.children["ControllerRevision", f"simulated-r{revision}"]
    runtime = names.runtime_of(record)
    assert ("Deployment", f"simulated-{runtime}") in world.cluster.children
    if ready and first.get("replicas", 1) > 0 and runtime not in world.cluster.serve:
        raise AssertionError(
            f"revision {before} answered and lost its traffic to one that does not"
        )


def test_whoever_sends_no_events_is_asked_until_the_last_pod_too_many_is_gone() -> None:
    world = serving_world()
    assert world.plan().requeue_after is None
    (runtime,) = world.runtimes()
    extra = pod("worker", "one-too-many", runtime)
    world.pods(*world.cluster.pods, extra)
    assert world.plan().requeue_after == POLL_SECONDS
