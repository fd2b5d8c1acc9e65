"""The request log as a story: what replicas are told, what their pods have, and what the condition says."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import SETTINGS, World, sample

from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.observed.request_log import RequestLogReport
from llmdeployment_operator.plan.status.request_log import LOG_SECONDS
from llmdeployment_serving.config import MonitoringConfig, UserConfig
from llmdeployment_serving.config import parse as parse_serving
from llmdeployment_serving.log_files import MOUNT

GOLDEN = Path("tests/data/operator/request-log.yaml")
CLAIM = {"sink": "PVC", "pvc": {"claimName": "logs", "subPath": "llm"}}
COLLECTOR = replace(SETTINGS, otlp_endpoint="http://collector.monitoring:4318")
WELL = {"pod-0": RequestLogReport(7, 0)}


def logged(log: Any, name: str = "simulated", settings: Settings = SETTINGS) -> World:
    """Return a world that serves with this log from the start."""
    raw = sample(name)
    raw["spec"]["monitoring"] = {"requestLog": log}
    return begin(World(raw, settings))


def begin(world: World) -> World:
    world.step()
    world.obey()
    world.observe(request_logs=WELL)
    world.settle()
    return world


def told(world: World) -> Any:
    """Return what a runtime's replicas are told to log."""
    (state,) = world.cluster.serve.values()
    assert state.config is not None
    user = state.config["deployments"][0]["user_config"]
    parse_serving(UserConfig, user)
    return user.get("monitoring", {}).get("requestLog")


def condition(world: World) -> tuple[str, str, str] | None:
    found = [each for each in world.status["conditions"] if each["type"] == "RequestLog"]
    return next(((c["status"], c["reason"], c["message"]) for c in found), None)


def worker(world: World) -> Any:
    (runtime,) = world.runtimes()
    return world.cluster.children["Deployment", f"{world.raw['metadata']['name']}-{runtime}"]


def agent(world: World) -> Any:
    name = f"{world.raw['metadata']['name']}-gateway"
    spec = world.cluster.children["Deployment", name]["spec"]["template"]["spec"]
    return next(each for each in spec["containers"] if each["name"] == "agent")


def test_nobody_is_told_of_what_nobody_asked_for() -> None:
    world = begin(World(sample("simulated"), replace(COLLECTOR, allow_content=True)))
    assert told(world) is None
    assert condition(world) is None
    everything = json.dumps(list(world.cluster.children.values()))
    assert "request-log" not in everything
    assert "REQUEST_LOG" not in everything
    ports = {
        port["port"]
        for policy in world.cluster.children.values()
        if policy["kind"] == "NetworkPolicy"
        for rule in policy["spec"].get("egress", ())
        for port in rule.get("ports", ())
    }
    assert 4318 not in ports


def test_metadata_is_told_and_said() -> None:
    world = logged({"samplePercent": 20})
    assert told(world) == {"level": "Metadata", "samplePercent": 20, "sink": "Stdout"}
    assert condition(world) == (
        "True",
        "LogWritten",
        "Metadata of 20 % of the requests goes to standard output of the replicas' pods.",
    )
    assert {"name": "LLMD_REQUEST_LOG", "value": "true"} in agent(world)["env"]
    assert world.plan().requeue_after == LOG_SECONDS


def test_content_is_logged_only_where_the_administrator_allows_it() -> None:
    log = {"level": "Content", "redact": [{"name": "case", "pattern": "C-[0-9]+"}]}
    refused = logged(log)
    assert told(refused)["level"] == "Metadata"
    status, reason, message = condition(refused) or ("", "", "")
    assert (status, reason) == ("False", "ContentNotAllowed")
    assert "requestLog.allowContent" in message
    ready = next(c for c in refused.status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    allowed = logged(log, settings=replace(SETTINGS, allow_content=True))
    assert told(allowed) == {"level": "Content", "samplePercent": 100, "sink": "Stdout", "redact": log["redact"]}  # fmt: skip
    status, reason, message = condition(allowed) or ("", "", "")
    assert (status, reason) == ("True", "LogWritten")
    assert message == "Prompts, answers and metadata go to standard output of the replicas' pods."


def test_a_change_of_the_log_takes_no_pod_and_makes_no_revision() -> None:
    world = begin(World(sample("simulated"), replace(SETTINGS, allow_content=True)))
    before = worker(world)
    for log in ({}, {"level": "Content"}, {"sink": "OTLP"}, CLAIM):
        world.edit(monitoring={"requestLog": log})
        world.settle()
        assert worker(world)["spec"] == before["spec"]
        assert [row["number"] for row in world.status["revisions"]] == [1]
    assert told(world)["sink"] == "PVC"


def test_pods_that_are_older_than_the_claim_are_told_of_until_their_next_revision() -> None:
    world = begin(World(sample("simulated")))
    world.edit(monitoring={"requestLog": CLAIM})
    world.settle()
    status, reason, message = condition(world) or ("", "", "")
    assert (status, reason) == ("False", "LogSinkMissing")
    assert message.startswith("The pods of revision 1 do not mount claim logs, because")
    world.edit(podTemplate={"metadata": {"annotations": {"log": "1"}}})
    for _ in range(12):
        world.step()
        world.obey()
    assert (condition(world) or ("",))[0] == "True"
    pods = [world.cluster.children["Deployment", f"simulated-{r}"] for r in world.runtimes()]
    mounts = [pod["spec"]["template"]["spec"]["volumes"][-1]["name"] for pod in pods]
    assert sorted(mounts) == ["request-log", "shm"], "the pods of revision 1 are as they were"


def test_another_claim_is_another_mount() -> None:
    world = logged(CLAIM)
    assert (condition(world) or ("",))[0] == "True"
    for change in ({"claimName": "other"}, {"subPath": "other"}):
        world.edit(monitoring={"requestLog": {**CLAIM, "pvc": {**CLAIM["pvc"], **change}}})  # type: ignore[dict-item]  # because it is a dict
        world.settle()
        assert (condition(world) or ("", ""))[1] == "LogSinkMissing"
    pvc = {**CLAIM["pvc"], "retentionDays": 3, "maxSizeGiB": 4}  # type: ignore[dict-item]  # because it is a dict
    world.edit(monitoring={"requestLog": {**CLAIM, "pvc": pvc}})
    world.settle()
    assert (condition(world) or ("", ""))[1] == "LogWritten"
    assert (told(world)["retentionDays"], told(world)["maxSizeGiB"]) == (3, 4)


def rendered() -> str:
    pods = [worker(logged(CLAIM, name)) for name in ("simulated", "external")]
    specs = [{"kind": pod["kind"], "metadata": {"name": pod["metadata"]["name"]}, "spec": pod["spec"]} for pod in pods]  # fmt: skip
    return yaml.safe_dump_all(json.loads(json.dumps(specs)), sort_keys=True, width=120)


def test_golden() -> None:
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        GOLDEN.write_text(rendered(), encoding="utf-8")
    assert rendered() == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["simulated", "external"])
