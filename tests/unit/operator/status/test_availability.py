"""Available says whether requests are answered at all; Ready, whether the newest spec is fully rolled out."""

from tests.support.stories import GATEWAY, conditions, message, pods_of, serving_world
from tests.support.world import NOW, World, pod, sample

from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.build import refuse


def test_before_the_first_replica_nobody_answers() -> None:
    world = World(sample("simulated"))
    world.step()
    assert conditions(world)["Available"] == ("False", "StartingRay")
    assert message(world, "Available") == message(world, "Ready")


def test_what_serves_is_available() -> None:
    world = serving_world()
    assert conditions(world)["Available"] == ("True", "Serving")
    assert message(world, "Available") == "Requests are answered by 2 ready replicas."


def test_while_a_new_revision_comes_up_the_old_one_answers() -> None:
    world = serving_world()
    world.edit(model={"source": "file:///another"})
    world.settle()
    assert conditions(world)["Ready"][0] == "False"
    assert conditions(world)["Available"] == ("True", "Serving")


def test_without_a_ready_replica_nobody_answers_and_the_reason_is_that_of_ready() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    head, *_ = pods_of(runtime)
    world.pods(head, pod("worker", "w", runtime, conditions=[]), GATEWAY)
    world.step()
    assert conditions(world)["Available"][0] == "False"
    assert conditions(world)["Available"][1] == conditions(world)["Degraded"][1] or (
        conditions(world)["Available"][1] == conditions(world)["Progressing"][1]
    )


def test_a_gateway_that_reaches_no_replica_answers_nobody() -> None:
    world = serving_world()
    world.gateway_applies(up=0)
    world.step()
    assert conditions(world)["Available"] == ("False", "StartingGateway")


def test_where_no_gateway_says_anything_it_is_not_known() -> None:
    world = serving_world()
    world.observe(gateways=())
    world.step()
    assert conditions(world)["Available"] == ("Unknown", "GatewaySilent")


def test_without_a_ready_replica_a_silent_gateway_changes_nothing() -> None:
    world = serving_world()
    (runtime,) = world.runtimes()
    head, *_ = pods_of(runtime)
    world.pods(head, pod("worker", "w", runtime, conditions=[]), GATEWAY)
    world.observe(gateways=())
    world.step()
    assert conditions(world)["Available"][0] == "False"


def test_of_a_refused_spec_it_is_not_known() -> None:
    world = serving_world()
    plan = refuse(2, Finding(Reason.INVALID_SPEC, "spec.model: x"), world.cluster.status, NOW)
    assert plan.status is not None
    found = {c.type: (c.status, c.reason) for c in plan.status.conditions}
    assert found["Available"] == ("Unknown", "InvalidSpec")
    assert found["Degraded"] == ("Unknown", "InvalidSpec")


def test_where_no_controller_answers_for_the_route_it_is_not_known() -> None:
    world = serving_world()
    world.edit(gateway={"mode": "HTTPRoute", "httpRoute": {"parentRefs": [{"name": "public"}]}})
    world.step()
    world.step()
    assert conditions(world)["Available"] == ("Unknown", "GatewaySilent")
    world.route_answers()
    world.settle()
    assert conditions(world)["Available"] == ("True", "Serving")


def test_every_arm_must_be_answered() -> None:
    world = serving_world()
    other = {"model": {"source": "file:///b"}}
    arms = [{"name": "a", "weight": 50}, {"name": "b", "weight": 50, "overrides": other}]
    world.edit(arms=arms)
    for _ in range(6):
        world.step()
        world.obey()
    world.settle()
    assert conditions(world)["Available"] == ("True", "Serving")
    first, second = world.runtimes()
    world.pods(*pods_of(first), pod("head", "h", second), GATEWAY)
    world.gateway_applies()
    world.step()
    assert conditions(world)["Available"][0] == "False"
