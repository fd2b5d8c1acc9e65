"""Parts of `spec.gateway`: how many requests wait, and for mode HTTPRoute the Gateways of the cluster that requests come through."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.assignment import API_KEY_RULE, NO_API_KEYS
from llmdeployment_operator.api.cors import CORS_WITH_HTTPROUTE, CorsSpec
from llmdeployment_operator.api.fields import Extension, Model, ObjectName, Text, cel
from llmdeployment_operator.api.placement import SERVICE_WITH_HTTPROUTE
from llmdeployment_operator.api.rollout import AnalysisSpec

HTTPROUTE_MISSING = "spec.gateway.mode HTTPRoute needs spec.gateway.httpRoute, such as {parentRefs: [{name: my-gateway}]}."
HTTPROUTE_WITHOUT_MODE = "spec.gateway.httpRoute is for spec.gateway.mode HTTPRoute only. Set the mode, or remove httpRoute."
KEYS_WITH_HTTPROUTE = (
    "spec.gateway.apiKeysSecretRef has no effect with spec.gateway.mode HTTPRoute, so everybody would be let in. "
    "Remove it, and let the Gateway authenticate clients."
)
ASSIGNMENT_WITH_HTTPROUTE = (
    "spec.gateway.assignment.keys and allowForcing have no effect with spec.gateway.mode HTTPRoute, "
    "which knows no users. Remove them."
)
ERROR_RATE_WITH_HTTPROUTE = (
    "spec.rollout.analysis cannot compare errorRate with spec.gateway.mode HTTPRoute, because only the built-in gateway "
    "counts errors. Use the latency metrics ttft, itl or e2e."
)
FEEDBACK_WITH_HTTPROUTE = (
    "spec.rollout.analysis cannot compare feedback with spec.gateway.mode HTTPRoute, because only the built-in gateway "
    "takes votes. Use the latency metrics ttft, itl or e2e."
)

LIMIT_WITHOUT_KEYS = (
    "spec.gateway.limits.requestsPerKey needs spec.gateway.apiKeysSecretRef. Set both, or neither."
)

# Rules are tried on the default `{}` too, before its fields have theirs.
_MODE = "has(self.mode) && self.mode == 'HTTPRoute'"
_ASSIGNED = "has(self.allowForcing) && self.allowForcing || has(self.assignment) && has(self.assignment.keys)"
GATEWAY: Extension = cel(
    (f"!({_MODE}) || has(self.httpRoute)", HTTPROUTE_MISSING),
    (f"!has(self.httpRoute) || ({_MODE})", HTTPROUTE_WITHOUT_MODE),
    (f"!({_MODE}) || !has(self.apiKeysSecretRef)", KEYS_WITH_HTTPROUTE),
    (f"!({_MODE}) || !({_ASSIGNED})", ASSIGNMENT_WITH_HTTPROUTE),
    (f"!({_MODE}) || !has(self.service)", SERVICE_WITH_HTTPROUTE),
    (f"!({_MODE}) || !has(self.cors)", CORS_WITH_HTTPROUTE),
    (API_KEY_RULE, NO_API_KEYS),
    (
        "!has(self.limits) || !has(self.limits.requestsPerKey) || has(self.apiKeysSecretRef)",
        LIMIT_WITHOUT_KEYS,
    ),
)


def _refuse_metric(name: str) -> str:
    return (
        "!(has(self.gateway.mode) && self.gateway.mode == 'HTTPRoute') || !has(self.rollout.analysis) || "
        f"!self.rollout.analysis.metrics.exists(m, m.name == '{name}')"
    )


COUNTED_BY_GATEWAY = (
    (_refuse_metric("errorRate"), ERROR_RATE_WITH_HTTPROUTE),
    (_refuse_metric("feedback"), FEEDBACK_WITH_HTTPROUTE),
)
"""Rules of `spec`: they look at two of its fields."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_namespace = Text(1, 63).must(
    _LABEL, "must be the name of a namespace and contain only lower-case letters, digits and -"
)
_section = Text(1, 253).must(
    r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "must be the name of one of the Gateway's listeners"
)
_hostname = Text(1, 253).must(
    rf"(\*\.)?{_LABEL}(\.{_LABEL})*",
    "must be a host name such as chat.example.com or *.example.com, without a port",
)

