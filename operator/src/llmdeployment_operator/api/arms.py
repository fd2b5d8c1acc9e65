"""Arms: named branches of an A/B/n test, each with a share of the requests: `spec.arms`."""

from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from llmdeployment_operator.api.fields import QUANTITY, Model, Text, cel

TEMPLATE_FIELDS = frozenset(
    {"model", "engine", "prompt", "resources", "parallelism", "image", "pod_template"}
)
"""Spec fields whose change makes a new revision; every other field is a policy, applied in place."""

_OVERRIDABLE = frozenset({"podTemplate"}) | TEMPLATE_FIELDS - {"pod_template"}
_RESERVED = ("stable", "canary")

_name = Text(1, 32).must(
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    "must start with a letter and contain only lower-case letters, digits and -, at most 32",
)
ArmName = Annotated[str, *_name.annotations()]

WEIGHTS = "The weights of spec.arms must add up to 100."
RESERVED = "spec.arms cannot contain the names stable and canary, which name revisions. Choose another name."
ARMS = cel(
    ("self.size() == 0 || self.map(a, a.weight).sum() == 100", WEIGHTS),
    (f"self.all(a, !(a.name in {list(_RESERVED)}))", RESERVED),
)
SERVED_NAME = "overrides cannot contain model.servedName, because clients send the same name to every arm. Remove it."

SELF_TEST = "overrides cannot contain engine.selfTest, which is for all arms. Set it in spec."


class ArmSpec(Model):
    """One arm. It has the template fields of the spec, except those that it overrides."""

    name: ArmName
    """Name of the arm in responses (`x-llm-arm`), metrics and status."""
    weight: Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"})]
    """Percent of the requests. The weights of all arms add up to 100."""
    overrides: Annotated[
        dict[str, JsonValue],
        Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
    ] = Field(default_factory=dict)
    """What differs from the spec in model, engine, prompt, resources, parallelism, image and podTemplate. Objects are merged field by
    field, lists are replaced, and null removes a field."""

    @model_validator(mode="after")
    def _of_the_template(self) -> Self:
        if others := sorted(self.overrides.keys() - _OVERRIDABLE):
            raise ValueError(
                f"overrides cannot contain {others[0]}, only {', '.join(sorted(_OVERRIDABLE))}. Set it in spec."
            )
        model = self.overrides.get("model")
        if isinstance(model, dict) and "servedName" in model:
            raise ValueError(SERVED_NAME)
        engine = self.overrides.get("engine")
        if isinstance(engine, dict) and "selfTest" in engine:
            raise ValueError(SELF_TEST)
        return self


def check_arms(arms: tuple[ArmSpec, ...]) -> None:
    """Check what concerns all arms together.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise ValueError("spec.arms contains a name twice. Give each arm a name of its own.")
    if set(names) & set(_RESERVED):
        raise ValueError(RESERVED)
    if arms and sum(arm.weight for arm in arms) != 100:  # noqa: PLR2004  # because weights are percents
        raise ValueError(WEIGHTS)


def merge_patch(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON merge patch (RFC 7396) applied: maps are merged, null removes, all else replaces.

    >>> merge_patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None, "e": 3}, "d": [2]})
    {'a': {'c': 2, 'e': 3}, 'd': [2]}
    """
    found = dict(base)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            mine = found.get(key)
            found[key] = merge_patch(mine if isinstance(mine, dict) else {}, value)
        else:
            found[key] = value
    return found


def build_overrides_schema(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the structural schema of `overrides`, made from that of the spec: the template fields, nothing required or defaulted.

    Rules on objects as a whole are left to the operator, which sees them merged with the spec.
    """
    fields = spec["properties"].items()
    properties = {name: _make_partial(node) for name, node in fields if name in _OVERRIDABLE}
    del properties["model"]["properties"]["servedName"]
    del properties["engine"]["properties"]["selfTest"]
    return {"type": "object", "properties": properties}


def _make_partial_map(node: dict[str, Any]) -> dict[str, Any]:
    """Return what is other in a map: amounts have a pattern where eight rules would cost too much."""
    values = dict(node["additionalProperties"])
    if values.get("x-kubernetes-int-or-string"):
        values["pattern"] = rf"^{QUANTITY}$"
    rules = [
        each
        for each in node.get("x-kubernetes-validations", [])
        if "isQuantity" not in each["rule"]
    ]
    return {
        "additionalProperties": values,
        **({"x-kubernetes-validations": rules} if rules else {}),
    }


def _make_partial(node: dict[str, Any]) -> dict[str, Any]:
    left_out = {"default", "required"}
    if "properties" in node and "x-kubernetes-preserve-unknown-fields" not in node:
        # They count on what is required, or cost more than the API server allows eight times over.
        left_out.add("x-kubernetes-validations")
    found = {key: value for key, value in node.items() if key not in left_out}
    if "additionalProperties" in node:
        found |= _make_partial_map(node)
    if "properties" in node:
        found["properties"] = {
            key: _make_partial(child) for key, child in node["properties"].items()
        }
    return found
