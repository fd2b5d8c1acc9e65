"""Who may talk to whom, decided by an evaluator of NetworkPolicy semantics: the local node does not enforce them.

Source: networking.k8s.io/v1: a pod that any policy selects for Ingress accepts what any of those policies allows.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support.world import SETTINGS

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.plan.base.names import COMPONENT, OWNER, RUNTIME
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.evaluation_job import build_evaluation_policies
from llmdeployment_operator.plan.desired.shadowing import build_shadow_policies
from llmdeployment_operator.plan.resources.network_policies import (
    build_gateway_policy,
    build_runtime_policies,
)


@dataclass(frozen=True, eq=False)
class Pod:
    labels: dict[str, str]
    namespace: str = "team"
    namespace_labels: dict[str, str] = field(default_factory=dict)


def of(
    component: str, owner: str = "chat", runtime: str | None = None, namespace: str = "team"
) -> Pod:
    labels = {OWNER: owner, COMPONENT: component}
    if runtime:
        labels[RUNTIME] = runtime
    return Pod(labels, namespace, {"kubernetes.io/metadata.name": namespace})


OPERATOR = Pod({"app": "operator"}, "llm-system", {"kubernetes.io/metadata.name": "llm-system"})
FALSE_OPERATOR = Pod({"app": "operator"}, "evil", {"kubernetes.io/metadata.name": "evil"})
STRANGER = Pod({"app": "web"}, "team", {"kubernetes.io/metadata.name": "team"})
HEAD, WORKER = of("head", runtime="aaaa"), of("worker", runtime="aaaa")
OTHER_RUNTIME, OTHER_OWNER = of("worker", runtime="bbbb"), of("worker", "sql", "aaaa")
ROUTED, ROUTED_HEAD = of("worker", runtime="cccc"), of("head", runtime="cccc")
PROXY = Pod({"app": "envoy"}, "gateways", {"kubernetes.io/metadata.name": "gateways"})
ELSEWHERE = of("worker", runtime="xaaa")
GATEWAY, OTHER_GATEWAY = of("gateway"), of("gateway", "sql")
PROMETHEUS = Pod({"app": "prometheus"}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})
GRAFANA = Pod({"app": "grafana"}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})

EVALUATION = of("evaluation")
GOLDEN = {"golden": {"pvc": "pvc://sets/a.jsonl"}}
JUDGED = {**GOLDEN, "judge": {"url": "https://judge:8443/v1", "model": "big"}}

HUB, DISK = {"model": {"source": "hf://a/b"}}, {"model": {"source": "pvc://models/a"}}
API = {
    "model": {"source": "external://a"},
    "engine": {"name": "external", "external": {"baseURL": "http://api.other:8000/v1"}},
}

POLICIES = [
    *build_evaluation_policies("chat", EvaluationSpec.model_validate(GOLDEN)),
    *build_runtime_policies("chat", "aaaa", HUB, SETTINGS),
    *build_runtime_policies("chat", "bbbb", DISK, SETTINGS),
    *build_runtime_policies("chat", "cccc", DISK, SETTINGS, frozenset({"gateways", "team"})),
    *build_runtime_policies("chat", "xaaa", API, SETTINGS),
    build_gateway_policy("chat", SETTINGS),
]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def allowed_by(rule: dict[str, Any], source: Pod, target: Pod, port: int) -> bool:
    if "ports" in rule and port not in [p["port"] for p in rule["ports"]]:
        return False
    return "from" not in rule or any(matches(peer, source, target) for peer in rule["from"])


def matches(peer: dict[str, Any], source: Pod, target: Pod) -> bool:
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], source.namespace_labels):
            return False
    elif source.namespace != target.namespace:
        return False
    return selects(peer.get("podSelector", {}), source.labels)


def allowed(source: Pod, target: Pod, port: int) -> bool:
    of_target = (p for p in POLICIES if selects(p["spec"]["podSelector"], target.labels))
    mine = [p for p in of_target if "Ingress" in p["spec"]["policyTypes"]]
    return not mine or any(
        allowed_by(rule, source, target, port) for p in mine for rule in p["spec"]["ingress"]
    )


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [
        (WORKER, HEAD, 6379, True),
        (HEAD, WORKER, 10002, True),
        (WORKER, WORKER, 10002, True),
        (OPERATOR, HEAD, 8265, True),
        (OPERATOR, HEAD, 6379, False),
        (OPERATOR, WORKER, 30000, True),
        (GATEWAY, WORKER, 30000, True),
        (GATEWAY, WORKER, 10002, False),
        (GATEWAY, HEAD, 8265, False),
        (STRANGER, WORKER, 30000, False),
        (STRANGER, HEAD, 8265, False),
        (STRANGER, HEAD, 6379, False),
        (OTHER_RUNTIME, HEAD, 6379, False),
        (OTHER_OWNER, HEAD, 6379, False),
        (OTHER_GATEWAY, WORKER, 30000, False),
        (FALSE_OPERATOR, HEAD, 8265, False),
        (of("gateway", namespace="elsewhere"), WORKER, 30000, False),
        # with an HTTPRoute: all of the Gateways' namespaces, and the built-in gateway while it drains
        (PROXY, ROUTED, 30000, True),
        (STRANGER, ROUTED, 30000, True),
        (GATEWAY, ROUTED, 30000, True),
        (OPERATOR, ROUTED, 30000, True),
        (PROXY, ROUTED, 10002, False),
        (PROXY, ROUTED_HEAD, 8265, False),
        (PROXY, WORKER, 30000, False),
        (FALSE_OPERATOR, ROUTED, 30000, False),
        (STRANGER, GATEWAY, 8080, True),
        (FALSE_OPERATOR, GATEWAY, 8080, True),
        (OPERATOR, GATEWAY, 9090, True),
        (STRANGER, GATEWAY, 9090, False),
        # votes that another of its pods counts
        (GATEWAY, GATEWAY, 9090, True),
        (OTHER_GATEWAY, GATEWAY, 9090, False),
        (WORKER, GATEWAY, 9090, False),
        (EVALUATION, WORKER, 30000, True),
        (EVALUATION, WORKER, 10002, False),
        (EVALUATION, HEAD, 8265, False),
        (of("evaluation", "sql"), WORKER, 30000, False),
        (of("evaluation", namespace="elsewhere"), WORKER, 30000, False),
        (OPERATOR, EVALUATION, 30000, False),
        (STRANGER, EVALUATION, 8080, False),
        (GATEWAY, ELSEWHERE, 30000, True),
        (OPERATOR, ELSEWHERE, 30000, True),
        (STRANGER, ELSEWHERE, 30000, False),
        (WORKER, ELSEWHERE, 30000, False),
        (OTHER_GATEWAY, ELSEWHERE, 30000, False),
    ],
)
def test_flow(source: Pod, target: Pod, port: int, *, expected: bool) -> None:
    assert allowed(source, target, port) is expected


SCRAPERS = (
    {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchLabels": {"app": "prometheus"}},
    },
)
METRICS_PORTS = {HEAD: {8268}, WORKER: {8268, 30002}, ELSEWHERE: {30002}, GATEWAY: {9090}}
"""Where the metrics of each kind of pod are."""
OTHER_PORTS = {6379, 8265, 8266, 8267, 8268, 8269, 9090, 10002, 30000, 30001, 30002}


def reachable(source: Pod, target: Pod, settings: Settings) -> set[int]:
    """The ports of a pod that another one reaches, without the gateway's front door."""
    policies = [
        *build_runtime_policies("chat", "aaaa", HUB, settings),
        *build_runtime_policies("chat", "xaaa", API, settings),
        build_gateway_policy("chat", settings),
    ]
    mine = [p for p in policies if selects(p["spec"]["podSelector"], target.labels)]
    assert mine
    rules = [rule for policy in mine for rule in policy["spec"]["ingress"]]
    return {port for port in OTHER_PORTS if any(allowed_by(r, source, target, port) for r in rules)}