_body_size = Text(1, 5).must(
    "([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-6])Mi",
    "must be a whole number of Mi from 1Mi to 256Mi, such as 32Mi",
)

BodySize = Annotated[str, *_body_size.annotations()]
Namespace = Annotated[str, *_namespace.annotations()]
Section = Annotated[str, *_section.annotations()]
Hostname = Annotated[str, *_hostname.annotations()]


class Hold(Model):
    """How long, and how many, requests wait at the gateway while no replica is ready."""

    max_requests: Annotated[int, Field(ge=0, le=10000)] = 64
    """How many requests may wait. The next one is refused with 503. 0 refuses all at once."""
    seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """How many seconds a request may wait before it is refused with 503."""


class Queue(Model):
    """How long, and how many, requests wait at each gateway pod while all ready replicas have as many as they take at once."""

    max_requests: Annotated[int, Field(ge=1, le=8000)] = 1000
    """How many requests may wait. One more is refused with 429."""
    max_seconds: Annotated[int, Field(ge=1, le=900)] = 60
    """How many seconds a request may wait before it is refused with 503. Who came first is served first."""


class Limits(Model):
    """How much of each gateway pod one client may take."""

    connections_per_source: Annotated[int, Field(ge=1, le=8000)] = 4000
    """Connections from one address at once. One more is closed. Behind a proxy, all clients have its address."""
    requests_per_key: Annotated[int, Field(ge=1, le=8000)] | None = None
    """Requests with one API key at once. One more is refused with 429. Default: no limit."""


def read_body_size(text: str) -> int:
    """Return a body's size in bytes.

    >>> read_body_size("32Mi")
    33554432
    """
    return int(text.removesuffix("Mi")) * 2**20


class ParentReference(Model):
    """A Gateway (gateway.networking.k8s.io)."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: Namespace | None = None
    """Namespace of the Gateway, whose pods may connect to the replicas. Default: the LLMDeployment's."""
    section_name: Section | None = None
    """Name of one listener of the Gateway. Default: all listeners."""


class HTTPRouteSpec(Model):
    """The HTTPRoute that the operator writes instead of the built-in gateway."""

    parent_refs: Annotated[
        tuple[ParentReference, ...], Field(strict=False, min_length=1, max_length=8)
    ]
    """The Gateways that requests come through."""
    hostnames: Annotated[tuple[Hostname, ...], Field(strict=False, max_length=16)] = ()
    """Host names that the route matches. Default: all that the listeners accept."""


def check_gateway(
    mode: str,
    http_route: HTTPRouteSpec | None,
    cors: CorsSpec | None,
    *,
    keys: bool,
    assigned: bool,
) -> None:
    """Refuse Gateways without the mode, the mode without them, and with it what only the built-in gateway does: API keys, assignment, CORS.

    Raises:
        ValueError: what to do instead.
    """
    routed = mode == "HTTPRoute"
    if routed and http_route is None:
        raise ValueError(HTTPROUTE_MISSING)
    if not routed and http_route is not None:
        raise ValueError(HTTPROUTE_WITHOUT_MODE)
    if routed and keys:
        raise ValueError(KEYS_WITH_HTTPROUTE)
    if routed and assigned:
        raise ValueError(ASSIGNMENT_WITH_HTTPROUTE)
    if routed and cors is not None:
        raise ValueError(CORS_WITH_HTTPROUTE)


def check_analysis(mode: str, analysis: AnalysisSpec | None) -> None:
    """Refuse an analysis that would wait for ever.

    Raises:
        ValueError: what to do instead.
    """
    compared = {metric.name for metric in analysis.metrics} if analysis is not None else set()
    if mode == "HTTPRoute" and "errorRate" in compared:
        raise ValueError(ERROR_RATE_WITH_HTTPROUTE)
    if mode == "HTTPRoute" and "feedback" in compared:
        raise ValueError(FEEDBACK_WITH_HTTPROUTE)
