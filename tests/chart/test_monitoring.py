"""Who scrapes what: PodMonitors select the pods that the operator makes, and NetworkPolicies open what they scrape."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.rendering import (
    MONITORS,
    NO_CRD,
    RULES,
    Helm,
    Object,
    find_container,
    render_release,
)
from tests.chart.test_second_release import render_notes

from llmdeployment_operator.settings import plan_settings

pytestmark = pytest.mark.chart

DATA = Path(__file__).resolve().parents[1] / "data/operator"
ENABLED = (*NO_CRD, *MONITORS, "--set", "monitoring.enabled=true")
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
FROM = ("--set-json", f"monitoring.from={json.dumps([PROMETHEUS])}")


def list_monitors(documents: list[Object]) -> dict[str, Object]:
    found = [d for d in documents if d["kind"] == "PodMonitor"]
    return {d["metadata"]["name"].removeprefix("op-llmdeployment-operator"): d for d in found}


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


def list_pods(name: str) -> dict[str, Any]:
    """The pod templates of the operator's golden file, by component."""
    objects = yaml.safe_load_all((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    found = [o["spec"]["template"] for o in objects if o and o["kind"] in {"Deployment", "StatefulSet"}]  # fmt: skip
    return {p["metadata"]["labels"]["llmdeployment.dev/component"]: p for p in found}


@pytest.mark.parametrize(
    ("monitor", "port", "scraped"),
    [
        ("-gateways", 9090, {"gateway"}),
        ("-replicas", 30002, {"worker"}),
        ("-ray", 8268, {"head", "worker"}),
    ],
)
def test_monitors_find_the_pods_of_models_and_their_ports(
    helm: Helm, monitor: str, port: int, scraped: set[str]
) -> None:
    found = list_monitors(render_release(helm, *ENABLED))[monitor]

    (endpoint,) = found["spec"]["podMetricsEndpoints"]
    pods = list_pods("gpu")
    mine = {
        part
        for part, pod in pods.items()
        if selects(found["spec"]["selector"], pod["metadata"]["labels"])
    }
    assert mine == scraped
    for part in mine:
        ports = [each for c in pods[part]["spec"]["containers"] for each in c["ports"]]
        assert [p["containerPort"] for p in ports if p["name"] == endpoint["port"]] == [port]
    assert "honorLabels" not in endpoint
    labels = {each["targetLabel"]: each["sourceLabels"] for each in endpoint["relabelings"]}
    assert labels["name"] == ["__meta_kubernetes_pod_label_llmdeployment_dev_name"]


def test_the_operators_own_labels_are_kept_and_those_of_models_are_not(helm: Helm) -> None:
    monitors = list_monitors(render_release(helm, *ENABLED))

    assert monitors.keys() == {"", "-gateways", "-replicas", "-ray"}
    (own,) = monitors[""]["spec"]["podMetricsEndpoints"]
    assert own["honorLabels"] is True
    documents = render_release(helm, *ENABLED)
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    assert selects(monitors[""]["spec"]["selector"], pod["metadata"]["labels"])
    assert own["port"] in [each["name"] for each in pod["spec"]["containers"][0]["ports"]]
    for name in ("-gateways", "-replicas"):
        (endpoint,) = monitors[name]["spec"]["podMetricsEndpoints"]
        (dropped,) = endpoint["metricRelabelings"]
        assert dropped == {"action": "labeldrop", "regex": "exported_(namespace|name)"}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [((), {"any": True}), (("--set", "watch.namespaces={a,b}"), {"matchNames": ["a", "b"]})],
    ids=["all", "some"],
)
def test_monitors_look_where_models_are(helm: Helm, values: tuple[str, ...], wanted: Any) -> None:
    for name, found in list_monitors(render_release(helm, *ENABLED, *values)).items():
        # The operator itself is beside its monitor.
        assert found["spec"].get("namespaceSelector") == (wanted if name else None)


def test_nothing_is_made_unasked_or_where_the_kind_is_missing(helm: Helm) -> None:
    for options in ((*NO_CRD, *MONITORS), (*NO_CRD, "--set", "monitoring.enabled=true")):
        assert list_monitors(render_release(helm, *options)) == {}


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ((), ()),
        (FROM, ()),
        (
            ("--set", "monitoring.enabled=true", *FROM),
            ("made no PodMonitor", "made no PrometheusRule"),
        ),
        (
            ("--set", "monitoring.enabled=true,monitoring.rules=false"),
            ("made no PodMonitor", "let nobody scrape"),
        ),
        ((*MONITORS, *RULES, "--set", "monitoring.enabled=true"), ("let nobody scrape",)),
        ((*MONITORS, "--set", "monitoring.enabled=true", *FROM), ("made no PrometheusRule",)),
        ((*MONITORS, *RULES, "--set", "monitoring.enabled=true", *FROM), ()),
        (("--set", "monitoring.annotations=true"), ("let nobody scrape",)),
    ],
)
def test_the_notes_say_what_is_missing(
    helm: Helm, tmp_path: Path, options: tuple[str, ...], warned: tuple[str, ...]
) -> None:
    text = render_notes(helm, tmp_path, *options)

    assert text.count("WARNING") == len(warned)
    for each in warned:
        assert each in text


def test_only_scrapers_reach_the_operator(helm: Helm) -> None:
    def read(*options: str) -> Any:
        documents = render_release(helm, *NO_CRD, *options)
        policy = next(d for d in documents if d["kind"] == "NetworkPolicy")
        env = {e["name"]: e.get("value", "") for e in find_container(documents)["env"]}
        return policy["spec"], plan_settings(env)

    closed, settings = read()
    assert (closed["policyTypes"], closed.get("ingress")) == (["Ingress"], None)
    assert settings.scrapers == ()
    opened, settings = read(*FROM)
    assert opened["ingress"] == [{"from": [PROMETHEUS], "ports": [{"port": 8080, "protocol": "TCP"}]}]  # fmt: skip
    assert settings.scrapers == (PROMETHEUS,)


def test_annotations_are_an_other_way(helm: Helm) -> None:
    options = ("--set", "monitoring.annotations=true,podAnnotations.note=text")
    documents = render_release(helm, *NO_CRD, *options)

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
        "note": "text",
    }
    env = {e["name"]: e.get("value", "") for e in find_container(documents)["env"]}
    assert plan_settings(env).scrape_annotations is True
    assert list_monitors(documents) == {}
