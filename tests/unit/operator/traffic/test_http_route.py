"""`spec.gateway.mode: HTTPRoute`: what is written, when it counts as applied, and changing from one front door to the other."""

import copy
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.stories import GATEWAY, conditions, message, pods_of, serving_world, split
from tests.support.world import NOW, World, sample

from llmdeployment_operator.api import gateway_api
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.traffic import http_route
from llmdeployment_serving.bodies import LIMIT_HEADER

GOLDEN = Path("tests/data/operator/httproute-canary.yaml")
ROUTE = ("HTTPRoute", "routed")
TWO = {"mode": "HTTPRoute", "httpRoute": {"parentRefs": [{"name": "a"}, {"name": "b"}]}}


def routed_world() -> World:
    """A world in which the first revision answers behind an HTTPRoute."""
    world = World(sample("httproute"))
    world.step()
    _ready(world)
    world.route_answers()
    world.settle()
    return world


def _ready(world: World, *others: dict[str, Any]) -> None:
    pods = [pod for runtime in world.runtimes() for pod in pods_of(runtime)]
    world.pods(*pods, *others)
    for runtime in world.runtimes():
        world.serve(runtime, replicas=2)
    world.step()


def find_rule(world: World, name: str = "routed") -> dict[str, Any]:
    """Return the first rule; the others differ in their paths alone, of which older releases of the Gateway API take 8."""
    rules = world.cluster.children["HTTPRoute", name]["spec"]["rules"]
    assert all(len(rule["matches"]) <= 8 for rule in rules)
    assert all(rule["backendRefs"] == rules[0]["backendRefs"] for rule in rules)
    paths = [match["path"]["value"] for rule in rules for match in rule["matches"]]
    assert sorted(paths) == sorted(http_route.PATHS)
    found: dict[str, Any] = rules[0]
    return found


def backends(world: World, name: str = "routed") -> list[tuple[str, int]]:
    """Revision (as the header has it) and weight."""
    rule = find_rule(world, name)
    return [
        (b["filters"][0]["requestHeaderModifier"]["set"][0]["value"], b["weight"])
        for b in rule["backendRefs"]
    ]


@pytest.mark.parametrize(("size", "limit"), [("32Mi", 2**25), ("1Mi", 2**20), ("256Mi", 2**28)])
def test_the_route_says_how_large_a_body_may_be_whatever_the_client_says(
    size: str, limit: int
) -> None:
    raw = copy.deepcopy(sample("httproute"))
    raw["spec"]["gateway"]["maxBodySize"] = size
    world = World(raw)
    world.step()
    rule = find_rule(world)
    (backend,) = rule["backendRefs"]
    headers = backend["filters"][0]["requestHeaderModifier"]["set"]
    found = {header["name"].encode(): header["value"] for header in headers}
    assert found[LIMIT_HEADER] == str(limit)


def test_a_route_stands_in_for_the_gateway() -> None:
    world = routed_world()
    children = world.cluster.children
    assert not [name for _, name in children if name == "routed-gateway"]
    assert ("Service", "routed") not in children
    assert backends(world) == [("1", 10000)]
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert "Users do not stay with an arm or a revision." in message(world, "Accepted")
    assert world.status["endpoint"] == "chat.example.com"
    assert world.plan().requeue_after == 30.0


def test_a_canary_moves_on_when_the_gateways_have_taken_up_its_weight() -> None:
    world = routed_world()
    world.edit(engine={"name": "simulated", "args": {"seed": 2}})
    world.step()
    _ready(world)
    world.step()
    assert backends(world) == [("2", 500), ("1", 9500)]
    assert split(world) == [(2, 500), (1, 10000)]
    live = world.cluster.children[ROUTE]
    shown = yaml.safe_dump(live["spec"], sort_keys=True, width=120)
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        GOLDEN.write_text(shown)
    assert shown == GOLDEN.read_text()

    world.step()
    assert "The gateways are applying 5 %" in message(world, "Progressing")
    world.route_answers(generation=2)
    world.step()
    assert "revision 2 gets 5 %. The step takes" in message(world, "Progressing")


def test_revisions_of_one_runtime_are_told_apart_by_the_header() -> None:
    world = routed_world()
    world.edit(prompt={"system": "Shout."})
    for _ in range(3):
        world.step()
    rule = find_rule(world)
    assert len({backend["name"] for backend in rule["backendRefs"]}) == 1
    assert backends(world) == [("2", 500), ("1", 9500)]


def _refusal(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "False", "reason": "NotAllowed", "message": "not from here"}


GOOD = [{"type": kind, "status": "True"} for kind in ("Accepted", "ResolvedRefs")]


@pytest.mark.parametrize(
    ("answer", "after", "reason", "words"),
    [
        (
            None,
            5,
            "StartingGateway",
            "No controller of Gateway a of namespace team has answered for HTTPRoute routed yet.",
        ),
        (None, 61, "RouteNotAccepted", "Check that the Gateway exists"),
        ([], 61, "StartingGateway", "Gateway a of namespace team has not applied the current"),
        (GOOD[:1], 61, "StartingGateway", "has not applied the current HTTPRoute"),
        (
            [{**c, "observedGeneration": 0} for c in GOOD],
            61,
            "StartingGateway",
            "current HTTPRoute",
        ),
        (
            [_refusal("Accepted"), GOOD[1]],
            5,
            "RouteNotAccepted",
            "Accepted is False (NotAllowed). It says: not from here.",
        ),
        ([GOOD[0], _refusal("ResolvedRefs")], 5, "RouteNotAccepted", "ResolvedRefs is False"),
        (GOOD, 61, None, ""),
    ],
)
def test_what_a_controller_says_is_a_finding(
    answer: list[dict[str, Any]] | None, after: int, reason: str | None, words: str
) -> None:
    world = World(sample("httproute"))
    world.edit(gateway=TWO)
    world.step()
    live = copy.deepcopy(world.cluster.children[ROUTE])
    live["metadata"] |= {"creationTimestamp": "2026-01-02T03:04:05Z", "generation": 1}
    if answer is not None:
        told = [{"observedGeneration": 1, **c} for c in answer]
        parents = live["spec"]["parentRefs"]
        live["status"] = {"parents": [{"parentRef": p, "conditions": told} for p in parents]}
    found = http_route.check_http_route(live, NOW + timedelta(seconds=after))
    assert (found and found.reason) == reason
    assert words in (found.message if found else "")
    assert (http_route.check_acceptance(live) is None) == (reason is None)


