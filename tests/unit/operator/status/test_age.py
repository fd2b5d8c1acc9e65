"""A condition's message says how long it has lasted."""

from datetime import timedelta

from tests.support.stories import message
from tests.support.world import World, pod, sample


def test_a_message_is_written_again_when_its_age_changes() -> None:
    world = World(sample("simulated"))
    world.step()
    (runtime,) = world.runtimes()
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "lastTransitionTime": "2026-01-02T03:00:00Z",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }
    world.pods(pod("head", "h", runtime, phase="Pending", conditions=[unscheduled]))
    plan = world.step()
    assert message(world).endswith("This has taken 4 min so far.")
    assert plan.requeue_after == 55.0
    world.now += timedelta(seconds=54)
    assert world.plan().status is None
    world.now += timedelta(seconds=1)
    assert world.step().status is not None
    assert message(world).endswith("This has taken 5 min so far.")
