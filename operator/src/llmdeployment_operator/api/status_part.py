"""What every part of the status of an LLMDeployment has in common."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.alias_generators import to_camel


def _cut(value: object) -> object:
    """Return a message with no more characters than the field has room for: the API server would refuse the whole status.

    >>> len(str(_cut("no " * 1000)))
    1024
    """
    return value[:MESSAGE] if isinstance(value, str) else value


MESSAGE = 1024
"""Characters of a message. What is longer is cut."""

Message = Annotated[str, BeforeValidator(_cut), Field(max_length=MESSAGE)]


class StatusPart(BaseModel):
    """A part of the status. What another version of the operator added is ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    @model_serializer(mode="wrap")
    def _leave_out_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the fields that say something: neither null nor an empty list."""
        return {key: value for key, value in handler(self).items() if value not in (None, [])}
