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
        "spec.gateway.assignment.keys holds Header/<name> (lower case), Body/<top-level field> and APIKey only, "
        "such as Header/x-user, Body/user",
    )
    .never(
        "Header/x-llm-",
        "spec.gateway.assignment.keys cannot hold the gateway's own headers, x-llm-*: take another header",
    )
    .never(
        "Header/authorization",
        "spec.gateway.assignment.keys cannot hold Header/authorization: use APIKey",
    )
)
_salt = Text(0, 64).must(
    r"[!-~]*", "spec.gateway.assignment.salt must hold printable ASCII characters without spaces"
)
AssignmentKey = Annotated[str, *_key.annotations()]
Salt = Annotated[str, *_salt.annotations()]

KEY_TWICE = "spec.gateway.assignment.keys names a key twice: remove one of them"
_KEYS = cel(("self.all(k, self.exists_one(other, other == k))", KEY_TWICE))
NO_API_KEYS = (
    "spec.gateway.assignment.keys has APIKey and clients have no keys: "
    "set spec.gateway.apiKeysSecretRef, or remove APIKey"
)
API_KEY_RULE = (
    "has(self.apiKeysSecretRef) || !has(self.assignment) || !has(self.assignment.keys) "
    "|| !('APIKey' in self.assignment.keys)"
)
"""A rule of `spec.gateway`, which has the keys."""


class AssignmentSpec(Model):
    """How a request finds its arm and revision: the hash of salt and key, so that who has a key stays where they are."""

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
    """The first of these that a request has is its key: `Header/<name>`, `Body/<top-level field>` or `APIKey`. A request
    that has none of them goes to the next place of an even split. Default: Header/x-user, then APIKey."""
    salt: Salt = ""
    """Another salt is another draw: everybody is assigned anew. Default: the object's uid."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.keys is not None and len(set(self.keys)) < len(self.keys):
            raise ValueError(KEY_TWICE)
        return self
