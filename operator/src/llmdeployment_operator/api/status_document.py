"""Reads and writes the `status` of an LLMDeployment.

Reading is lenient: what an operator of another version wrote there must not stop this one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_part import StatusPart

_Part = TypeVar("_Part", bound=StatusPart)


def dump_status(status: Status) -> dict[str, Any]:
    """Return a status as the API has it.

    >>> from llmdeployment_operator.api.status import ArmStatus
    >>> dump_status(Status(replicas=1, arms=(ArmStatus(name="main", canary_weight=5),)))["arms"]
    [{'name': 'main', 'weight': 100, 'canaryWeight': 5}]
    """
    return status.model_dump(mode="json", by_alias=True)


def read_status(document: object) -> Status:
    """Return what can be read of a status.

    A status is the operator's own, but another version of it may have written it, or somebody by hand.
    A row that cannot be read is left out, and a field that cannot be read has its default.

    >>> found = read_status({"arms": [{"name": "main", "stable": 3, "step": "x"}, {"step": 1}], "replicas": "many"})
    >>> [(arm.name, arm.stable, arm.step) for arm in found.arms], found.replicas
    ([('main', 3, None)], 0)
    """
    try:
        return Status.model_validate(document)
    except ValidationError:
        return _read_part(Status, document) or Status()


def _read_part(kind: type[_Part], document: object) -> _Part | None:
    """Return a part of a status, or None where what it cannot do without is missing."""
    if not isinstance(document, Mapping):
        return None
    found = {
        field.alias or name: _read_field(kind, name, document[field.alias or name])
        for name, field in kind.model_fields.items()
        if (field.alias or name) in document
    }
    try:
        return kind.model_validate(
            {key: value for key, value in found.items() if value is not None}
        )
    except ValidationError:
        return None


def _read_field(kind: type[StatusPart], name: str, value: object) -> object:
    """Return the value of a field, or None where it cannot be read."""
    field = kind.model_fields[name]
    row = _find_part(field.annotation)
    if row is None:
        try:
            return _make_adapter(kind, name).validate_python(value)
        except ValidationError:
            return None
    if get_origin(field.annotation) is not tuple:
        return _read_part(row, value)
    rows = value if isinstance(value, (list, tuple)) else ()
    read = tuple(part for each in rows if (part := _read_part(row, each)) is not None)
    return read[-_find_most(field) :]


@cache
def _make_adapter(kind: type[StatusPart], name: str) -> TypeAdapter[Any]:
    field = kind.model_fields[name]
    annotation: Any = field.annotation
    for each in field.metadata:
        annotation = Annotated[annotation, each]
    return TypeAdapter(annotation)


def _find_part(annotation: Any) -> type[StatusPart] | None:  # noqa: ANN401  # because annotations have no type
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, StatusPart) else None
    return next((part for each in get_args(annotation) if (part := _find_part(each))), None)


def _find_most(field: FieldInfo) -> int:
    """Return how many rows a list may have."""
    return next((m.max_length for m in field.metadata if hasattr(m, "max_length")), 0)
