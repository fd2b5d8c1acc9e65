"""The CRD's files are those the types make, and its schema is one the API server takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from llmdeployment_operator.api import crd as program
from llmdeployment_operator.api.schema import build_structural

ROOT = Path(__file__).parents[4]
Schema = dict[str, Any]


@pytest.mark.parametrize(
    ("path", "text"),
    [(program.MANIFEST, program.format_manifest()), (program.TEMPLATE, program.format_template())],
    ids=["manifest", "chart"],
)
def test_the_files_are_what_the_types_make(path: Path, text: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make crds`"


def test_the_yaml_is_the_object() -> None:
    assert yaml.safe_load(program.format_manifest()) == program.build_crd()


def test_the_program_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["crd", str(tmp_path)])

    program.main()

    assert (tmp_path / program.MANIFEST).read_text(encoding="utf-8") == program.format_manifest()
    assert (tmp_path / program.TEMPLATE).read_text(encoding="utf-8") == program.format_template()


def _nodes(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _nodes(node[key], f"{path}[]")


def _spec() -> Schema:
    schema: Schema = program.build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return dict(_nodes(schema))[".spec"]


def test_every_string_list_and_map_of_the_spec_is_bounded() -> None:
    bounds = {
        "string": {"maxLength", "enum"},
        "array": {"maxItems"},
        "integer": {"maximum", "enum"},
    }
    unbounded = [
        path
        for path, node in _nodes(_spec())
        if (node.get("type") in bounds and not bounds[node["type"]] & node.keys())
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]

    assert unbounded == []


def test_no_field_of_the_spec_is_a_float() -> None:
    assert [path for path, node in _nodes(_spec()) if node.get("type") == "number"] == []


def test_every_field_of_the_spec_is_described() -> None:
    missing = [
        path for path, node in _nodes(_spec()) if "[]" not in path and "description" not in node
    ]

    assert missing == []


def test_a_type_without_a_structural_schema_is_an_error() -> None:
    class Loose(BaseModel):
        either: int | str

    with pytest.raises(TypeError, match="no structural schema"):
        build_structural(Loose)
