"""`podTemplate`, and the shape that its spec must have as far as it is merged with the operator's own pods.

The CRD takes any fields there, so that the operator need not know every release's pods. The API server checks the merged pod; before
that, the operator has to be able to merge it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue, field_validator

from llmdeployment_operator.api import rules
from llmdeployment_operator.api.fields import Model

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
"""Lists whose entries are merged by a field, and that field. Source: the `patchMergeKey` tags of `k8s.io/api/core/v1`."""

Annotations = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]


class PodMetadata(Model):
    """Labels and annotations of the pods."""

    labels: Annotations | None = None
    """Labels to add. The labels that the operator selects pods by keep its values."""
    annotations: Annotations | None = None
    """Annotations to add."""


class PodTemplate(Model):
    """An overlay on the pods of head and workers (strategic merge patch). The container is called `ray`."""

    metadata: PodMetadata | None = None
    """Labels and annotations."""
    spec: Annotated[dict[str, JsonValue], Field(json_schema_extra=rules.POD_SPEC)] | None = None
    """Any fields of a pod's spec: nodeSelector, tolerations, volumes, priorityClassName, ..."""

    @field_validator("spec")
    @classmethod
    def _can_be_merged(cls, spec: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        check_overlay(spec)
        return spec


def check_overlay(spec: Mapping[str, Any] | None, path: str = "") -> None:
    """Check that each list of `MERGE_KEYS` is a list of objects, and that their keys are words or numbers.

    Raises:
        ValueError: a sentence with the place of the first that is not.

    >>> check_overlay({"containers": [{"name": "ray", "env": ["A=b"]}]})
    Traceback (most recent call last):
    ValueError: containers[0].env[0] must be an object with name, not a string. Correct it.
    """
    for field, key in MERGE_KEYS.items():
        value = (spec or {}).get(field)
        if value is not None:
            _check_list(value, key, f"{path}{field}")


def _check_list(value: object, key: str, place: str) -> None:
    _must(isinstance(value, list), f"{place} must be a list of objects", value)
    for number, item in enumerate(value if isinstance(value, list) else ()):
        here = f"{place}[{number}]"
        _must(isinstance(item, Mapping), f"{here} must be an object with {key}", item)
        single = not isinstance(item.get(key), Mapping | list)
        _must(single, f"{here}.{key} must be a single value", item.get(key))
        check_overlay(item, f"{here}.")


def _must(holds: bool, rule: str, value: object) -> None:  # noqa: FBT001  # because it reads as a sentence
    if not holds:
        raise ValueError(f"{rule}, not {_KINDS.get(type(value), 'an object')}. Correct it.")


_KINDS = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    type(None): "null",
}
