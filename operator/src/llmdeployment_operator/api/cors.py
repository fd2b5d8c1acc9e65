"""`spec.gateway.cors`: which pages of browsers may read answers. The fields have the names of Gateway API's CORS filter."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.fields import Extension, Model, Text, cel

ANY = "*"
CREDENTIALS_FOR_ALL = (
    "spec.gateway.cors.allowCredentials cannot be true with allowOrigins *, because every page could act as the user. "
    "Name the origins."
)
NOT_ALONE = (
    "In spec.gateway.cors.allowOrigins and allowHeaders, * means all, so it must be the only entry. "
    "Remove it, or the other ones."
)
CORS_WITH_HTTPROUTE = (
    "spec.gateway.cors has no effect with spec.gateway.mode HTTPRoute, because the Gateway answers browsers. "
    "Remove it, and set a CORS policy at the Gateway."
)

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_origin = Text(1, 253).must(
    rf"\*|https?://(\*\.)?{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?",
    "must be an origin in lower case and without a path, such as https://chat.example.com, http://localhost:3000 or "
    "https://*.example.com, or * for all",
)
_allowed_header = Text(1, 128).must(
    r"\*|[A-Za-z0-9_-]+",
    "must be the name of a header and contain only letters, digits, - and _, or * for all",
)
_exposed_header = Text(1, 128).must(
    r"[A-Za-z0-9_-]+", "must be the name of a header and contain only letters, digits, - and _"
)

Origin = Annotated[str, *_origin.annotations()]
AllowedHeader = Annotated[str, *_allowed_header.annotations()]
ExposedHeader = Annotated[str, *_exposed_header.annotations()]

_SET: Extension = {"x-kubernetes-list-type": "set"}


def _is_alone(field: str) -> str:
    return f"!has(self.{field}) || !('*' in self.{field}) || self.{field}.size() == 1"


class CorsSpec(Model):
    """Pages of browsers, from other origins, that may read answers (Cross-Origin Resource Sharing)."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.allowCredentials) || !self.allowCredentials || !('*' in self.allowOrigins)",
                CREDENTIALS_FOR_ALL,
            ),
            (f"({_is_alone('allowOrigins')}) && ({_is_alone('allowHeaders')})", NOT_ALONE),
        )
    )

    allow_origins: Annotated[
        tuple[Origin, ...],
        Field(strict=False, min_length=1, max_length=64, json_schema_extra=_SET),
    ]
    """Origins of the pages, as the browser sends them: `https://chat.example.com`. `https://*.example.com` stands for all names below
    example.com, and `*` for all origins."""
    allow_headers: Annotated[
        tuple[AllowedHeader, ...], Field(strict=False, max_length=64, json_schema_extra=_SET)
    ] = (ANY,)
    """Headers that the pages may send. Default: all that the browser asks for."""
    expose_headers: Annotated[
        tuple[ExposedHeader, ...], Field(strict=False, max_length=64, json_schema_extra=_SET)
    ] = ()
    """Headers of answers that the pages may read, besides x-request-id, x-llm-arm, x-llm-revision, x-llm-feedback-id and retry-after."""
    allow_credentials: bool = False
    """Whether browsers send cookies and client certificates. API keys do not need it."""
    max_age: Annotated[int, Field(ge=1, le=86400)] = 600
    """Seconds for which a browser need not ask again."""

    @model_validator(mode="after")
    def _all_is_meant(self) -> Self:
        if self.allow_credentials and ANY in self.allow_origins:
            raise ValueError(CREDENTIALS_FOR_ALL)
        if any(
            ANY in names and len(names) > 1 for names in (self.allow_origins, self.allow_headers)
        ):
            raise ValueError(NOT_ALONE)
        for names in (self.allow_origins, self.allow_headers, self.expose_headers):
            if len(set(names)) < len(names):
                raise ValueError("spec.gateway.cors has an entry twice. Keep one.")
        return self
