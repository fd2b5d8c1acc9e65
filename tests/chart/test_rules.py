"""The chart's PrometheusRule is the rule file, and its ConfigMaps are the dashboards, each with the values' own touches."""

import json

import pytest
import yaml
from dev.monitoring.boards import BOARDS
from dev.monitoring.files import MANIFESTS
from tests.chart.rendering import MONITORS, NO_CRD, RULES, Helm, Object, render_release

pytestmark = pytest.mark.chart

ENABLED = (*NO_CRD, *MONITORS, *RULES, "--set", "monitoring.enabled=true")
GROUPS = yaml.safe_load((MANIFESTS / "monitoring" / "rules.yaml").read_text("utf-8"))["groups"]


def list_kind(documents: list[Object], kind: str) -> list[Object]:
    return [document for document in documents if document["kind"] == kind]


def test_the_rules_are_those_of_the_file(helm: Helm) -> None:
    options = (*ENABLED, "--set", "monitoring.labels.release=prometheus")
    (rule,) = list_kind(render_release(helm, *options), "PrometheusRule")

    assert rule["metadata"]["name"] == "op-llmdeployment-operator"
    assert rule["metadata"]["namespace"] == "llm-system"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == {"groups": GROUPS}


def test_an_alert_leads_to_the_runbook_where_the_values_say(helm: Helm) -> None:
    url = "https://docs.example.com/runbooks/NAME/"
    options = (*ENABLED, "--set", f"monitoring.runbookURL={url}")
    (rule,) = list_kind(render_release(helm, *options), "PrometheusRule")

    rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    links = {each["alert"]: each["annotations"]["runbook_url"] for each in rules if "alert" in each}
    assert links["LLMDeploymentCrashLoop"] == "https://docs.example.com/runbooks/CrashLoop/"
    assert not [link for link in links.values() if "NAME" in link or "docs/runbooks" in link]


@pytest.mark.parametrize(
    "options",
    [
        (*NO_CRD, *MONITORS, *RULES),
        (*NO_CRD, *MONITORS, "--set", "monitoring.enabled=true"),
        (*ENABLED, "--set", "monitoring.rules=false"),
    ],
    ids=["unasked", "the kind is missing", "unwanted"],
)
def test_no_rules_are_made(helm: Helm, options: tuple[str, ...]) -> None:
    documents = render_release(helm, *options)
    assert list_kind(documents, "PrometheusRule") == []
    assert list_kind(documents, "ConfigMap") == []


def test_each_dashboard_is_a_config_map_for_grafanas_sidecar(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD, "--set", "monitoring.dashboards=true")

    found = list_kind(documents, "ConfigMap")
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in found} == {"1"}
    assert len({each["metadata"]["name"] for each in found}) == len(BOARDS)
    drawn = {name: text for each in found for name, text in each["data"].items()}
    for board in BOARDS:
        text = (MANIFESTS / "dashboards" / f"{board.uid}.json").read_text("utf-8")
        assert drawn[f"{board.uid}.json"] == text
        # etcd takes no object above 1.5 MiB, and kubectl's annotation none above 256 KiB.
        assert len(json.dumps(text)) < 200_000
