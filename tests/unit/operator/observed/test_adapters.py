"""Adapters, as the whole plan treats them: on which pods, and when a revision with them has requests."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.stories import conditions, message, split
from tests.support.world import World, sample

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.revisions import Revision, extract_template, hash_runtime
from llmdeployment_operator.plan.observed import adapters
from llmdeployment_operator.plan.observed.ray_serve import build_serve_config
from llmdeployment_operator.plan.observed.stats import read_adapters
from llmdeployment_serving.config import ServingConfig, UserConfig
from llmdeployment_serving.config import parse as parse_serving

PUT = json.loads(Path("tests/data/serving/put.json").read_text())
SOURCE = "hf://a/b"
LEGAL, LEGAL_2, TERSE = (
    {"name": name, "source": f"pvc://team/{path}"}
    for name, path in (("legal", "legal/1"), ("legal", "legal/2"), ("terse", "terse"))
)
ELSEWHERE = {"name": "legal", "source": "pvc://other/legal"}
CANARY = {"strategy": "Canary", "steps": [{"weight": 10, "pause": {}}]}
WHY = "LoRA rank 128 is greater than max_lora_rank 64."


def with_adapters(*found: dict[str, str], source: str = SOURCE) -> dict[str, Any]:
    return {"source": source, "adapters": list(found)}


def obey(world: World, **states: str) -> None:
    """Let everything be done that is asked, adapters become what `states` says (else loaded), and the operator ask whom it would."""
    world.obey()
    asked = adapters.find_runtimes_to_ask(world.cluster, world.raw["metadata"]["generation"])
    said: dict[str, dict[int, dict[str, str]]] = {}
    for pod in world.cluster.pods:
        labels = pod["metadata"]["labels"]
        runtime = labels.get("llmdeployment.dev/runtime")
        if runtime in asked and labels["llmdeployment.dev/component"] == "worker":
            said[pod["metadata"]["name"]] = read_adapters(stats(world, runtime, states))
    world.observe(adapters=said)


def stats(world: World, runtime: str, states: dict[str, str]) -> dict[str, Any]:
    """Return the part of a replica's `/stats` that is about adapters, for what its Ray Serve was told."""
    state = world.cluster.serve[runtime]
    ((told,),) = (
        (state.config or {"deployments": [{"user_config": {"revisions": {}}}]})["deployments"],
    )
    return {
        "revisions": {
            number: {
                "adapters": {a["name"]: states.get(a["name"], "loaded") for a in row["adapters"]}
            }
            for number, row in told["user_config"]["revisions"].items()
            if "adapters" in row
        }
    }


def rest(world: World, **states: str) -> None:
    for _ in range(12):
        world.step()
        obey(world, **states)
    world.settle()


@pytest.fixture
def world() -> World:
    """Revision 1, with an adapter, answers."""
    raw = sample("simulated")
    raw["spec"] |= {"model": with_adapters(LEGAL), "rollout": CANARY}
    world = World(raw)
    rest(world)
    assert conditions(world)["Ready"] == ("True", "Serving")
    return world


@pytest.mark.parametrize(
    "changed", [(LEGAL_2,), (LEGAL, TERSE), (TERSE,)], ids=["source", "one more", "another"]
)
def test_other_adapters_of_the_same_claims_are_a_revision_on_the_same_pods(
    world: World, changed: tuple[dict[str, str], ...]
) -> None:
    before = world.runtimes()
    world.edit(model=with_adapters(*changed))
    plan = world.step()
    assert (
        "differs from revision 1 in model.adapters. It runs in the same pods."
        in plan.events[0].message
    )
    rest(world)

    assert world.runtimes() == before
    assert split(world) == [(2, 1000), (1, 10000)]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ((ELSEWHERE,), "the claims that it mounts for adapters are other"),
        (
            (LEGAL, {**ELSEWHERE, "name": "x"}),
            "the claims that it mounts for adapters are other, team",
        ),
        (
            ({"name": "legal", "source": "file:///legal"},),
            "the claims that it mounts for adapters are none",
        ),
        (
            (LEGAL, {"name": "x", "source": "s3://adapters/x"}),
            "pods download adapters when they start",
        ),
        ((), "pods reserve room for adapters at their start"),
    ],
    ids=["another claim", "one more claim", "no claim", "a download", "none at all"],
)
def test_what_the_pods_do_not_have_takes_pods_of_its_own(
    world: World, changed: tuple[dict[str, str], ...], why: str
) -> None:
    world.edit(model=with_adapters(*changed))
    plan = world.step()

    (event,) = (event for event in plan.events if event.reason == "RevisionCreated")
    assert event.message.endswith(f"It needs pods of its own, because {why}.")
    assert len(world.runtimes()) == 2


def test_no_requests_go_where_adapters_are_still_being_loaded(world: World) -> None:
    world.edit(model=with_adapters(LEGAL_2))
    rest(world, legal="loading")
    assert split(world) == [(1, 10000)]
    assert message(world).startswith("Adapter legal of revision 2 is not loaded yet on 2 of 2")
    rest(world)

    assert split(world) == [(2, 1000), (1, 10000)]


def test_recreate_moves_no_request_before_the_adapters_are_there(world: World) -> None:
    (runtime,) = world.runtimes()
    world.edit(model=with_adapters(LEGAL_2), rollout={"strategy": "Recreate"})
    world.step()
    assert split(world) == [(1, 10000)]  # Ray Serve was not told of it yet
    rest(world, legal="loading")
    assert split(world) == [(1, 10000)]
    assert message(world).startswith("Adapter legal of revision 2 is not loaded yet on 2 of 2")
    rest(world)

    assert split(world) == [(2, 10000)]
    assert world.runtimes() == [runtime]


