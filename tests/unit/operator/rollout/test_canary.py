"""A canary as the whole plan makes it: objects, routes, Serve and status together."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stories import (
    GATEWAY,
    conditions,
    message,
    pods_of,
    serving_world,
    split,
)
from tests.support.world import World, pod, sample

STEPS = [{"weight": 10, "pause": {"duration": "1m"}}, {"weight": 50, "pause": {}}]
ROLLOUT = {"strategy": "Canary", "steps": STEPS, "rollbackWindow": "2m"}


def edited_world() -> tuple[World, str, str]:
    """A world whose engine was changed, with the runtimes before and after."""
    world = serving_world()
    (old,) = world.runtimes()
    args = {**world.raw["spec"]["engine"]["args"], "seed": 2}
    world.edit(engine={"name": "simulated", "args": args}, rollout=ROLLOUT)
    events = {event.reason: event.message for event in world.step().events}
    assert events["RevisionCreated"] == (
        "Revision 2 differs from revision 1 in engine. It needs pods of its own."
    )
    (new,) = set(world.runtimes()) - {old}
    return world, old, new


def workers(world: World, runtime: str) -> int:
    deployment = world.cluster.children["Deployment", f"simulated-{runtime}"]
    return int(deployment["spec"]["replicas"])


def annotate(world: World, **commands: str) -> None:
    named = {f"llmdeployment.dev/{name}": value for name, value in commands.items()}
    world.raw["metadata"]["annotations"] = named


def answer(world: World, old: str, new: str, count: int) -> None:
    """Let the new runtime answer with so many replicas, and take two passes."""
    world.pods(*pods_of(old), *pods_of(new, workers=count), GATEWAY)
    world.serve(new)
    world.step()
    world.step()
    world.gateway_applies(up=2)
    world.step()


def promoted(world: World) -> list[int]:
    """Revisions in the order in which they came to serve."""
    rows = world.status["revisions"]
    at = {row["number"]: row["promotedAt"] for row in rows if "promotedAt" in row}
    return sorted(at, key=lambda number: at[number])


def test_a_model_is_changed_in_steps() -> None:
    world, old, new = edited_world()
    assert split(world) == [(1, 10_000)]
    assert (workers(world, old), workers(world, new)) == (2, 1)
    assert conditions(world)["Progressing"] == ("True", "StartingRay")

    answer(world, old, new, count=1)
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert world.status["traffic"] == "rev1 90% rev2 10%"
    assert conditions(world)["Progressing"] == ("True", "Canary")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    assert "until 2026-01-02T03:05:05Z" in message(world, "Progressing")
    assert world.plan().requeue_after == 2.0

    world.now += timedelta(minutes=1)
    world.step()
    (event,) = world.step().events
    assert (event.reason, event.message) == (
        "TrafficChanged",
        "The traffic changed from rev1 90% rev2 10% to rev1 50% rev2 50%.",
    )
    assert split(world) == [(2, 5000), (1, 10_000)]
    assert workers(world, new) == 1
    world.gateway_applies(up=2)
    world.step()
    assert conditions(world)["Progressing"] == ("True", "CanaryPaused")
    assert conditions(world)["Ready"] == ("False", "CanaryPaused")

    annotate(world, promote="2/2")
    world.step()
    world.step()
    assert (split(world), workers(world, new)) == ([(2, 5000), (1, 10_000)], 2)
    answer(world, old, new, count=2)
    world.serve(new, replicas=2)
    world.settle()
    assert split(world) == [(2, 10_000)]
    assert promoted(world) == [1, 2]
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert (workers(world, old), workers(world, new)) == (2, 2)
    assert world.plan().requeue_after == 120.0

    world.now += timedelta(minutes=2)
    assert [gone.kind for gone in world.step().remove] == ["Deployment"]
    world.pods(*pods_of(new), GATEWAY)
    world.settle()
    assert world.runtimes() == [new]


def test_an_aborted_canary_gives_everything_back_and_its_pods_end() -> None:
    world, old, new = edited_world()
    answer(world, old, new, count=1)
    annotate(world, abort="2")
    world.step()
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    assert "Revision 1 serves. Revision 2 is aborted by the annotation" in message(
        world, "Degraded"
    )
    assert world.step().remove == ()  # the gateways still route by what they had
    world.gateway_applies(up=2)
    assert [gone.kind for gone in world.step().remove] == ["Deployment"]
    assert conditions(world)["Progressing"] == ("False", "RolledBack")
    world.pods(*pods_of(old), GATEWAY)
    assert world.settle().requeue_after is None
    assert promoted(world) == [1]

    annotate(world)
    world.step()
    assert workers(world, new) == 1


def test_going_back_while_warm_takes_effect_in_one_pass() -> None:
    world, old, new = edited_world()
    before = sample("simulated")["spec"]["engine"]
    annotate(world, promote="2")
    answer(world, old, new, count=2)
    assert split(world) == [(2, 10_000)]
    world.now += timedelta(seconds=1)
    world.edit(engine=before)
    world.step()
    assert split(world) == [(1, 10_000)]
    assert promoted(world) == [2, 1]
    assert conditions(world)["Ready"] == ("False", "StartingGateway")


def test_the_one_kept_warm_goes_when_the_one_that_serves_finds_no_node() -> None:
    world, old, new = edited_world()
    annotate(world, promote="2")
    answer(world, old, new, count=2)
    world.gateway_applies(up=2)
    world.settle()
    assert workers(world, old) == 2

    waiting = pod("worker", "w", new, conditions=[
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: 1 Insufficient cpu.",
         "lastTransitionTime": "2026-01-02T03:00:00Z"}])  # fmt: skip
    world.edit(replicas=3)
    world.pods(*pods_of(old, 2), *pods_of(new, 2), waiting, GATEWAY)
    plan = world.step()
    assert ("Deployment", f"simulated-{old}") in {(gone.kind, gone.name) for gone in plan.remove}
    assert conditions(world)["Progressing"] == ("True", "Unschedulable")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    # No node autoscaler takes so long.
    world.now += timedelta(minutes=15)
    world.step()
    assert conditions(world)["Degraded"] == ("True", "Unschedulable")


def test_a_pod_that_a_quota_forbids_is_named() -> None:
    world, old, new = edited_world()
    children = dict(world.cluster.children)
    quota = 'pods "simulated-x" is forbidden: exceeded quota: gpus'
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": quota,
    }
    for runtime in (old, new):
        deployment = children["Deployment", f"simulated-{runtime}"]
        children["Deployment", f"simulated-{runtime}"] = {
            **deployment,
            "status": {"conditions": [failed]},
        }
    world.observe(children=children)
    world.pods(*pods_of(old, 1), pod("head", "h", new), GATEWAY)
    world.serve(new)
    world.step()
    assert conditions(world)["Degraded"] == ("True", "FailedCreate")
    assert quota in message(world, "Degraded")


def test_a_prompt_goes_in_steps_on_the_same_pods() -> None:
    world = serving_world()
    world.edit(prompt={"system": "Shout."}, rollout=ROLLOUT)
    world.step()
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert len(world.runtimes()) == 1
    world.gateway_applies(up=2)
    world.step()
    assert world.status["traffic"] == "rev1 90% rev2 10%"
    rows = {row["number"]: row for row in world.status["revisions"]}
    assert [rows[number]["replicas"] for number in (1, 2)] == [2, 2]


def test_paused_by_the_spec_nothing_moves_and_the_status_does_not_say_so() -> None:
    world, old, new = edited_world()
    world.edit(paused=True)
    answer(world, old, new, count=1)
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Progressing"] == ("False", "Paused")
    assert world.status["traffic"] == "rev1 100%"
    world.edit(paused=False)
    answer(world, old, new, count=1)
    before = world.status["arms"]
    world.edit(paused=True)
    world.now += timedelta(minutes=5)
    world.settle()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert world.status["traffic"] == "rev1 90% rev2 10%"
    assert world.status["arms"] == before


def test_routes_that_somebody_takes_away_come_back_as_they_may_be() -> None:
    world, old, new = edited_world()
    children = dict(world.cluster.children)
    del children["ConfigMap", "simulated-routes"]
    world.observe(children=children)
    world.step()
    assert split(world) == [(1, 10_000)]
    assert workers(world, new) == 1
    assert workers(world, old) == 2


def test_one_that_is_rolled_back_says_what_it_lacked() -> None:
    world, old, new = edited_world()
    waiting = pod("worker", "w", new, conditions=[
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: 1 Insufficient nvidia.com/gpu.",
         "lastTransitionTime": "2026-01-02T03:00:00Z"}])  # fmt: skip
    world.pods(*pods_of(old), pod("head", "h", new), waiting, GATEWAY)
    world.serve(new)
    world.step()
    world.now += timedelta(minutes=30)
    world.step()
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    assert "Revision 2 was rolled back. 0 of 1 replicas were ready" in message(world, "Degraded")
    assert "Pod w is waiting for" in message(world, "Degraded")


def test_trouble_of_the_stable_one_is_not_hidden_by_a_rollout() -> None:
    world, old, new = edited_world()
    answer(world, old, new, count=1)
    broken = pod("worker", f"w-{old}-1", old, containerStatuses=[
        {"name": "ray", "ready": False, "restartCount": 3, "state": {"waiting": {}},
         "lastState": {"terminated": {"exitCode": 1, "message": "no memory"}}}])  # fmt: skip
    world.pods(*pods_of(old, workers=1), broken, *pods_of(new, workers=1), GATEWAY)
    world.step()
    assert conditions(world)["Degraded"] == ("True", "CrashLoop")


CHANGES = {
    "model": {"model": {"source": "file:///other"}},
    "prompt": {"prompt": {"system": "Shout."}},
    "back": {},
}


@settings(max_examples=30, deadline=None)
@given(
    crashes=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=30),
    changes=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3),
    window=st.sampled_from(["0s", "20s"]),
)
def test_wherever_the_operator_is_killed_a_rollout_ends_as_it_should(
    crashes: list[int | None], changes: list[str], window: str
) -> None:
    world = serving_world()
    original = {key: world.raw["spec"][key] for key in ("model", "prompt")}
    steps = [{"weight": 10, "pause": {"duration": "10s"}}, {"weight": 50}]
    world.edit(rollout={"strategy": "Canary", "steps": steps, "rollbackWindow": window})
    happenings = iter(crashes)
    for change in changes:
        world.edit(**{**original, **CHANGES[change]})
        for _ in range(12):
            live(world, next(happenings, None))
    for _ in range(40):
        live(world, None)
    world.settle()
    ((number, _),) = split(world)
    record = world.cluster.children["ControllerRevision", f"simulated-r{number}"]
    wanted = {**original, **CHANGES[changes[-1]]}
    assert {key: record["data"]["template"].get(key) for key in wanted} == wanted
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert len(world.runtimes()) == 1


def live(world: World, writes: int | None) -> None:
    """One pass, cut short after so many writes if it is a number, then the world does what it was told; nobody is sent astray."""
    if writes is None:
        world.step()
    else:
        world.crash(writes)
    ready = {p["metadata"]["labels"].get("llmdeployment.dev/runtime") for p in world.cluster.pods
             if p["metadata"]["labels"]["llmdeployment.dev/component"] == "worker"}  # fmt: skip
    for revision, _ in split(world):
        record = world.cluster.children["ControllerRevision", f"simulated-r{revision}"]
        assert record["metadata"]["labels"]["llmdeployment.dev/runtime"] in ready
    world.obey()
    world.now += timedelta(seconds=5)
