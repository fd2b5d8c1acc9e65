"""The routing that the gateway is told to do, as the routes ConfigMap holds it.

The ConfigMap is also where the operator remembers which revision serves: it is read back at every pass, so a restart
of the operator forgets nothing.
"""

import hashlib
import json
from dataclasses import dataclass

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan import names
from llmdeployment_operator.plan.intent import Object

BUCKETS = 10_000
ARM = "main"
_KEY = "routes.json"


@dataclass(frozen=True)
class Route:
    """One row: requests of this arm up to bucket `below` go to this revision."""

    arm: str
    revision: int
    service: str
    below: int


def rows(stable: tuple[int, str], canary: tuple[int, str] | None, weight: int) -> tuple[Route, ...]:
    """Return the routes of an arm: the canary grows from the lower end, so that a rising weight moves users one way only.

    Args:
        stable: revision and Service.
        canary: the same of the canary, or None.
        weight: the canary's percent.

    >>> [(row.revision, row.below) for row in rows((1, "a"), (2, "b"), 5)]
    [(2, 500), (1, 10000)]
    """
    last = Route(ARM, *stable, BUCKETS)
    return (Route(ARM, *canary, weight * BUCKETS // 100), last) if canary and weight else (last,)


def canary_weight(routes: tuple[Route, ...], revision: int) -> int:
    """Return the percent that these routes give to a revision as a canary."""
    first = routes[0] if len(routes) > 1 else None
    return first.below * 100 // BUCKETS if first is not None and first.revision == revision else 0


def routes_of(config_map: Object | None) -> tuple[Route, ...]:
    """Return the routes a ConfigMap holds; none when it is absent or somebody emptied it."""
    try:
        rows = json.loads((config_map or {})["data"][_KEY])["routes"]
        return tuple(Route(**row) for row in rows)
    except (KeyError, TypeError, ValueError):
        return ()


def routes_config_map(
    deployment: LLMDeployment, routes: tuple[Route, ...], served_name: str
) -> Object:
    """Return the ConfigMap for the gateway's agent; `served_name` is that of the revisions that answer."""
    hold = deployment.spec.gateway.hold
    document = {
        "deployment": deployment.metadata.name,
        "servedName": served_name,
        "salt": deployment.metadata.uid,
        "hold": {"maxRequests": hold.max_requests, "seconds": hold.seconds},
        "routes": [vars(route) for route in routes],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.routes_name(deployment.metadata.name),
            "labels": names.labels(deployment.metadata.name),
        },
        "data": {_KEY: json.dumps(document, sort_keys=True)},
    }


def routes_hash(config_map: Object) -> str:
    """Return what a gateway's `/stats` says as `routesHash` once it has applied this ConfigMap."""
    return hashlib.sha256(config_map["data"][_KEY].encode()).hexdigest()[:16]
