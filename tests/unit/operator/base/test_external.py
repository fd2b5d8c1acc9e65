"""An API somewhere else as an engine: what the plan makes of it, and of an A/B test with it."""

import json
from typing import Any

import pytest
from tests.support.world import World, pod, sample

from llmdeployment_operator.api.external import (
    BOTH,
    KEY_IN_CLEAR,
    LONG_PROMPT,
    NO_ACCELERATORS,
    NO_ADAPTERS,
)
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.external import build_proxy_container, is_external
from llmdeployment_operator.plan.base.revisions import extract_template, hash_runtime
from llmdeployment_operator.plan.observed.readiness import check_runtime
from llmdeployment_serving.config import MonitoringConfig, ServingConfig
from llmdeployment_serving.config import parse as parse_serving

API = {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": {"name": "k"}}
ENGINE = {"name": "external", "external": API}
ADAPTERS = [{"name": "legal", "source": "file:///legal"}]


def external(**spec: Any) -> dict[str, Any]:
    raw = sample("external")
    raw["spec"].update(spec)
    return raw


def with_arm(overrides: dict[str, Any]) -> dict[str, Any]:
    raw = sample("gpu")
    raw["spec"]["arms"] = [
        {"name": "ours", "weight": 50},
        {"name": "theirs", "weight": 50, "overrides": overrides},
    ]
    return raw


def runtime(raw: dict[str, Any]) -> str:
    return hash_runtime(extract_template(parse(raw)))


def worker(world: World) -> dict[str, Any]:
    (made,) = world.runtimes()
    deployment = world.cluster.children["Deployment", f"external-{made}"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_no_head_no_ray_no_declaration() -> None:
    world = World(external())
    world.step()
    (made,) = world.runtimes()
    assert is_external(made)
    kinds = sorted(
        kind for (kind, _), obj in world.cluster.children.items() if names.runtime_of(obj) == made
    )
    assert kinds == [
        "ControllerRevision",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    ]
    assert world.cluster.tokens == {}
    world.obey()
    world.observe(serve={}, pods=tuple(p for p in world.cluster.pods if not head(p)))
    plan = world.settle()
    assert plan.serve == ()
    ready = next(c for c in world.status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["message"]) == (
        "True",
        "Revision 1 serves. 2 of 2 replicas are ready.",
    )
    assert world.status["traffic"] == "rev1 100%"


def head(found: dict[str, Any]) -> bool:
    return bool(found["metadata"]["labels"][names.COMPONENT] == "head")


def test_the_pod_has_the_configuration_and_a_reference_to_the_key() -> None:
    world = World(external(prompt={"system": "Say $(HOME), in 20 \N{EURO SIGN}."}))
    world.step()
    container = worker(world)
    assert (container["name"], container["args"]) == ("ray", ["external"])
    env = {entry["name"]: entry for entry in container["env"]}
    assert env["LLMD_EXTERNAL_API_KEY"]["valueFrom"] == {
        "secretKeyRef": {"name": "example-api", "key": "api-key"}
    }
    text = env["LLMD_SERVING_CONFIG"]["value"]
    assert "$(" not in text
    config = parse_serving(ServingConfig, json.loads(text))
    assert config.served_name == "external"
    there = config.engine.external
    assert there is not None
    assert (there.base_url, there.model, there.timeout_seconds) == (
        "https://api.example.com/v1",
        "example-model-large",
        300,
    )
    assert there.prompt.system == "Say $(HOME), in 20 \N{EURO SIGN}."
    assert not [name for name in env if name.startswith("RAY_")]


@pytest.mark.parametrize(("asked", "told"), [(256, False), (32, True)])
def test_the_pod_is_told_how_many_requests_it_takes_if_that_is_not_its_default(
    asked: int, *, told: bool
) -> None:
    raw = external(engine={**external()["spec"]["engine"], "maxOngoingRequests": asked})
    env = {entry["name"]: entry for entry in build_proxy_container(parse(raw))["env"]}
    document = json.loads(env["LLMD_SERVING_CONFIG"]["value"])
    assert ("maxOngoingRequests" in document) is told
    assert parse_serving(ServingConfig, document).max_ongoing_requests == asked


def test_without_a_key_and_with_resources_of_ones_own() -> None:
    api = {"baseURL": "http://vllm.team.svc:8000/v1"}
    raw = external(
        engine={"name": "external", "external": api, "env": [{"name": "A", "value": "b"}]},
        resources={"requests": {"cpu": "1"}},
    )
    container = build_proxy_container(parse(raw))
    assert container["resources"] == {"requests": {"cpu": "1"}}
    assert [e["name"] for e in container["env"]] == ["HOME", "LLMD_SERVING_CONFIG", "A"]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": {"system": "Another."}},
        {"model": {"source": "external://another"}},
        {"engine": ENGINE},
        {"engine": external()["spec"]["engine"] | {"maxOngoingRequests": 32}},
        {"resources": {"requests": {"cpu": "1"}}},
    ],
)
def test_every_template_field_takes_other_pods(change: dict[str, Any]) -> None:
    assert runtime(external()) != runtime(external(**change))
    assert runtime(external(replicas=7)) == runtime(external())