def test_the_claim_is_where_the_replica_looks_for_it(name: str) -> None:
    spec = worker(logged(CLAIM, name))["spec"]["template"]["spec"]
    volume = {"name": "request-log", "persistentVolumeClaim": {"claimName": "logs"}}
    mount = {"name": "request-log", "mountPath": str(MOUNT), "subPath": "llm"}
    assert volume in spec["volumes"]
    assert [mount in each["volumeMounts"] for each in spec["containers"]] == [True]


def test_a_replica_of_an_api_elsewhere_reads_it_from_its_file() -> None:
    world = logged({"samplePercent": 5}, "external")
    config_map = world.cluster.children["ConfigMap", "external-patterns"]
    document = json.loads(config_map["data"]["monitoring.json"])
    parsed = parse_serving(MonitoringConfig, document)
    assert parsed.request_log is not None
    assert parsed.request_log.sample_percent == 5


def test_a_collector_is_told_and_its_port_is_opened_only_where_it_is_used() -> None:
    world = logged({"sink": "OTLP"}, settings=COLLECTOR)
    assert told(world)["endpoint"] == "http://collector.monitoring:4318"
    assert (condition(world) or ("", ""))[1] == "LogWritten"
    assert 4318 in list_ports(world)
    world.edit(monitoring={"requestLog": {}})
    world.settle()
    assert 4318 not in list_ports(world)


def list_ports(world: World) -> set[int]:
    """Return the ports that the pods of the runtime may call."""
    policies = [
        obj for (kind, name), obj in world.cluster.children.items() if kind == "NetworkPolicy"
    ]
    rules = [rule for obj in policies for rule in obj["spec"].get("egress", ())]
    return {port["port"] for rule in rules for port in rule.get("ports", ())}


def test_a_collector_that_nobody_named_is_missing() -> None:
    world = logged({"sink": "OTLP"})
    assert "endpoint" not in told(world)
    status, reason, message = condition(world) or ("", "", "")
    assert (status, reason) == ("False", "LogSinkMissing")
    assert "telemetry.otlpEndpoint is empty" in message


@pytest.mark.parametrize(
    ("failing", "advice"),
    [
        ("queue", "the sink is slower than the requests."),
        ("full", "the claim is full. Make it larger, or lower"),
        ("missing", "there is nothing to write to."),
        ("failed", "a write is refused. The replica's log says why."),
        ("collector", "the collector does not take them. Check that it runs"),
    ],
)
def test_lines_that_are_dropped_are_said_while_they_are(failing: str, advice: str) -> None:
    world = logged({})
    reports = {
        "pod-0": RequestLogReport(7, 2, failing),
        "pod-1": RequestLogReport(7, 5, failing),
        "pod-2": RequestLogReport(7, 9),
    }
    world.observe(request_logs=reports)
    plan = world.step()
    status, reason, message = condition(world) or ("", "", "")
    assert (status, reason) == ("False", "LogLinesDropped")
    start = "Replica pod-1 and 1 more dropped lines of the request log: "
    assert message.startswith(start + advice)
    assert [e.type for e in plan.events if e.reason == "LogLinesDropped"] == ["Warning"]
    world.observe(request_logs=WELL)
    world.step()
    assert (condition(world) or ("",))[0] == "True"


def test_nobody_says_whether_lines_are_written() -> None:
    world = logged({})
    world.observe(request_logs={})
    world.step()
    assert (condition(world) or ("", ""))[:2] == ("Unknown", "LogUnknown")
