"""What a request is assigned to an arm and a revision by: `spec.gateway.assignment`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from llmdeployment_operator.api.fields import Model, Text, cel

API_KEY = "APIKey"
DEFAULT_KEYS = ("Header/x-user", API_KEY)

_key = (
    Text(1, 69)
    .must(
        r"Header/[a-z0-9][a-z0-9_-]{0,61}|Body/[A-Za-z_][A-Za-z0-9_-]{0,61}|APIKey",
        "spec.gateway.assignment.keys can contain Header/<name> (lower case), Body/<top-level field> and APIKey only. "
        "Write Header/x-user or Body/user, for example.",
    )
    .never(
        "Header/x-llm-",
        "spec.gateway.assignment.keys cannot contain the gateway's own headers x-llm-*. Use another header.",
    )
    .never(
        "Header/authorization",
        "spec.gateway.assignment.keys cannot contain Header/authorization. Use APIKey instead.",
    )
)
_salt = Text(0, 64).must(
    r"[!-~]*",
    "spec.gateway.assignment.salt must contain only printable ASCII characters without spaces.",
)
AssignmentKey = Annotated[str, *_key.annotations()]
Salt = Annotated[str, *_salt.annotations()]

KEY_TWICE = "spec.gateway.assignment.keys contains a key twice. Remove one of the two."
_KEYS = cel(("self.all(k, self.exists_one(other, other == k))", KEY_TWICE))
NO_API_KEYS = (
    "spec.gateway.assignment.keys contains APIKey, but clients have no API keys. "
    "Set spec.gateway.apiKeysSecretRef, or remove APIKey."
)
API_KEY_RULE = (
    "has(self.apiKeysSecretRef) || !has(self.assignment) || !has(self.assignment.keys) "
    "|| !('APIKey' in self.assignment.keys)"
)
"""A rule of `spec.gateway`, which has the keys."""


class AssignmentSpec(Model):
    """How a request finds its arm and revision. A hash of salt and key decides, so requests with the same key stay together."""

    keys: (
        Annotated[
            tuple[AssignmentKey, ...],
            Field(
                strict=False,
                min_length=1,
                max_length=4,
                json_schema_extra={"x-kubernetes-list-type": "atomic", **_KEYS},
            ),
        ]
        | None
    ) = None
    """Where a request's key comes from: `Header/<name>`, `Body/<top-level field>` or `APIKey`. The first one that the request has
    counts. Requests that have none are split evenly. Default: Header/x-user, then APIKey."""
    salt: Salt = ""
    """A new salt assigns all keys anew. Default: the object's uid."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.keys is not None and len(set(self.keys)) < len(self.keys):
            raise ValueError(KEY_TWICE)
        return self