BRAND = {"name": "brand", "pattern": "(?i)acme $(HOME) \N{EURO SIGN}"}


def patterns_of(world: World) -> dict[str, Any] | None:
    """Return what the pods' ConfigMap says, or None if there is none."""
    found = world.cluster.children.get(("ConfigMap", "external-patterns"))
    return None if found is None else dict(json.loads(found["data"]["monitoring.json"]))


def test_patterns_come_change_and_go_without_other_pods() -> None:
    world = World(external())
    settled(world)
    pods = world.cluster.children["Deployment", f"external-{world.runtimes()[0]}"]
    assert patterns_of(world) is None
    for patterns in ([BRAND], [BRAND, {"name": "b", "pattern": "x"}], []):
        world.edit(monitoring={"outputPatterns": patterns})
        settled(world)
        wanted = {"outputPatterns": patterns} if patterns else None
        assert patterns_of(world) == wanted
        assert parse_serving(MonitoringConfig, wanted or {}) is not None
        (made,) = world.runtimes()
        assert world.cluster.children["Deployment", f"external-{made}"]["spec"] == pods["spec"]
        assert world.status["traffic"] == "rev1 100%"


def test_the_pod_reads_the_patterns_where_the_config_map_is_mounted() -> None:
    world = World(external(monitoring={"outputPatterns": [BRAND]}))
    world.step()
    (made,) = world.runtimes()
    template = world.cluster.children["Deployment", f"external-{made}"]["spec"]["template"]
    (volume,) = (v for v in template["spec"]["volumes"] if "configMap" in v)
    made_of = volume["configMap"]
    assert (made_of, world.cluster.children["ConfigMap", made_of["name"]]["data"].keys()) == (
        {"name": "external-patterns", "optional": True},
        {"monitoring.json"},
    )
    (mount,) = (m for m in worker(world)["volumeMounts"] if m["name"] == volume["name"])
    (path,) = (e["value"] for e in worker(world)["env"] if e["name"] == "LLMD_MONITORING")
    assert path == f"{mount['mountPath']}/monitoring.json"


def test_replicas_under_ray_have_no_such_config_map() -> None:
    raw = sample("simulated")
    raw["spec"]["monitoring"] = {"outputPatterns": [BRAND]}
    world = World(raw)
    world.step()
    maps = [name for kind, name in world.cluster.children if kind == "ConfigMap"]
    assert maps == ["simulated-routes"]


def test_another_prompt_is_rolled_out_like_another_model() -> None:
    world = World(external())
    settled(world)
    (before,) = world.runtimes()
    world.edit(prompt={"system": "Another."})
    world.step()
    after = next(r for r in world.runtimes() if r != before)
    assert world.status["traffic"] == "rev1 100%"
    settled(world)
    assert world.status["traffic"] == "rev2 100%"
    assert after in world.runtimes()


def settled(world: World, passes: int = 8) -> None:
    for _ in range(passes):
        world.step()
        world.obey()
        world.observe(serve={}, pods=tuple(p for p in world.cluster.pods if not head(p)))


def test_fewer_replicas_are_fewer_pods_at_once() -> None:
    world = World(external(replicas=3))
    settled(world)
    world.edit(replicas=1)
    world.step()
    (made,) = world.runtimes()
    assert world.cluster.children["Deployment", f"external-{made}"]["spec"]["replicas"] == 1


def test_what_is_awaited() -> None:
    world = World(external())
    world.step()
    (made,) = world.runtimes()
    none = check_runtime(world.cluster, made, 2)
    assert none is not None
    assert (none.reason, none.message) == (
        "StartingPods",
        "0 of 2 replicas are ready. The others are starting.",
    )
    waiting = {"reason": "CreateContainerConfigError", "message": "couldn't find key api-key"}
    stuck = [{"name": "ray", "ready": False, "state": {"waiting": waiting}}]
    world.pods(pod("worker", "w-0", made, phase="Pending", containerStatuses=stuck))
    found = check_runtime(world.cluster, made, 2)
    assert found is not None
    assert found.reason == "PodConfigError"
    assert "couldn't find key api-key" in found.message


