"""`kubectl explain`: every field says what it is."""

from collections.abc import Iterator
from typing import Any

from llmdeployment_operator.api.crd import build_crd

GIVEN = {".apiVersion", ".kind", ".metadata"}
"""Fields that the API server describes."""


def list_undescribed(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        if not child.get("description"):
            yield f"{path}.{name}"
        yield from list_undescribed(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from list_undescribed(node[key], f"{path}[]")


def test_every_field_is_described() -> None:
    (version,) = build_crd()["spec"]["versions"]

    assert set(list_undescribed(version["schema"]["openAPIV3Schema"])) == GIVEN