def test_recreate_in_pods_of_its_own_ends_the_old_ones_first(world: World) -> None:
    world.edit(model=with_adapters(ELSEWHERE), rollout={"strategy": "Recreate"})
    world.step()
    assert split(world) == [(2, 10000)]  # a new replica is ready with its adapters, not before


def test_an_adapter_that_fails_is_named_and_its_revision_gets_nothing(world: World) -> None:
    world.edit(model=with_adapters(LEGAL, TERSE))
    rest(world, terse=f"failed: {WHY}")

    assert split(world) == [(1, 10000)]
    assert conditions(world)["Degraded"] == ("True", "AdapterFailed")
    assert message(world, "Degraded") == (
        f"Adapter terse of revision 2 cannot be loaded on 2 of 2 replicas. A replica says: {WHY} "
        "Correct spec.model.adapters or the files. The replicas try again every 30 s."
    )
    rest(world)
    assert split(world) == [(2, 1000), (1, 10000)]


def test_a_change_back_ends_the_trouble(world: World) -> None:
    world.edit(model=with_adapters(LEGAL, TERSE))
    rest(world, terse=f"failed: {WHY}")
    world.edit(model=with_adapters(LEGAL))
    rest(world, terse=f"failed: {WHY}")

    assert split(world) == [(1, 10000)]
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert conditions(world)["Degraded"] == ("False", "AsExpected")


def test_the_first_revision_answers_with_what_it_has_and_says_what_it_has_not() -> None:
    raw = sample("simulated")
    raw["spec"]["model"] = with_adapters(LEGAL)
    world = World(raw)
    rest(world, legal=f"failed: {WHY}")

    assert split(world) == [(1, 10000)]
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert conditions(world)["Degraded"] == ("True", "AdapterFailed")


def test_replicas_are_asked_while_something_is_on_its_way_and_left_alone_after(
    world: World,
) -> None:
    (runtime,) = world.runtimes()
    generation = world.raw["metadata"]["generation"]
    assert adapters.find_runtimes_to_ask(world.cluster, generation) == frozenset()
    assert adapters.find_runtimes_to_ask(world.cluster, generation + 1) == {runtime}


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"revisions": []},
        {"revisions": {"1": {"adapters": []}}},
        {"revisions": {"x": {"adapters": {}}}},
    ],
)
def test_stats_that_are_not_what_they_should_be_say_nothing(stats: dict[str, Any]) -> None:
    assert read_adapters(stats) == {}


def test_arms_may_have_adapters_of_their_own(world: World) -> None:
    other = {"model": {"adapters": [LEGAL_2]}}
    world.edit(arms=[{"name": "a", "weight": 50}, {"name": "b", "weight": 50, "overrides": other}])
    rest(world, legal="loading")
    assert conditions(world)["Progressing"] == ("True", "LoadingModel")
    rest(world)

    assert split(world) == [(1, 5000), (2, 10000)]
    assert len(world.runtimes()) == 1


def spec_of(model: dict[str, Any]) -> dict[str, Any]:
    raw = sample("simulated")
    raw["spec"]["model"] = model
    return raw


def test_what_serving_is_told_of_adapters_is_what_it_understands() -> None:
    model = with_adapters(
        LEGAL,
        {"name": "own", "source": "pvc://models/own"},
        {"name": "file", "source": "file:///opt/x"},
        source="pvc://models/llama",
    )
    raw = spec_of(model)
    template = extract_template(parse(raw))
    revision = Revision(3, "h", hash_runtime(template), template, {})
    (app,) = build_serve_config(parse(raw), (revision,), 1)["applications"]
    config = parse_serving(ServingConfig, app["args"])
    user = parse_serving(UserConfig, app["deployments"][0]["user_config"])

    assert config.adapters
    assert {a.name: a.path for a in user.revisions["3"].adapters} == {
        "legal": "/adapters/team/legal/1",
        "own": "/models/models/own",
        "file": "/opt/x",
    }


def test_the_claims_of_adapters_are_mounted_read_only_and_once(world: World) -> None:
    world.edit(model=with_adapters(LEGAL, TERSE, {**ELSEWHERE, "name": "x"}))
    world.step()
    runtime = world.runtimes()[-1]
    deployment = world.cluster.children["Deployment", f"simulated-{runtime}"]
    pod = deployment["spec"]["template"]["spec"]
    claims = [
        (volume["name"], volume["persistentVolumeClaim"])
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    mounts = [m for m in pod["containers"][0]["volumeMounts"] if m["name"].startswith("adapters")]

    assert claims == [
        ("adapters-1", {"claimName": "other", "readOnly": True}),
        ("adapters-2", {"claimName": "team", "readOnly": True}),
    ]
    assert mounts == [
        {"name": "adapters-1", "mountPath": "/adapters/other", "readOnly": True},
        {"name": "adapters-2", "mountPath": "/adapters/team", "readOnly": True},
    ]


def test_a_template_without_adapters_is_the_runtime_it_always_was() -> None:
    raw = spec_of({"source": SOURCE})
    template = extract_template(parse(raw))
    revision = Revision(1, "h", "r", template, {})
    (app,) = build_serve_config(parse(raw), (revision,), 1)["applications"]

    assert app["args"].keys() == PUT["applications"][0]["args"].keys()
