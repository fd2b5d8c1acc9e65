"""From a pydantic type to a structural schema, the dialect of OpenAPI v3 that a CRD takes.

Structural means: no `$ref`, every node has a type, no `null` in unions. Rules that JSON schema
cannot say are in `x-kubernetes-validations`, which the types bring along as `json_schema_extra`.
"""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "required",
        "type",
    }
)
_OF_TEXT = ("type", "minLength", "maxLength")


def build_structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a type, as its JSON looks (camelCase).

    Raises:
        TypeError: the type holds something a structural schema has no word for.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _build_node(schema, schema.get("$defs", {}))


def _build_node(raw: Schema, definitions: dict[str, Schema]) -> Schema:
    raw = _without_null(_resolve(raw, definitions))
    raw = _resolve(raw, definitions)
    node = {key: value for key, value in raw.items() if key in _KEPT or key.startswith("x-")}
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if "const" in raw:
        node["enum"] = [raw["const"]]
    if raw.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key not in _OF_TEXT}
    if raw.get("x-kubernetes-preserve-unknown-fields"):
        return node | ({"properties": raw["properties"]} if "properties" in raw else {})
    if "type" not in node:
        raise TypeError(f"no structural schema for {raw}")
    if "items" in raw:
        node["items"] = _build_node(raw["items"], definitions)
    if node["type"] == "object":
        node |= _build_children(raw, definitions)
    return _with_plain_default(node)


def _build_children(raw: Schema, definitions: dict[str, Schema]) -> Schema:
    if "properties" in raw:
        properties = raw["properties"].items()
        return {"properties": {name: _build_node(child, definitions) for name, child in properties}}
    values = raw.get("additionalProperties")
    if not isinstance(values, dict):
        raise TypeError(f"an object needs properties or typed values: {raw}")
    return {"additionalProperties": _build_node(values, definitions)}


def _resolve(raw: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a `$ref` as what it refers to; what is said beside it wins."""
    if "$ref" not in raw:
        return raw
    target = definitions[raw["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in raw.items() if key != "$ref"}}


def _without_null(raw: Schema) -> Schema:
    """Return `X or null` as X: in an object of the API an absent field and null are the same."""
    options = [option for option in raw.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) != 1:
        return raw
    return {**options[0], **{key: value for key, value in raw.items() if key != "anyOf"}}


def _with_plain_default(node: Schema) -> Schema:
    """Return the node with a default the API server can use.

    An object's default is `{}`: the defaults of its own fields then fill it. None and empty values
    say nothing.
    """
    default = node.pop("default", None)
    if node["type"] == "object" and default is not None:
        return {**node, "default": {}}
    return node if default in (None, "", [], ()) else {**node, "default": default}
