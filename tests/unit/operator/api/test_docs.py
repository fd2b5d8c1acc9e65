"""docs/reference/api.md speaks of every field, flag and reason there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.rules import RESERVED_FLAGS
from llmdeployment_operator.plan.base.reasons import Reason

PAGE = (Path(__file__).parents[4] / "docs/reference/api.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(spec\.[^`]+)` \|", PAGE, re.MULTILINE)
LISTED_IN_ONE_ROW = frozenset({"secretKeyRef", "configMapKeyRef", "fieldRef", "overrides"})

Schema = dict[str, Any]


def _fields(node: Schema, path: str) -> Iterator[str]:
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}"
        if name not in LISTED_IN_ONE_ROW:
            yield from _fields(child, f"{path}.{name}")
            yield from _fields(child.get("items", {}), f"{path}.{name}[]")


def test_every_field_of_the_spec_has_one_row() -> None:
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert list(_fields(schema["properties"]["spec"], "spec")) == ROWS


def test_every_field_of_the_status_is_named() -> None:
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    revision = schema["properties"]["revisions"]["items"]["properties"]
    missing = [name for name in (*schema["properties"], *revision) if name not in PAGE]

    assert missing == []


def test_every_flag_and_every_reason_has_a_row() -> None:
    names = (*RESERVED_FLAGS, *(reason.value for reason in Reason))

    assert [name for name in names if f"| `{name}` |" not in PAGE] == []
