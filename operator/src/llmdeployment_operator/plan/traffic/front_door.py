"""What clients come in by: the built-in gateway, or an HTTPRoute for Gateways of the cluster.

A change from one to the other writes the new door first; the old one stays until the new one routes as the routes say.
"""

from dataclasses import replace
from datetime import datetime

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.routes import Route, hash_routes, read_routes
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.observed import readiness
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.resources.network_policies import build_gateway_policy
from llmdeployment_operator.plan.traffic import http_route
from llmdeployment_operator.plan.traffic.gateway import build_gateway

UNWATCHED_SECONDS = 30.0
"""How often an HTTPRoute is looked at: it is not watched, since its kind may be missing when the operator starts."""
_SOON = 2.0

LOST = (
    "spec.gateway.mode is HTTPRoute. Users do not stay with an arm or a revision. The Gateway splits the requests, not exactly. "
    "Requests are not held while no replica is ready. API keys are not checked. Errors are not counted (errorRate). "
    "There is no feedback."
)


def build_before_routes(
    deployment: LLMDeployment, settings: Settings, feedback_key: str
) -> list[Object]:
    """Return the objects of the front door that are written before the routes: a gateway starts while models load."""
    if deployment.spec.gateway.http_route is not None:
        return []
    name = deployment.metadata.name
    return [
        build_gateway_policy(name, settings),
        *build_gateway(deployment, settings, feedback_key),
    ]


def build_after_routes(deployment: LLMDeployment, routes: tuple[Route, ...]) -> list[Object]:
    """Return those written after them: the routes are what the operator remembers, so no traffic moves before they say so."""
    spec = deployment.spec.gateway.http_route
    return [] if spec is None else [http_route.build_http_route(deployment, spec, routes)]


def is_applied(deployment: LLMDeployment, cluster: ClusterState, config_map: Object) -> bool:
    """Say whether the front door routes by these routes, everywhere."""
    spec, live = deployment.spec.gateway.http_route, _find_live(deployment, cluster)
    if spec is None:
        return readiness.are_routes_applied(cluster, hash_routes(config_map))
    if live is None or not http_route.is_route_within(live, _build_intent(deployment, config_map)):
        return False
    return http_route.check_acceptance(live) is None


def is_accepted(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    """Say whether the Gateways have taken up the HTTPRoute that is there, whatever the spec asks for now."""
    live = _find_live(deployment, cluster)
    return live is not None and http_route.check_acceptance(live) is None


def is_silent(deployment: LLMDeployment, cluster: ClusterState) -> bool:
    """Say whether nobody tells the operator where the front door sends requests, although it is there."""
    if deployment.spec.gateway.http_route is not None:
        live = _find_live(deployment, cluster)
        return live is not None and http_route.is_unanswered(live)
    ready = any(is_ready(pod) for pod in readiness.select_pods(cluster, "gateway"))
    return ready and not cluster.gateways


def check_front_door(
    deployment: LLMDeployment,
    cluster: ClusterState,
    config_map: Object,
    service: str,
    now: datetime,
) -> Finding | None:
    """Return what the front door lacks to route to a service by these routes, or None."""
    if deployment.spec.gateway.http_route is None:
        return readiness.check_gateway(cluster, hash_routes(config_map), service)
    live = _find_live(deployment, cluster)
    if live is None or not http_route.is_route_within(live, _build_intent(deployment, config_map)):
        name = deployment.metadata.name
        return Finding(Reason.STARTING_GATEWAY, f"HTTPRoute {name} is being written.")
    return http_route.check_http_route(live, now)


def list_namespaces(deployment: LLMDeployment, cluster: ClusterState) -> frozenset[str]:
    """Return the namespaces whose pods may reach the replicas: those of Gateways that are meant, or still have a route."""
    own, spec = deployment.metadata.namespace, deployment.spec.gateway.http_route
    meant = {parent.namespace or own for parent in spec.parent_refs} if spec is not None else set()
    live = _find_live(deployment, cluster)
    return frozenset(meant) | (
        http_route.list_gateway_namespaces(live) if live is not None else frozenset()
    )


def recheck_after(deployment: LLMDeployment, cluster: ClusterState) -> float | None:
    """Return in how many seconds the front door has to be looked at because nobody tells of its changes, or None."""
    if deployment.spec.gateway.http_route is not None:
        return UNWATCHED_SECONDS
    return _SOON if _find_live(deployment, cluster) is not None else None


def find_endpoint(deployment: LLMDeployment) -> str:
    """Return where clients find the front door; empty when only the Gateway knows."""
    meta, spec = deployment.metadata, deployment.spec.gateway.http_route
    if spec is None:
        return f"http://{meta.name}.{meta.namespace}/v1"
    return next((host for host in spec.hostnames if not host.startswith("*")), "")


def explain_zero(deployment: LLMDeployment) -> str:
    """Return what becomes of requests when there is no replica."""
    if deployment.spec.gateway.http_route is None:
        return (
            "spec.replicas is 0. The gateway holds requests for as long as spec.gateway.hold says. "
            "Raise spec.replicas to serve them."
        )
    return "spec.replicas is 0. The Gateway refuses requests. Raise spec.replicas to serve them."


def add_note(conditions: list[Condition], deployment: LLMDeployment) -> list[Condition]:
    """Return the conditions with what a front door cannot do in the message of Accepted."""
    if deployment.spec.gateway.http_route is None:
        return conditions
    return [replace(c, message=LOST) if c.reason is Reason.ACCEPTED else c for c in conditions]


def _find_live(deployment: LLMDeployment, cluster: ClusterState) -> Object | None:
    return cluster.children.get((http_route.KIND, deployment.metadata.name))


def _build_intent(deployment: LLMDeployment, config_map: Object) -> Object:
    return build_after_routes(deployment, read_routes(config_map))[0]
