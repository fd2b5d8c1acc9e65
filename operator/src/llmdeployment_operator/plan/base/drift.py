"""Whether a live object still is what the operator wants it to be.

An object is left alone when it carries the hash of the current intent and every field of the intent has the
intended value in it. The first half notices a field that was dropped from the intent, the second a field that
somebody changed by hand; fields others added are theirs, as server-side apply has it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llmdeployment_operator.plan.base.names import INTENT
from llmdeployment_operator.plan.base.objects import Object

_QUANTITY = re.compile(r"^([+-]?[0-9.]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def digest(value: object, length: int = 8) -> str:
    """Return the first hex digits of the sha256 of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def seal(body: Object) -> Object:
    """Return the object with the hash of itself among its annotations."""
    meta = body["metadata"]
    annotations = {**meta.get("annotations", {}), INTENT: digest(body, 16)}
    return {**body, "metadata": {**meta, "annotations": annotations}}


def is_satisfied(intent: Object, live: Object | None) -> bool:
    """Say whether the live object needs no write to be what the sealed intent says."""
    return live is not None and is_within(intent, live)


def parse_quantity(value: object) -> Decimal:
    """Return a Kubernetes quantity as a number.

    >>> parse_quantity("1500m") == parse_quantity(1.5)
    True
    >>> parse_quantity("1Gi")
    Decimal('1073741824')

    Raises:
        ValueError: it is not a quantity.
    """
    match = _QUANTITY.match(str(value))
    if match is None:
        raise ValueError(f"not a quantity: {value!r}")
    return Decimal(match[1]) * _FACTORS[match[2] or ""]


def is_within(wanted: object, live: object) -> bool:  # noqa: PLR0911  # because each kind of value is one case
    """Say whether every field of `wanted` has its value in `live`, which may hold more."""
    if wanted == live:
        # Most parts are, and this compares them whole.
        return True
    if isinstance(wanted, dict):
        # An empty map or list and an absent one are the same to the API server.
        if not isinstance(live, dict):
            return not wanted and live is None
        return all(_is_field_within(key, value, live.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return not wanted and live is None
        if (key := _find_key(wanted, live)) is not None:
            by_key = {item[key]: item for item in live}
            return all(is_within(item, by_key.get(item[key])) for item in wanted)
        return len(wanted) == len(live) and all(
            is_within(w, v) for w, v in zip(wanted, live, strict=True)
        )
    return _is_same_quantity(wanted, live) or (live is None and wanted in (0, "", False))


_ATOMIC = frozenset({"selector", "podSelector", "nodeSelector", "parentRefs", "backendRefs"})
"""Maps and lists that server-side apply replaces whole (`+mapType=atomic`): one more entry in them is a change."""


def _is_field_within(name: str, wanted: object, live: object) -> bool:
    if name in _ATOMIC:
        return is_within(wanted, live) and is_within(live or {}, wanted)
    return is_within(wanted, live)


def _find_key(wanted: list[Any], live: list[Any]) -> str | None:
    """Return the field that tells the items of both lists apart, as server-side apply merges such lists by it."""
    for key in ("mountPath", "name"):
        if wanted and all(isinstance(item, Mapping) and key in item for item in (*wanted, *live)):
            unique = all(
                len({item[key] for item in items}) == len(items) for items in (wanted, live)
            )
            return key if unique else None
    return None


def _is_same_quantity(wanted: object, live: object) -> bool:
    try:
        return parse_quantity(wanted) == parse_quantity(live)
    except ValueError:
        return False
