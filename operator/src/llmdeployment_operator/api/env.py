"""Environment variables of the worker's container."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api import rules
from llmdeployment_operator.api.fields import KeyName, Model, ObjectName


class KeyReference(Model):
    """One key of a Secret or a ConfigMap."""

    name: ObjectName
    """Name of the object."""
    key: KeyName
    """Key in the object."""
    optional: bool | None = None
    """Whether the pod starts although it is missing."""


class FieldReference(Model):
    """A field of the pod."""

    field_path: Annotated[str, Field(min_length=1, max_length=256)]
    """Path of the field, such as `status.hostIP`."""


class EnvSource(Model):
    """Where a variable's value comes from: exactly one of these."""

    model_config = ConfigDict(json_schema_extra=rules.ENV_SOURCE)

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""
    field_ref: FieldReference | None = None
    """A field of the pod."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(rules.ONE_ENV_SOURCE)
        return self


class EnvVar(Model):
    """An environment variable of the worker's container."""

    model_config = ConfigDict(json_schema_extra=rules.ENV_VAR)

    name: rules.EnvName
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """The value itself."""
    value_from: EnvSource | None = None
    """Where the value comes from instead."""

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value is not None and self.value_from is not None:
            raise ValueError(rules.VALUE_OR_SOURCE)
        return self
