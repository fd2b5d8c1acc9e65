"""Random specs, made from the CRD's own schema: mostly of the right form, rarely sensible."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

CRD = Path(__file__).parents[2] / "manifests/crds/llmdeployments.yaml"
MOST_FIELDS = 3
"""Optional fields of an object: with more, nearly every spec breaks a rule."""

Strategy = st.SearchStrategy[Any]

_MATCHES = re.compile(r"self\.matches\(r'''(.*)'''\)")
_words = st.sampled_from(["a", "chat", "main", "x-user", "1", "10m", "A b", "", "é", "x" * 300])
_sources = st.sampled_from(["hf://a/b", "hf://a/b@main", "pvc://models/a", "file:///none"])
_amounts = st.one_of(st.integers(0, 4), st.sampled_from(["1", "500m", "16Gi", "20%", "x"]))
_scalars = st.one_of(_words, st.integers(-1, 5), st.booleans())
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(_words, inner, max_size=2)
    ),
    max_leaves=4,
)
_pod_fields = st.sampled_from(
    [
        "nodeSelector",
        "tolerations",
        "volumes",
        "containers",
        "priorityClassName",
        "priorityclass",
        "affinity",
        "securityContext",
        "terminationGracePeriodSeconds",
        "hostNetwork",
        "nodeName",
    ]
)
_flags = st.sampled_from(
    ["max-model-len", "dtype", "model", "lora-modules.name", "hf-token", "a", "A"]
)


@cache
def read_schema() -> dict[str, Any]:
    """Return the schema of `spec`."""
    document = yaml.safe_load(CRD.read_text())
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return dict(schema["properties"]["spec"])


def make_specs() -> Strategy:
    """Return a strategy for specs."""
    return _from_schema(read_schema(), "spec")


def _from_schema(schema: dict[str, Any], name: str) -> Strategy:
    if name == "source":
        return _mostly(_sources, _words)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return _amounts
    makers = {
        "object": _from_object,
        "array": _from_array,
        "integer": _from_integer,
        "string": _from_text,
        "boolean": lambda *_: st.booleans(),
    }
    return makers.get(schema.get("type", ""), lambda *_: _json)(schema, name)


def _mostly(right: Strategy, wrong: Strategy) -> Strategy:
    return st.integers(0, 19).flatmap(lambda chance: right if chance else wrong)


def _from_array(schema: dict[str, Any], name: str) -> Strategy:
    low, high = schema.get("minItems", 0), min(schema.get("maxItems", 2), 2)
    return st.lists(_from_schema(schema["items"], name), min_size=low, max_size=max(low, high))


def _from_integer(schema: dict[str, Any], _name: str) -> Strategy:
    low = schema.get("minimum", -1)
    return st.integers(low, min(schema.get("maximum", 100), low + 100))


def _from_text(schema: dict[str, Any], _name: str) -> Strategy:
    rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    patterns = [found[1] for rule in rules if (found := _MATCHES.fullmatch(rule))]
    patterns += [schema["pattern"]] if "pattern" in schema else []
    if not patterns:
        return _words
    right = st.from_regex(patterns[0], fullmatch=True, alphabet=st.characters(codec="ascii"))
    return _mostly(right, _words)


def _from_object(schema: dict[str, Any], name: str) -> Strategy:
    properties = schema.get("properties", {})
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        keys = {"spec": _pod_fields, "args": _flags}.get(name, _words)
        return st.dictionaries(keys, _json, max_size=2)
    if not properties:
        values = schema.get("additionalProperties", {})
        return st.dictionaries(_words, _from_schema(values, name), max_size=2)
    required = {key: _from_schema(properties[key], key) for key in schema.get("required", ())}
    optional = sorted(properties.keys() - required.keys())
    chosen = (
        st.lists(st.sampled_from(optional), max_size=MOST_FIELDS, unique=True)
        if optional
        else st.just([])
    )
    return chosen.flatmap(
        lambda keys: st.fixed_dictionaries(
            {**required, **{key: _from_schema(properties[key], key) for key in keys}}
        )
    )
