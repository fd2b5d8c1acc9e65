"""The user's `podTemplate` laid over a rendered pod template.

The rules are those of a strategic merge patch, as far as pod templates need them: maps are merged, lists of named
things are merged by their name (`MERGE_KEYS`), any other list is replaced.
"""

from typing import Any

from llmdeployment_operator.api.pod_template import MERGE_KEYS

_ONE_OF = frozenset({"volumes"})
"""A volume or variable has exactly one source, so an entry of the same name replaces the rendered one whole."""


def apply_overlay(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return the base with the patch laid over it.

    >>> apply_overlay({"spec": {"containers": [{"name": "ray", "image": "a"}]}},
    ...          {"spec": {"containers": [{"name": "ray", "tty": True}]}})
    {'spec': {'containers': [{'name': 'ray', 'image': 'a', 'tty': True}]}}
    """
    merged = dict(base)
    for key, value in patch.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            merged[key] = apply_overlay(mine, value)
        elif isinstance(mine, list) and isinstance(value, list) and key in MERGE_KEYS:
            merged[key] = _merge_lists(mine, value, key)
        else:
            merged[key] = value
    return merged


def _merge_lists(
    base: list[dict[str, Any]], patch: list[dict[str, Any]], field: str
) -> list[dict[str, Any]]:
    key = MERGE_KEYS[field]
    merged = {item.get(key): item for item in base}
    for item in patch:
        mine = merged.get(item.get(key))
        replaces = mine is None or field in _ONE_OF or (field == "env")
        merged[item.get(key)] = item if replaces else apply_overlay(mine or {}, item)
    return list(merged.values())