def test_every_gateway_has_to_answer() -> None:
    world = World(sample("httproute"))
    world.edit(gateway=TWO)
    world.step()
    world.route_answers()
    live = world.cluster.children[ROUTE]
    del live["status"]["parents"][1]
    found = http_route.check_acceptance(live)
    assert found is not None
    assert "Gateway b" in found.message


def test_a_refused_route_is_trouble_and_ends_in_ready() -> None:
    world = routed_world()
    world.route_answers(_refusal("Accepted"), generation=2)
    world.step()
    assert conditions(world)["Ready"] == ("False", "RouteNotAccepted")
    assert conditions(world)["Degraded"] == ("True", "RouteNotAccepted")


def test_a_backend_that_somebody_added_is_taken_out() -> None:
    world = routed_world()
    live = copy.deepcopy(world.cluster.children[ROUTE])
    live["spec"]["rules"][0]["backendRefs"].append({"name": "other", "port": 80, "weight": 1})
    world.observe(children={**world.cluster.children, ROUTE: live})
    assert [obj["kind"] for obj in world.plan().apply] == ["HTTPRoute"]


def policy_sources(world: World) -> list[str]:
    """Namespaces from which the policies let Gateways in."""
    return [
        source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for (kind, _), obj in world.cluster.children.items()
        if kind == "NetworkPolicy"
        for rule in obj["spec"]["ingress"]
        for source in rule.get("from", [])
        if "namespaceSelector" in source and "podSelector" not in source
    ]


def test_the_old_door_stays_until_the_new_one_routes_and_back() -> None:
    world = serving_world()
    gateway = {ref for ref in world.cluster.children if ref[1] == "simulated-gateway"}
    gateway |= {("Service", "simulated"), ("Secret", "simulated-gateway-feedback")}
    assert len(gateway) == 8
    before = copy.deepcopy(world.raw["spec"].get("gateway", {}))
    route = {"parentRefs": [{"name": "public", "namespace": "gateways"}]}
    world.edit(gateway={"mode": "HTTPRoute", "httpRoute": route})
    for _ in range(3):
        plan = world.step()
        assert plan.remove == ()
    assert gateway <= world.cluster.children.keys()
    assert backends(world, "simulated") == [("1", 10000)]
    assert policy_sources(world) == ["gateways"]
    assert conditions(world)["Ready"] == ("False", "StartingGateway")

    world.route_answers()
    gone = {(removal.kind, removal.name) for removal in world.step().remove}
    assert gone == gateway
    (runtime,) = world.runtimes()
    world.pods(*pods_of(runtime))
    world.observe(gateways=())
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert world.status["endpoint"] == ""

    world.edit(gateway=before)
    for _ in range(3):
        assert world.step().remove == ()
    assert gateway <= world.cluster.children.keys()
    assert policy_sources(world) == ["gateways"]  # it still leads requests here
    world.pods(*pods_of(runtime), GATEWAY)
    world.gateway_applies(up=2)
    plan = world.step()
    assert [(removal.kind, removal.name) for removal in plan.remove] == [("HTTPRoute", "simulated")]
    assert plan.requeue_after == 2.0
    world.settle()
    assert policy_sources(world) == []
    assert world.plan().requeue_after is None
    assert conditions(world)["Ready"] == ("True", "Serving")


def test_without_replicas_nobody_holds_requests() -> None:
    world = routed_world()
    world.edit(replicas=0)
    world.step()
    assert (
        message(world)
        == "spec.replicas is 0. The Gateway refuses requests. Raise spec.replicas to serve them."
    )


ERRORS = {
    "strategy": "Canary",
    "steps": [{"weight": 5}],
    "analysis": {"metrics": [{"name": "errorRate"}]},
}
VOTES = {**ERRORS, "analysis": {"metrics": [{"name": "feedback"}]}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"gateway": {"mode": "HTTPRoute"}}, gateway_api.HTTPROUTE_MISSING),
        ({"gateway": {**TWO, "mode": "Builtin"}}, gateway_api.HTTPROUTE_WITHOUT_MODE),
        ({"gateway": {**TWO, "apiKeysSecretRef": {"name": "k"}}}, gateway_api.KEYS_WITH_HTTPROUTE),
        ({"gateway": TWO, "rollout": ERRORS}, gateway_api.ERROR_RATE_WITH_HTTPROUTE),
        ({"gateway": TWO, "rollout": VOTES}, gateway_api.FEEDBACK_WITH_HTTPROUTE),
    ],
)
def test_what_has_no_effect_is_refused(spec: dict[str, Any], sentence: str) -> None:
    raw = sample("simulated")
    with pytest.raises(SpecError) as refused:
        parse({**raw, "spec": {**raw["spec"], **spec}})
    assert sentence in str(refused.value)