@pytest.mark.parametrize("target", METRICS_PORTS, ids=["head", "worker", "elsewhere", "gateway"])
def test_a_scraper_reaches_the_ports_with_metrics_and_no_other(target: Pod) -> None:
    settings = replace(SETTINGS, scrapers=SCRAPERS)
    assert reachable(PROMETHEUS, target, settings) == METRICS_PORTS[target]
    for other in (GRAFANA, STRANGER, FALSE_OPERATOR):
        assert reachable(other, target, settings) == set()


@pytest.mark.parametrize("target", METRICS_PORTS, ids=["head", "worker", "elsewhere", "gateway"])
def test_without_scrapers_nobody_reaches_them(target: Pod) -> None:
    for other in (PROMETHEUS, STRANGER, FALSE_OPERATOR):
        assert reachable(other, target, SETTINGS) == set()
    # The operator asks gateways and replicas at ports of their own.
    assert not reachable(OPERATOR, target, SETTINGS) & {8268, 30002}


def test_only_a_console_whose_viewers_have_names_reaches_replicas_and_nothing_else() -> None:
    labels = {"app.kubernetes.io/name": "llmdeployment-console"}
    settings = replace(SETTINGS, console_labels=labels)
    place = {"kubernetes.io/metadata.name": settings.operator_namespace}
    console = Pod(labels, settings.operator_namespace, place)
    false = Pod(labels, "evil", {"kubernetes.io/metadata.name": "evil"})
    neighbour = Pod({"app": "web"}, settings.operator_namespace, place)
    for target, ports in ((WORKER, {30000}), (ELSEWHERE, {30000}), (HEAD, set()), (GATEWAY, set())):
        assert reachable(console, target, settings) == ports
        assert reachable(console, target, SETTINGS) == set()
        for other in (false, neighbour):
            assert reachable(other, target, settings) == set()


