"""HAProxy's map files as text: a key, a space and a value per line."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from llmdeployment_gateway.routes import Route, Routes

BUCKETS = "buckets.map"
FORCED = "forced.map"
KEYS = "keys.map"
SETTINGS = "settings.map"
SLOTS = "slots.map"


def format_map(pairs: Mapping[str, str]) -> str:
    """Return pairs as a map file. Callers pass no white space in keys or values."""
    return "".join(f"{key} {value}\n" for key, value in pairs.items())


def format_buckets(routes: Routes, slots: Mapping[str, str]) -> str:
    """Return the map from bucket ranges (`0:499`, both inclusive) to `arm|revision|slot`."""
    return format_map(
        {
            f"{first}:{route.below - 1}": _format_row(route, slots)
            for first, route in _list_ranges(routes)
        }
    )


def format_choices(routes: Routes, slots: Mapping[str, str]) -> str:
    """Return the map of what a client may choose.

    `revision:<N>` leads to a row as in `format_buckets`, of the first arm that has the revision. `arm:<name>` leads to
    `low|width`: the first bucket of the arm and how many it has. `revisions` and `arms` list all names. Without rows the map
    is empty.
    """
    revisions: dict[str, str] = {}
    arms: dict[str, str] = {}
    by_arm = groupby(_list_ranges(routes), key=lambda pair: pair[1].arm)
    for arm, (*rows,) in by_arm:
        low, below = rows[0][0], rows[-1][1].below
        arms.setdefault(arm, f"{low}|{below - low}")
        for _, route in rows:
            revisions.setdefault(str(route.revision), _format_row(route, slots))
    if not arms:
        return ""
    return format_map(
        {
            "revisions": ",".join(sorted(revisions, key=int)),
            "arms": ",".join(arms),
            **{f"revision:{number}": row for number, row in revisions.items()},
            **{f"arm:{name}": span for name, span in arms.items()},
        }
    )


def _list_ranges(routes: Routes) -> Iterator[tuple[int, Route]]:
    """Yield each row that has buckets, with its first bucket.

    Rows without buckets are left out: HAProxy does not define what `500:499` means.
    """
    first = 0
    for route in routes.routes:
        if route.below > first:
            yield first, route
        first = route.below


def _format_row(route: Route, slots: Mapping[str, str]) -> str:
    return f"{route.arm}|{route.revision}|{slots[route.service]}"


def format_settings(routes: Routes) -> str:
    """Return the map of settings that the configuration looks up by name."""
    return format_map(
        {
            "salt": routes.salt,
            "hold.maxRequests": str(routes.hold.max_requests),
            "hold.seconds": str(routes.hold.seconds),
        }
    )
