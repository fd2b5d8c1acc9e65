"""Who may talk to whom.

Replica ports are never authenticated and a Ray head runs what it is told, so only the gateway and the operator reach
the former and only the operator and the runtime's own pods reach the latter. Policies add up: a cluster that scrapes
metrics from elsewhere adds a policy of its own. With an HTTPRoute the front door are pods of somebody else, whose labels are not known:
then every pod of the Gateways' namespaces reaches the replicas.
"""

from typing import Any

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.settings import Settings


def build_runtime_policies(
    deployment: str, runtime: str, settings: Settings, gateways: frozenset[str] = frozenset()
) -> list[Object]:
    """Return the policies of a runtime's head, if it has one, and of its workers, for what comes in.

    `gateways` are the namespaces of Gateways with a route to it.
    """
    made = names.runtime_names(deployment, runtime)
    own = {"podSelector": {"matchLabels": names.selector(deployment, runtime=runtime)}}
    gateway = {"podSelector": {"matchLabels": names.selector(deployment, component="gateway")}}
    operator = _select_operator(settings)
    # The built-in gateway stays among them: its pods may still be draining.
    others = [_select_namespace(name) for name in sorted(gateways)]
    head = [
        {"from": [own]},
        {"from": [operator], "ports": [_tcp(names.DASHBOARD_PORT)]},
    ]
    worker = [
        {"from": [own]},
        {"from": [gateway, operator, *others], "ports": [_tcp(names.REPLICA_PORT)]},
    ]
    labels = names.labels(deployment, runtime=runtime)
    policies = [
        _build_policy(
            made.name,
            labels,
            names.selector(deployment, runtime=runtime, component="worker"),
            worker,
        ),
    ]
    if is_external(runtime):
        return policies
    selector = names.selector(deployment, runtime=runtime, component="head")
    return [_build_policy(made.head, labels, selector, head), *policies]


def build_gateway_policy(deployment: str, settings: Settings) -> Object:
    """Return the policy of the gateway: its front door is open to every pod, its agent's port to the operator."""
    rules = [
        {"ports": [_tcp(names.GATEWAY_PORT)]},
        {"from": [_select_operator(settings)], "ports": [_tcp(names.AGENT_PORT)]},
    ]
    selector = names.selector(deployment, component="gateway")
    return _build_policy(names.gateway_name(deployment), names.labels(deployment), selector, rules)


def _select_operator(settings: Settings) -> dict[str, Any]:
    return {
        **_select_namespace(settings.operator_namespace),
        "podSelector": {"matchLabels": settings.operator_labels},
    }


def _select_namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}


def _build_policy(
    name: str, labels: dict[str, str], selector: dict[str, str], ingress: list[dict[str, Any]]
) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }
