"""The routing that the gateway is told to do, as the routes ConfigMap holds it.

The ConfigMap is also where the operator remembers which revision serves: it is read back at every pass, so a restart
of the operator forgets nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object

BUCKETS = 10_000
ARM = "main"
"""The one arm of a spec that names none."""
_KEY = "routes.json"


@dataclass(frozen=True)
class Route:
    """One row: requests of this arm up to bucket `below` go to this revision."""

    arm: str
    revision: int
    service: str
    below: int


@dataclass(frozen=True)
class Share:
    """What an arm's requests are divided into.

    Attributes:
        arm: its name.
        weight: its percent of all requests.
        stable: revision and Service.
        canary: the same of the canary, or None.
        canary_weight: the canary's percent of the arm's requests.
    """

    arm: str
    weight: int
    stable: tuple[int, str]
    canary: tuple[int, str] | None = None
    canary_weight: int = 0


def build_routes(shares: Iterable[Share]) -> tuple[Route, ...]:
    """Return the routes: each arm's buckets in a row, its canary growing from their lower end.

    So a canary whose weight rises moves users one way only, and a weight that goes from an arm to its neighbour moves only the users
    between them.

    >>> ab = build_routes([Share("a", 90, (1, "x"), (2, "y"), 5), Share("b", 10, (3, "z"))])
    >>> [(row.arm, row.revision, row.below) for row in ab]
    [('a', 2, 450), ('a', 1, 9000), ('b', 3, 10000)]
    """
    found: list[Route] = []
    first = 0
    for share in shares:
        width = share.weight * BUCKETS // 100
        if share.canary is not None and share.canary_weight:
            below = first + width * share.canary_weight // 100
            found.append(Route(share.arm, *share.canary, below))
        first += width
        found.append(Route(share.arm, *share.stable, first))
    return tuple(found)


def measure_widths(routes: tuple[Route, ...]) -> list[tuple[Route, int]]:
    """Return each row with its number of buckets."""
    firsts = (0, *(route.below for route in routes))
    return [(route, route.below - first) for route, first in zip(routes, firsts, strict=False)]


def sum_weights(routes: tuple[Route, ...]) -> dict[str, int]:
    """Return each arm's percent of all requests, in the order of their buckets.

    >>> sum_weights(build_routes([Share("a", 90, (1, "x"), (2, "y"), 5), Share("b", 10, (3, "z"))]))
    {'a': 90, 'b': 10}
    """
    found: dict[str, int] = {}
    for route, width in measure_widths(routes):
        found[route.arm] = found.get(route.arm, 0) + width
    return {arm: width * 100 // BUCKETS for arm, width in found.items()}


def find_stable(routes: tuple[Route, ...], arm: str) -> int | None:
    """Return the revision that has an arm's requests, or all of them but its canary's."""
    return next((route.revision for route in reversed(routes) if route.arm == arm), None)


def find_canary(routes: tuple[Route, ...], arm: str) -> tuple[int, int] | None:
    """Return the canary of an arm, and the percent of the arm's requests that these routes give it.

    >>> ab = build_routes([Share("a", 90, (1, "x"), (2, "y"), 5), Share("b", 10, (3, "z"))])
    >>> find_canary(ab, "a"), find_canary(ab, "b")
    ((2, 5), None)
    """
    of_arm = [(route, width) for route, width in measure_widths(routes) if route.arm == arm]
    if len(of_arm) < 2:  # noqa: PLR2004  # because it takes a canary and a stable one
        return None
    canary, width = of_arm[0]
    return canary.revision, width * 100 // sum(each for _, each in of_arm)


def read_routes(config_map: Object | None) -> tuple[Route, ...]:
    """Return the routes a ConfigMap holds; none when it is absent or somebody emptied it."""
    try:
        rows = json.loads((config_map or {})["data"][_KEY])["routes"]
        return tuple(Route(**row) for row in rows)
    except (KeyError, TypeError, ValueError):
        return ()


def has_canary(config_maps: Iterable[Object]) -> bool:
    """Say whether two revisions share the requests of an arm by the routes in one of these ConfigMaps."""
    return any(
        len({route.arm for route in routes}) < len(routes)
        for routes in map(read_routes, config_maps)
    )


def build_routes_config_map(
    deployment: LLMDeployment,
    routes: tuple[Route, ...],
    served_name: str,
    replica_requests: Mapping[str, int] | None = None,
) -> Object:
    """Return the ConfigMap for the gateway's agent.

    Args:
        deployment: the owner.
        routes: who gets the requests.
        served_name: that of the revisions that answer.
        replica_requests: Service to the requests that each of its replicas takes at once, where that is not the default.
    """
    hold = deployment.spec.gateway.hold
    document: dict[str, Any] = {
        "deployment": deployment.metadata.name,
        "servedName": served_name,
        "salt": deployment.spec.gateway.assignment.salt or deployment.metadata.uid,
        "hold": {"maxRequests": hold.max_requests, "seconds": hold.seconds},
        "routes": [vars(route) for route in routes],
    }
    # Beside the rows and not in them: an operator of an earlier version reads the rows back.
    if replica_requests:
        document["replicaRequests"] = dict(replica_requests)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.routes_name(deployment.metadata.name),
            "labels": names.labels(deployment.metadata.name),
        },
        "data": {_KEY: json.dumps(document, sort_keys=True)},
    }


def hash_routes(config_map: Object) -> str:
    """Return what a gateway's `/stats` says as `routesHash` once it has applied this ConfigMap."""
    return hashlib.sha256(config_map["data"][_KEY].encode()).hexdigest()[:16]
