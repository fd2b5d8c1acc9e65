"""Who may talk to whom, and where the pods of a model may call.

Replica ports are never authenticated and a Ray head runs what it is told, so only the gateway and the operator reach
the former and only the operator and the runtime's own pods reach the latter. A console in the cluster whose viewers have names reaches
replicas too: it asks for their right to. Scrapers reach ports that have metrics and nothing that
generates or runs anything. Policies add up: a cluster may open more by policies of its own. With an HTTPRoute the front door are pods of
somebody else, whose labels are not known: then every pod of the Gateways' namespaces reaches the replicas.

A runtime's pods call DNS, each other, where their model comes from or is (the hub or the API elsewhere), and with
spec.monitoring.traces the port of the collector. So code of a model, or of a
dependency, reaches neither a cloud's metadata server nor the cluster's other Services.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.settings import Settings

_HTTPS, _HTTP = 443, 80
_DNS = (53, 5353)
"""Port of DNS; the second is that of OpenShift's DNS pods, since a policy sees the port of the pod behind a Service."""
_OUTSIDE = ("HF_ENDPOINT", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""Variables of the engine's environment whose URLs the pods call."""


def build_runtime_policies(
    deployment: str,
    runtime: str,
    template: Mapping[str, Any],
    settings: Settings,
    gateways: frozenset[str] = frozenset(),
    telemetry_port: int | None = None,
) -> list[Object]:
    """Return the policies of a runtime's head, if it has one, and of its workers.

    Args:
        deployment: name of the LLMDeployment.
        runtime: hash of the runtime.
        template: template fields of the runtime's newest revision; they say where its pods have to call.
        settings: what the operator was installed with.
        gateways: the namespaces of Gateways with a route to it.
        telemetry_port: port of the collector that its pods send spans or lines to, or None if they send none.
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
        *_admit_scrapers(settings, names.RAY_METRICS_PORT),
    ]
    ray = () if is_external(runtime) else (names.RAY_METRICS_PORT,)
    worker = [
        {"from": [own]},
        {
            "from": [gateway, operator, *others, *_select_console(settings)],
            "ports": [_tcp(names.REPLICA_PORT)],
        },
        *_admit_scrapers(settings, names.METRICS_PORT, *ray),
    ]
    labels = names.labels(deployment, runtime=runtime)
    egress = _build_egress(own, template, settings, telemetry_port)
    selector = names.selector(deployment, runtime=runtime, component="worker")
    policies = [_build_policy(made.name, labels, selector, worker, egress)]
    if is_external(runtime):
        return policies
    selector = names.selector(deployment, runtime=runtime, component="head")
    return [_build_policy(made.head, labels, selector, head, egress), *policies]


def build_gateway_policy(deployment: str, settings: Settings) -> Object:
    """Return the policy of the gateway: its front door is open to every pod, its agent's port to operator, its own pods and scrapers."""
    selector = names.selector(deployment, component="gateway")
    # Its pods send each other the votes that another one counts.
    peers = {"podSelector": {"matchLabels": selector}}
    rules = [
        {"ports": [_tcp(names.GATEWAY_PORT)]},
        {"from": [_select_operator(settings), peers], "ports": [_tcp(names.AGENT_PORT)]},
        *_admit_scrapers(settings, names.AGENT_PORT),
    ]
    return _build_policy(names.gateway_name(deployment), names.labels(deployment), selector, rules)


def _admit_scrapers(settings: Settings, *ports: int) -> list[dict[str, Any]]:
    """Return the rule that opens ports with metrics, or none without scrapers: a rule with an empty `from` admits everybody."""
    if not settings.scrapers:
        return []
    return [{"from": list(settings.scrapers), "ports": [_tcp(port) for port in ports]}]


def _build_egress(
    own: dict[str, Any], template: Mapping[str, Any], settings: Settings, telemetry_port: int | None
) -> list[dict[str, Any]] | None:
    """Return where a runtime's pods may call, or None for everywhere."""
    if settings.runtime_egress == "Open":
        return None
    dns = {"ports": [{**_tcp(port), "protocol": kind} for port in _DNS for kind in ("TCP", "UDP")]}
    ports = sorted(
        _list_ports(template) | ({telemetry_port} if telemetry_port is not None else set())
    )
    outside = [{"ports": [_tcp(port) for port in ports]}] if ports else []
    return [dns, {"to": [own]}, *outside, *settings.extra_egress]


def _list_ports(template: Mapping[str, Any]) -> set[int]:
    """Return the ports at which models come or are elsewhere.

    >>> _list_ports({"model": {"source": "hf://a/b"}}), _list_ports({"model": {"source": "pvc://models/a"}})
    ({443}, set())
    >>> _list_ports({"model": {"source": "https://host:8443/SHA256SUMS"}})
    {8443}
    >>> _list_ports({"model": {"source": "external://a"}, "engine": {"external": {"baseURL": "http://api.other:8000/v1"}}})
    {8000}
    """
    engine, model = template.get("engine", {}), template["model"]
    given = {each["name"].upper(): each.get("value") for each in engine.get("env") or ()}
    urls = [(engine.get("external") or {}).get("baseURL"), *map(given.get, _OUTSIDE)]
    sources = [model["source"], *(each["source"] for each in model.get("adapters") or ())]
    hub = {_HTTPS} if any(source.startswith(("hf://", "s3://")) for source in sources) else set()
    urls += [source for source in sources if source.startswith("https://")]
    found = (_read_port(url) for url in urls if url)
    return hub | {port for port in found if port is not None}


def _read_port(url: str) -> int | None:
    """Return the port of a URL, or None if it has one that cannot be."""
    parts = urlsplit(url)
    try:
        return parts.port or (_HTTP if parts.scheme == "http" else _HTTPS)
    except ValueError:
        return None


def _select_operator(settings: Settings) -> dict[str, Any]:
    return {
        **_select_namespace(settings.operator_namespace),
        "podSelector": {"matchLabels": settings.operator_labels},
    }


def _select_console(settings: Settings) -> list[dict[str, Any]]:
    """Return the console's pods, or nobody without one: a peer with an empty `podSelector` is every pod of the namespace."""
    if not settings.console_labels:
        return []
    namespace = _select_namespace(settings.operator_namespace)
    return [{**namespace, "podSelector": {"matchLabels": settings.console_labels}}]


def _select_namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}


def _build_policy(
    name: str,
    labels: dict[str, str],
    selector: dict[str, str],
    ingress: list[dict[str, Any]],
    egress: list[dict[str, Any]] | None = None,
) -> Object:
    outgoing = {} if egress is None else {"egress": egress}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress", *(["Egress"] if outgoing else [])],
            "ingress": ingress,
            **outgoing,
        },
    }
