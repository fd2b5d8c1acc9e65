"""HAProxy's map files, as text: a key, a space, a value per line."""

from collections.abc import Mapping

from llmdeployment_gateway.routes import Routes

BUCKETS = "buckets.map"
KEYS = "keys.map"
SETTINGS = "settings.map"
SLOTS = "slots.map"


def lines(pairs: Mapping[str, str]) -> str:
    """Return pairs as a map file; neither side may hold white space, which nothing that gets here does."""
    return "".join(f"{key} {value}\n" for key, value in pairs.items())


def buckets(routes: Routes, slots: Mapping[str, str]) -> str:
    """Return bucket ranges (`0:499`, both inclusive) to `arm|revision|slot`.

    A row of no bucket is left out: HAProxy would read `500:499` as it likes.
    """
    first, pairs = 0, {}
    for route in routes.routes:
        if route.below > first:
            row = f"{route.arm}|{route.revision}|{slots[route.service]}"
            pairs[f"{first}:{route.below - 1}"] = row
        first = route.below
    return lines(pairs)


def settings(routes: Routes) -> str:
    """Return what the configuration looks up by name."""
    return lines(
        {
            "salt": routes.salt,
            "hold.maxRequests": str(routes.hold.max_requests),
            "hold.seconds": str(routes.hold.seconds),
        }
    )