def reached(policy: dict[str, Any], target: Pod, port: int) -> bool:
    """Say whether the evaluation's pod may open a connection to another pod of its namespace."""
    return any(
        port in [p["port"] for p in rule["ports"]]
        and ("to" not in rule or any(matches(peer, target, EVALUATION) for peer in rule["to"]))
        for rule in policy["spec"]["egress"]
    )


@pytest.mark.parametrize(
    ("evaluation", "target", "port", "expected"),
    [
        (GOLDEN, WORKER, 30000, True),
        (GOLDEN, WORKER, 10002, False),
        (GOLDEN, HEAD, 8265, False),
        (GOLDEN, GATEWAY, 8080, False),
        (GOLDEN, OTHER_OWNER, 30000, False),
        (GOLDEN, STRANGER, 53, True),
        (GOLDEN, STRANGER, 8443, False),
        (JUDGED, STRANGER, 8443, True),
        (JUDGED, STRANGER, 443, False),
        (JUDGED, WORKER, 30000, True),
    ],
)
def test_the_evaluation_reaches_replicas_names_and_the_judge(
    evaluation: dict[str, Any], target: Pod, port: int, *, expected: bool
) -> None:
    policy, _ = build_evaluation_policies("chat", EvaluationSpec.model_validate(evaluation))
    assert selects(policy["spec"]["podSelector"], EVALUATION.labels)
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert reached(policy, target, port) is expected


METADATA_PORT = 80
"""Clouds' metadata servers, such as 169.254.169.254, answer here."""