def test_an_arm_elsewhere_takes_over_the_prompt_and_nothing_of_the_engine() -> None:
    theirs = {"model": {"source": "external://big"}, "engine": ENGINE}
    raw = with_arm(theirs)
    raw["spec"]["model"]["tokenSecretRef"] = {"name": "hub"}
    raw["spec"]["model"]["adapters"] = ADAPTERS
    raw["spec"]["prompt"] = {"system": "Be brief."}
    spec = parse(raw).spec
    arm = spec.of_arm(spec.arms[1])
    assert arm.engine.name == "external"
    assert (arm.model.token_secret_ref, arm.model.adapters) == (None, ())
    assert (arm.resources.limits, arm.prompt.system) == (None, "Be brief.")
    ours = spec.of_arm(spec.arms[0])
    assert ours.resources.limits == spec.resources.limits
    assert ours.engine == spec.engine


def test_an_arm_here_beside_a_spec_elsewhere() -> None:
    raw = external()
    here = {"model": {"source": "hf://a/b"}, "engine": {"name": "vllm"}}
    raw["spec"]["arms"] = [
        {"name": "theirs", "weight": 90},
        {"name": "ours", "weight": 10, "overrides": here},
    ]
    spec = parse(raw).spec
    assert spec.of_arm(spec.arms[1]).engine.external is None


def test_an_ab_test_of_here_and_there_has_one_ray() -> None:
    theirs = {"model": {"source": "external://big"}, "engine": ENGINE}
    world = World(with_arm(theirs))
    world.step()
    heads = [name for kind, name in world.cluster.children if kind == "StatefulSet"]
    elsewhere = [made for made in world.runtimes() if is_external(made)]
    assert (len(heads), len(elsewhere), len(world.runtimes())) == (1, 1, 2)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"engine": {"name": "external"}}, BOTH),
        ({"engine": {"name": "vllm", "external": API}}, BOTH),
        ({"engine": {**ENGINE, "args": {"max-model-len": 1}}}, "which has no flags. Remove them."),
        ({"model": {"source": "hf://a/b"}}, "Set both or neither."),
        ({"engine": {"name": "simulated"}}, "Set both or neither."),
        ({"resources": {"limits": {"amd.com/gpu": "1"}}}, NO_ACCELERATORS),
        ({"parallelism": {"tensor": 2}}, "spec.parallelism cannot be set"),
        ({"prompt": {"defaults": {"x": "y" * 100_000}}}, LONG_PROMPT),
        ({"model": {"source": "external://a b"}}, "without spaces"),
        ({"model": {"source": "external://a", "adapters": ADAPTERS}}, NO_ADAPTERS),
    ],
)
def test_what_is_refused(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(external(**spec))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("url", "key", "sentence"),
    [
        ("https://api.example.com/v1", True, None),
        ("https://api.example.com:8443", True, None),
        ("https://name.openai.azure.example/openai/v1/", True, None),
        ("http://vllm", True, None),
        ("http://vllm.team.svc:8000/v1", True, None),
        ("http://vllm.team.svc.cluster.local/v1", True, None),
        ("http://api.example.com/v1", False, None),
        ("http://api.example.com/v1", True, KEY_IN_CLEAR),
        ("http://evil.svc/v1", True, KEY_IN_CLEAR),
        ("http://api.example.com/x.team.svc", True, KEY_IN_CLEAR),
        ("https://user:secret@api.example.com/v1", False, "without credentials"),
        ("https://api.example.com/v1?key=secret", False, "without credentials"),
        ("https://api.example.com/v1#secret", False, "without credentials"),
        ("https://api.example.com/../v1", False, "without credentials"),
        ("ftp://api.example.com", False, "must be https://host/path"),
        ("api.example.com/v1", False, "must be https://host/path"),
    ],
)
def test_base_urls(url: str, sentence: str | None, *, key: bool) -> None:
    api: dict[str, Any] = {"baseURL": url}
    if key:
        api["apiKeySecretRef"] = {"name": "k"}
    raw = external(engine={"name": "external", "external": api})
    if sentence is None:
        config = json.loads(build_proxy_container(parse(raw))["env"][1]["value"])
        there = parse_serving(ServingConfig, config).engine.external
        assert there is not None
        assert there.base_url == url
        return
    with pytest.raises(SpecError) as refused:
        parse(raw)
    assert sentence in str(refused.value)
