"""The HTTPRoute that leads requests to the revisions through Gateways of the cluster (`spec.gateway.mode: HTTPRoute`).

Source: Gateway API v1, gateway.networking.k8s.io/v1 HTTPRoute. Who gets the requests stays in the routes ConfigMap; this object says the
same to the Gateway's controller, whose answer is in `status.parents`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from llmdeployment_operator.api.gateway_api import (
    HTTPRouteSpec,
    ParentReference,
    read_body_size,
)
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import is_within
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.routes import Route, measure_widths
from llmdeployment_operator.plan.base.sentences import join_sentences

KIND = Kind.HTTP_ROUTE
GROUP = "gateway.networking.k8s.io"
PATHS = {
    "/v1/models": "PathPrefix",
    **dict.fromkeys(
        (
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/responses",
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/embeddings",
            "/v1/rerank",
            "/v2/rerank",
            "/v1/score",
            "/classify",
            "/pooling",
            "/tokenize",
            "/detokenize",
            "/generate_text",
        ),
        "Exact",
    ),
}
"""What clients may ask for, and how it is matched: never a replica's figures or its orders. A prefix ends at a slash."""
MOST_MATCHES = 8
"""Of a rule: newer releases of the Gateway API allow more."""
UNHEARD_SECONDS = 60
"""A controller answers a route within seconds; one that says nothing for this long is not there, or does not look here."""


def build_http_route(
    deployment: LLMDeployment, spec: HTTPRouteSpec, routes: tuple[Route, ...]
) -> Object:
    """Return the HTTPRoute: one weighted backend for each row of the routes.

    Each backend sets the header by which a replica tells revisions apart, so that a client's copy of it never counts.
    """
    name, limit = deployment.metadata.name, deployment.spec.gateway.max_body_size
    backends = [_build_backend(route, width, limit) for route, width in measure_widths(routes)]
    matches = [{"path": {"type": kind, "value": path}} for path, kind in PATHS.items()]
    rules = [
        {"matches": matches[at : at + MOST_MATCHES], "backendRefs": backends}
        for at in range(0, len(matches), MOST_MATCHES)
    ]
    parents = [_build_parent(parent) for parent in spec.parent_refs]
    wanted: dict[str, Any] = {"parentRefs": parents, "rules": rules}
    if spec.hostnames:
        wanted["hostnames"] = list(spec.hostnames)
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": KIND,
        "metadata": {"name": name, "labels": names.labels(name)},
        "spec": wanted,
    }


def is_route_within(live: Object, intent: Object) -> bool:
    """Say whether a route that is there leads requests as the intent would."""
    return is_within(intent["spec"], live.get("spec"))


def is_unanswered(live: Object) -> bool:
    """Say whether no controller has answered for the route, for any of its Gateways."""
    return not any(_list_answers(live, parent) for parent in _list_parents(live))


def check_acceptance(live: Object) -> Finding | None:
    """Return what keeps the route from being taken up by all its Gateways, or None when all have."""
    for parent in _list_parents(live):
        if not _list_answers(live, parent):
            text = f"No controller of {_name_gateway(live, parent)} has answered for {_name_route(live)} yet."
            since = read_time(live["metadata"].get("creationTimestamp"))
            return Finding(Reason.STARTING_GATEWAY, text, since)
        if (found := _check_parent(live, parent)) is not None:
            return found
    return None


def check_http_route(live: Object, now: datetime) -> Finding | None:
    """Return what is lacking, as trouble once nobody has answered for too long."""
    found, since = check_acceptance(live), live["metadata"].get("creationTimestamp")
    unheard = not all(_list_answers(live, parent) for parent in _list_parents(live))
    if found is None or not unheard or since is None:
        return found
    if now - datetime.fromisoformat(since) <= timedelta(seconds=UNHEARD_SECONDS):
        return found
    advice = "Check that the Gateway exists and that a controller of its class runs."
    return replace(found, reason=Reason.ROUTE_NOT_ACCEPTED, message=f"{found.message} {advice}")


def list_gateway_namespaces(live: Object) -> frozenset[str]:
    """Return the namespaces of the Gateways that an HTTPRoute names."""
    own = live["metadata"]["namespace"]
    return frozenset(parent.get("namespace", own) for parent in _list_parents(live))


def _list_parents(live: Object) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = live.get("spec", {}).get("parentRefs") or []
    return found


def _list_answers(live: Object, parent: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    own, told = live["metadata"]["namespace"], live.get("status", {}).get("parents") or []
    return [t for t in told if _build_key(t.get("parentRef", {}), own) == _build_key(parent, own)]


def _check_parent(live: Object, parent: Mapping[str, Any]) -> Finding | None:
    conditions = [c for told in _list_answers(live, parent) for c in told.get("conditions") or []]
    generation = live["metadata"].get("generation")
    for kind in ("Accepted", "ResolvedRefs"):
        told = [c for c in conditions if c.get("type") == kind]
        if not told or any(c.get("observedGeneration") != generation for c in told):
            text = f"{_name_gateway(live, parent)} has not applied the current {_name_route(live)} yet."
            return Finding(Reason.STARTING_GATEWAY, text)
        refused = next((c for c in told if c.get("status") != "True"), None)
        if refused is not None:
            text = join_sentences(
                f"{_name_gateway(live, parent)} refuses {_name_route(live)}. Its condition {kind} is "
                f"{refused.get('status')} ({refused.get('reason')}). It says: {refused.get('message', '(nothing)')}",
                "Change spec.gateway.httpRoute or the Gateway.",
            )
            return Finding(Reason.ROUTE_NOT_ACCEPTED, text)
    return None


def _name_route(live: Object) -> str:
    return f"HTTPRoute {live['metadata']['name']}"


def _name_gateway(live: Object, parent: Mapping[str, Any]) -> str:
    return f"Gateway {parent['name']} of namespace {_build_key(parent, live['metadata']['namespace'])[1]}"


def _build_key(parent: Mapping[str, Any], own: str) -> tuple[str, str, str]:
    return parent.get("name", ""), parent.get("namespace") or own, parent.get("sectionName") or ""


def _build_parent(parent: ParentReference) -> dict[str, str]:
    named = {"group": GROUP, "kind": "Gateway", "name": parent.name}
    if parent.namespace is not None:
        named["namespace"] = parent.namespace
    if parent.section_name is not None:
        named["sectionName"] = parent.section_name
    return named


def _build_backend(route: Route, weight: int, limit: str) -> dict[str, Any]:
    headers = {"x-llm-revision": route.revision, "x-llm-max-body-bytes": read_body_size(limit)}
    # A client must not keep its requests out of counts and logs, nor name somebody else's key: they are for console and gateway.
    # At most 16, as the Gateway API has it.
    forbidden = [
        f"x-llm-{name}"
        for name in (
            "uncounted",
            "user-requests",
            "key-name",
            "unique-id",
            "shadow",
            "arm",
            "bucket",
            "held",
        )
    ]
    change = {
        "set": [{"name": name, "value": str(value)} for name, value in headers.items()],
        "remove": forbidden,
    }
    modifier = {"type": "RequestHeaderModifier", "requestHeaderModifier": change}
    return {
        "kind": "Service",
        "name": route.service,
        "port": names.REPLICA_PORT,
        "weight": weight,
        "filters": [modifier],
    }