def calls(source: Pod, target: Pod, port: int) -> bool:
    """Say whether a runtime's pod may open a connection."""
    mine = [p for p in POLICIES if selects(p["spec"]["podSelector"], source.labels)]
    mine = [p for p in mine if "Egress" in p["spec"]["policyTypes"]]
    return not mine or any(
        ("ports" not in rule or port in [p["port"] for p in rule["ports"]])
        and ("to" not in rule or any(matches(peer, target, source) for peer in rule["to"]))
        for policy in mine
        for rule in policy["spec"]["egress"]
    )


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [
        (WORKER, HEAD, 6379, True),
        (HEAD, WORKER, 10002, True),
        (WORKER, STRANGER, 53, True),
        (WORKER, STRANGER, 443, True),  # the hub
        (WORKER, STRANGER, METADATA_PORT, False),
        (WORKER, STRANGER, 5432, False),
        (WORKER, OTHER_RUNTIME, 30000, False),
        (WORKER, OTHER_OWNER, 30000, False),
        (OTHER_RUNTIME, STRANGER, 443, False),  # its model is on a volume
        (OTHER_RUNTIME, STRANGER, 53, True),
        (ELSEWHERE, STRANGER, 8000, True),
        (ELSEWHERE, STRANGER, 443, False),
        (ELSEWHERE, STRANGER, METADATA_PORT, False),
        (GATEWAY, WORKER, 30000, True),
    ],
)
def test_where_the_pods_of_a_model_call(
    source: Pod, target: Pod, port: int, *, expected: bool
) -> None:
    assert calls(source, target, port) is expected


def egress_of(template: dict[str, Any], settings: Settings = SETTINGS) -> Any:
    return build_runtime_policies("chat", "aaaa", template, settings)[-1]["spec"].get("egress")


def test_a_mirror_and_a_proxy_are_called_at_their_own_ports() -> None:
    env = [
        {"name": "HF_ENDPOINT", "value": "http://mirror.models:8081"},
        {"name": "https_proxy", "value": "http://proxy:3128"},
        {"name": "HTTP_PROXY", "valueFrom": {}},
        {"name": "ALL_PROXY", "value": "http://proxy:99999"},
    ]
    ports = egress_of({**HUB, "engine": {"env": env}})[2]["ports"]
    assert [each["port"] for each in ports] == [443, 3128, 8081]


def test_an_administrator_opens_more_or_everything() -> None:
    rule = {"ports": [{"protocol": "TCP", "port": 4317}]}
    assert rule in egress_of(DISK, replace(SETTINGS, extra_egress=(rule,)))
    assert egress_of(DISK, replace(SETTINGS, runtime_egress="Open")) is None


def test_an_api_elsewhere_has_no_head() -> None:
    assert "chat-xaaa" in [p["metadata"]["name"] for p in POLICIES]
    assert "chat-xaaa-head" not in [p["metadata"]["name"] for p in POLICIES]


@pytest.mark.parametrize(
    ("source", "target", "port", "before", "expected"),
    [
        (WORKER, OTHER_RUNTIME, 30000, False, True),
        (WORKER, OTHER_RUNTIME, 10002, False, False),
        (OTHER_RUNTIME, WORKER, 30000, False, False),
        (HEAD, OTHER_RUNTIME, 30000, False, False),
        (ROUTED, OTHER_RUNTIME, 30000, False, False),
        # What was open stays open.
        (GATEWAY, OTHER_RUNTIME, 30000, True, True),
        (WORKER, WORKER, 10002, True, True),
    ],
)
def test_a_shadow_lets_the_stable_replicas_ask_the_canary_s(
    source: Pod,
    target: Pod,
    port: int,
    *,
    before: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def flows() -> bool:
        return calls(source, target, port) and allowed(source, target, port)

    assert flows() is before
    stable, canary = (Revision(n, "", runtime, {}, {}) for n, runtime in ((1, "aaaa"), (2, "bbbb")))
    more = build_shadow_policies("chat", [(stable, canary)], SETTINGS)
    monkeypatch.setitem(globals(), "POLICIES", [*POLICIES, *more])
    assert flows() is expected
