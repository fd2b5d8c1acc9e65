"""The console that the chart makes: a pod of its own that reads little, and acts as viewers only behind a proxy."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chart.rendering import (
    HERE,
    MONITORS,
    NO_CRD,
    Helm,
    Object,
    find_container,
    find_deployment,
    render_release,
)
from tests.chart.test_second_release import render_notes

from llmdeployment_console.cluster_settings import ClusterSettings, read_cluster_settings
from llmdeployment_console.settings import Settings
from llmdeployment_console.settings import read_settings as read_shared_settings
from llmdeployment_operator.settings import plan_settings

pytestmark = pytest.mark.chart

READ_ONLY = (*NO_CRD, "--set", "console.enabled=true")
VALUES = str(HERE / "values/console.yaml")
PROXY = (*NO_CRD, "-f", VALUES)
NAME = "op-llmdeployment-operator-console"
FROM = ("--set-json", 'console.from=[{"podSelector": {"matchLabels": {"app": "proxy"}}}]')


def list_own(documents: list[Object]) -> list[Object]:
    label = "app.kubernetes.io/name"
    return [d for d in documents if d["metadata"]["labels"].get(label) == "llmdeployment-console"]


def find(documents: list[Object], kind: str, name: str = NAME) -> Object:
    return next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)


def read_settings(documents: list[Object]) -> ClusterSettings:
    pod = find_deployment(documents, "console")["spec"]["template"]["spec"]
    return read_cluster_settings({e["name"]: e["value"] for e in pod["containers"][0]["env"]})


def list_rules(documents: list[Object]) -> list[Object]:
    roles = [d for d in list_own(documents) if d["kind"] in {"Role", "ClusterRole"}]
    return [rule for role in roles for rule in role["rules"]]


def test_nothing_of_it_is_made_unasked(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD)
    assert list_own(documents) == []
    names = [e["name"] for e in find_container(documents)["env"]]
    assert not [name for name in names if "CONSOLE" in name]


def test_by_default_it_reads_three_kinds_and_writes_nothing(helm: Helm) -> None:
    documents = render_release(helm, *READ_ONLY)

    read = {resource for rule in list_rules(documents) for resource in rule["resources"]}
    assert read == {"llmdeployments", "controllerrevisions", "events"}
    assert {verb for rule in list_rules(documents) for verb in rule["verbs"]} == {"list"}
    settings = read_settings(documents)
    assert settings.naming is None
    assert settings.namespaces == ()
    assert settings.operator_service == "op-llmdeployment-operator-live.llm-system.svc"
    # Nobody asks a replica, so replicas admit no console.
    env = {e["name"]: e.get("value", "") for e in find_container(documents)["env"]}
    assert plan_settings(env).console_labels == {}
    ports = [p["port"] for r in find(documents, "NetworkPolicy")["spec"]["egress"] for p in r["ports"]]  # fmt: skip
    assert 30000 not in ports


def test_its_pod_is_restricted_and_none_of_the_operators(helm: Helm) -> None:
    documents = render_release(helm, *PROXY, *MONITORS, "--set", "monitoring.enabled=true")

    operator, console = find_deployment(documents), find_deployment(documents, "console")
    pod = console["spec"]["template"]
    theirs = find_container(documents)["securityContext"]
    assert pod["spec"]["containers"][0]["securityContext"] == theirs
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["serviceAccountName"] == NAME
    labels = pod["metadata"]["labels"].items()
    assert console["spec"]["selector"]["matchLabels"].items() <= labels
    assert not operator["spec"]["selector"]["matchLabels"].items() <= labels
    assert not console["spec"]["selector"]["matchLabels"].items() <= (
        operator["spec"]["template"]["metadata"]["labels"].items()
    )
    service, live = (find(documents, "Service", name) for name in (NAME, f"{NAME[:-8]}-live"))
    assert service["spec"]["selector"].items() <= labels
    assert live["spec"]["selector"] == operator["spec"]["selector"]["matchLabels"]
    assert live["spec"]["clusterIP"] == "None"


def test_behind_a_proxy_it_acts_as_viewers_and_as_few_groups(helm: Helm) -> None:
    documents = render_release(helm, *PROXY)

    settings = read_settings(documents)
    pod = find_deployment(documents, "console")["spec"]["template"]["spec"]
    env = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert read_shared_settings(env) == Settings(
        runbook_url="https://docs.example.com/runbooks/NAME/",
        prometheus_url="http://prometheus.monitoring:9090",
    )
    assert settings.naming is not None
    assert settings.naming.groups == {"oidc:team-a", "oidc:team-b"}
    assert settings.origin == "https://llm.example.com"
    rules = {
        rule["resources"][0]: rule
        for rule in list_rules(documents)
        if rule["verbs"] in (["impersonate"], ["create"])
    }
    assert rules.keys() == {"users", "groups", "subjectaccessreviews"}
    assert set(rules["groups"]["resourceNames"]) == settings.naming.groups
    assert "resourceNames" not in rules["users"]
    roles = [d for d in list_own(documents) if d["kind"] == "Role"]
    assert [d["metadata"]["namespace"] for d in roles] == ["team-a", "team-b"]
    env = {e["name"]: e.get("value", "") for e in find_container(documents)["env"]}
    labels = plan_settings(env).console_labels
    pod = find_deployment(documents, "console")["spec"]["template"]
    assert labels.items() <= pod["metadata"]["labels"].items()
    (volume,) = pod["spec"]["volumes"]
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    (item,) = volume["secret"]["items"]
    assert volume["secret"]["secretName"] == "console-proxy"  # because it is a name
    assert f"{mount['mountPath']}/{item['path']}" == str(settings.secret)


def test_listed_users_and_no_groups_are_all_that_it_acts_as(helm: Helm) -> None:
    options = ("--set", "console.auth.users={ada,bob}", "--set-json", "console.auth.groups=[]")
    documents = render_release(helm, *PROXY, *options)

    acting = [rule for rule in list_rules(documents) if rule["verbs"] == ["impersonate"]]
    assert [(r["resources"], r["resourceNames"]) for r in acting] == [(["users"], ["ada", "bob"])]
    naming = read_settings(documents).naming
    assert naming is not None
    assert (naming.users, naming.groups) == ({"ada", "bob"}, frozenset())


@pytest.mark.parametrize(
    ("options", "namespaces"),
    [
        (("--set", "watch.namespaces={a,b}"), ("a", "b")),
        (("--set", "watch.namespaces={a,b},console.namespaces={b}"), ("b",)),
    ],
)
def test_it_shows_what_the_operator_watches_or_less(
    helm: Helm, options: tuple[str, ...], namespaces: tuple[str, ...]
) -> None:
    documents = render_release(helm, *READ_ONLY, *options)

    assert read_settings(documents).namespaces == namespaces
    own = list_own(documents)
    roles = [d["metadata"]["namespace"] for d in own if d["kind"] == "Role"]
    assert tuple(roles) == namespaces
    assert "ClusterRole" not in {d["kind"] for d in own}


def test_only_those_named_reach_it_and_it_reaches_the_operator(helm: Helm) -> None:
    def read(*options: str) -> tuple[Any, Any]:
        documents = render_release(helm, *READ_ONLY, *options)
        own = find(documents, "NetworkPolicy")["spec"]
        operators = find(documents, "NetworkPolicy", NAME[:-8])["spec"]
        return own, operators

    own, operators = read()
    assert own["policyTypes"] == ["Ingress", "Egress"]
    assert own.get("ingress") is None
    (rule,) = operators["ingress"]
    (peer,) = rule["from"]
    assert peer == {"podSelector": own["podSelector"]}
    own, _ = read(*FROM)
    (rule,) = own["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "proxy"}}}]
    scraper = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
    _, operators = read("--set-json", f"monitoring.from={json.dumps([scraper])}")
    assert operators["ingress"][0]["from"] == [scraper, peer]


@pytest.mark.parametrize(
    ("options", "said", "warned"),
    [
        ((), "", False),
        (
            ("--set", "console.enabled=true"),
            f"port-forward -n llm-system service/{NAME} 8001:80",
            False,
        ),
        (("--set", "console.enabled=true", *FROM), "whoever console.from admits", False),
        (("-f", VALUES), "The console is at https://llm.example.com", False),
        (("-f", VALUES, "--set-json", "console.from=[]"), "console.from is empty", True),
    ],
)
def test_the_notes_say_how_to_open_it(
    helm: Helm,
    tmp_path: Path,
    options: tuple[str, ...],
    said: str,
    warned: bool,  # noqa: FBT001  # because it is a table
) -> None:
    text = render_notes(helm, tmp_path, *options)
    assert said in text
    assert ("console" in text) is bool(said)
    assert ("WARNING" in text) is warned
