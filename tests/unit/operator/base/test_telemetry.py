import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, sample

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.revisions import Revision, extract_template
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.base.telemetry import MARK, NO_COLLECTOR
from llmdeployment_operator.plan.observed.ray_serve import build_serve_config
from llmdeployment_operator.settings import SettingsError, plan_settings
from llmdeployment_serving.config import MonitoringConfig
from llmdeployment_serving.config import parse as parse_config

COLLECTED = replace(SETTINGS, otlp_endpoint="http://collector.otel:4318")
WITH_HEADERS = replace(COLLECTED, otlp_headers_secret="otlp")  # noqa: S106  # because it is a name
TRACES = {"samplePercent": 5, "slowerThan": "500ms"}


def first_world(traces: Any, settings: Settings, name: str = "simulated") -> World:
    raw = sample(name)
    if traces is not None:
        raw["spec"]["monitoring"] = {"traces": traces}
    world = World(raw, settings)
    world.settle()
    return world


def children(world: World, kind: str) -> list[Any]:
    return [obj for (each, _), obj in world.cluster.children.items() if each == kind]


def environment(world: World, container: str) -> dict[str, Any]:
    return {
        row["name"]: row.get("value", row.get("valueFrom"))
        for obj in children(world, "Deployment")
        for each in obj["spec"]["template"]["spec"]["containers"]
        if each["name"] == container
        for row in each["env"]
    }


def egress(world: World) -> set[int]:
    return {
        port["port"]
        for obj in children(world, "NetworkPolicy")
        for rule in obj["spec"].get("egress", ())
        for port in rule.get("ports", ())
    }


def telemetry(environment: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("OTEL_") or name == "LLMD_TRACES"
    }


@pytest.mark.parametrize("name", ["simulated", "external"])
def test_a_variable_of_the_user_stands_for_itself(name: str) -> None:
    raw = sample(name)
    given = {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "a=b"}
    raw["spec"]["engine"]["env"] = [given]
    world = World(raw, WITH_HEADERS)
    world.settle()
    rows = [
        row
        for obj in children(world, "Deployment")
        for each in obj["spec"]["template"]["spec"]["containers"]
        if each["name"] == "ray"
        for row in each["env"]
        if row["name"] == given["name"]
    ]
    assert rows == [given]


def test_replicas_of_an_older_release_are_told_of_nothing_that_they_refuse() -> None:
    raw = sample("simulated")
    raw["metadata"]["namespace"] = "team"
    raw["spec"]["monitoring"] = {
        "traces": TRACES,
        "outputPatterns": [{"name": "brand", "pattern": "acme"}],
    }
    container = {"name": "ray", "env": [MARK]}
    rendering = {"worker": {"template": {"spec": {"containers": [container]}}}}
    older = Revision(1, "h", "r", extract_template(parse(raw)), {})
    newer = replace(older, rendering=rendering)

    def tell(revision: Revision) -> set[str]:
        body = build_serve_config(parse(raw), (revision, replace(newer, number=2)), 1)
        config = body["applications"][0]["deployments"][0]["user_config"]
        return set(config["monitoring"])

    assert tell(newer) == {"outputPatterns", "traces"}
    assert tell(older) == {"outputPatterns"}


@pytest.mark.parametrize("name", ["simulated", "external"])
def test_without_a_collector_nobody_is_told_of_one(name: str) -> None:
    for traces in (None, TRACES):
        world = first_world(traces, SETTINGS, name)
        for container in ("ray", "agent", "haproxy"):
            assert telemetry(environment(world, container)) == {}
        assert 4318 not in egress(world)


@pytest.mark.parametrize("name", ["simulated", "external"])
def test_without_traces_gateways_and_policies_are_as_they_were(name: str) -> None:
    plain, collected = first_world(None, SETTINGS, name), first_world(None, COLLECTED, name)

    assert environment(plain, "agent") == environment(collected, "agent")
    assert egress(plain) == egress(collected)
    # So that traces can be turned on without new pods.
    assert telemetry(environment(collected, "ray")) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.otel:4318"
    }


def test_with_traces_gateways_replicas_and_engines_are_told() -> None:
    world = first_world(TRACES, WITH_HEADERS)
    headers = {"secretKeyRef": {"name": "otlp", "key": "headers", "optional": True}}
    address = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.otel:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": headers,
    }

    assert telemetry(environment(world, "ray")) == {**address, "LLMD_TRACES": "true"}
    for container in ("agent", "haproxy"):
        found = telemetry(environment(world, container))
        traces = json.loads(found.pop("LLMD_TRACES"))
        assert traces == {"samplePercent": 5, "slowerThanSeconds": 0.5}
        assert found == address
    assert 4318 in egress(world)


def test_replicas_of_an_api_elsewhere_read_a_file_that_they_understand() -> None:
    world = first_world(TRACES, COLLECTED, "external")
    (text,) = (
        obj["data"]["monitoring.json"]
        for obj in children(world, "ConfigMap")
        if "monitoring.json" in obj["data"]
    )
    found = parse_config(MonitoringConfig, json.loads(text)).traces

    assert found is not None
    assert (found.sample_percent, found.slower_than_seconds) == (5, 0.5)


def accepted(world: World) -> str:
    return next(c.message for c in world.cluster.status.conditions if c.type == "Accepted")


def test_traces_without_a_collector_are_said_to_have_no_effect() -> None:
    assert NO_COLLECTOR in accepted(first_world(TRACES, SETTINGS))
    for world in (first_world(TRACES, COLLECTED), first_world(None, SETTINGS)):
        assert NO_COLLECTOR not in accepted(world)


def test_the_sentence_makes_no_more_passes() -> None:
    world = first_world(TRACES, SETTINGS)
    plan = world.plan()

    assert plan.quiet
    assert plan.requeue_after == first_world(None, SETTINGS).plan().requeue_after


REQUIRED = {
    "LLMD_SERVING_IMAGE_GPU": "g",
    "LLMD_SERVING_IMAGE_CPU": "c",
    "LLMD_SERVING_IMAGE_SIMULATED": "s",
    "LLMD_GATEWAY_IMAGE": "gw",
    "LLMD_OPERATOR_NAMESPACE": "llm-system",
}


@pytest.mark.parametrize(
    "url",
    [
        "collector:4318",
        "grpc://collector:4317",
        "http://user:secret@collector",
        "http://collector/?key=secret",
        "http://collector:0",
        "http:// collector",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as caught:
        plan_settings({**REQUIRED, "OTEL_EXPORTER_OTLP_ENDPOINT": url})

    assert "secret" not in str(caught.value)


def test_the_address_is_read() -> None:
    assert plan_settings(REQUIRED).otlp_endpoint == ""
    found = plan_settings(
        {
            **REQUIRED,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com/team",
            "LLMD_OTLP_HEADERS_SECRET": "otlp",
        }
    )
    assert (found.otlp_endpoint, found.otlp_headers_secret) == (
        "https://otlp.example.com/team",
        "otlp",
    )
