"""HAProxy's map files, as text: a key, a space, a value per line."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from llmdeployment_gateway.routes import Route, Routes

BUCKETS = "buckets.map"
FORCED = "forced.map"
KEYS = "keys.map"
SETTINGS = "settings.map"
SLOTS = "slots.map"


def lines(pairs: Mapping[str, str]) -> str:
    """Return pairs as a map file; neither side may hold white space, which nothing that gets here does."""
    return "".join(f"{key} {value}\n" for key, value in pairs.items())


def buckets(routes: Routes, slots: Mapping[str, str]) -> str:
    """Return bucket ranges (`0:499`, both inclusive) to `arm|revision|slot`."""
    return lines(
        {f"{first}:{route.below - 1}": _row(route, slots) for first, route in _with_buckets(routes)}
    )


def forced(routes: Routes, slots: Mapping[str, str]) -> str:
    """Return what a client may ask for by name.

    `revision:<N>` to a row, as `buckets` has it: of the first arm that has the revision. `arm:<name>` to `low|width`, the
    buckets of the arm, whose rows follow one another. `revisions` and `arms` list what there is; without rows the map is empty.
    """
    revisions: dict[str, str] = {}
    arms: dict[str, str] = {}
    by_arm = groupby(_with_buckets(routes), key=lambda pair: pair[1].arm)
    for arm, (*rows,) in by_arm:
        low, below = rows[0][0], rows[-1][1].below
        arms.setdefault(arm, f"{low}|{below - low}")
        for _, route in rows:
            revisions.setdefault(str(route.revision), _row(route, slots))
    if not arms:
        return ""
    return lines(
        {
            "revisions": ",".join(sorted(revisions, key=int)),
            "arms": ",".join(arms),
            **{f"revision:{number}": row for number, row in revisions.items()},
            **{f"arm:{name}": span for name, span in arms.items()},
        }
    )


def _with_buckets(routes: Routes) -> Iterator[tuple[int, Route]]:
    """Yield the rows that have buckets, each with its first one.

    A row of no bucket is left out: HAProxy would read `500:499` as it likes.
    """
    first = 0
    for route in routes.routes:
        if route.below > first:
            yield first, route
        first = route.below


def _row(route: Route, slots: Mapping[str, str]) -> str:
    return f"{route.arm}|{route.revision}|{slots[route.service]}"


def settings(routes: Routes) -> str:
    """Return what the configuration looks up by name."""
    return lines(
        {
            "salt": routes.salt,
            "hold.maxRequests": str(routes.hold.max_requests),
            "hold.seconds": str(routes.hold.seconds),
        }
    )
