"""The routing that the operator writes: `routes.json` in the ConfigMap `<name>-routes`."""

import hashlib
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

BUCKETS = 10_000
KEY = "routes.json"

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class RoutesError(Exception):
    """The text is not a routes document; the message names the field."""


class _Model(BaseModel):
    # A newer operator may write more fields.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class Hold(_Model):
    """Limits of waiting: requests at once, and seconds of each."""

    max_requests: Annotated[int, Field(ge=0)] = 64
    seconds: Annotated[int, Field(ge=0)] = 120


class Route(_Model):
    """A revision and its buckets: from the previous row's `below` up to its own `below` (exclusive)."""

    arm: Label
    revision: Annotated[int, Field(ge=1)]
    service: Label
    below: Annotated[int, Field(ge=0, le=BUCKETS)]


class Routes(_Model):
    """The whole document."""

    deployment: Label
    served_name: str
    salt: Annotated[str, Field(pattern=r"^[!-~]+$", max_length=253)]
    hold: Hold = Hold()
    replica_requests: dict[Label, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Requests that each replica of a Service takes at once, where that is not as everywhere (`settings.REPLICA_REQUESTS`)."""
    routes: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _covers_every_bucket_once(self) -> Self:
        ends = [route.below for route in self.routes]
        if ends and (ends != sorted(ends) or ends[-1] != BUCKETS):
            raise ValueError(f"`below` must rise from row to row up to {BUCKETS}, but is {ends}")
        return self

    def services(self) -> tuple[str, ...]:
        """Return the Services that have a row, each once, in the order of the rows."""
        return tuple(dict.fromkeys(route.service for route in self.routes))


def parse_routes(text: str) -> Routes:
    """Return the routes of a `routes.json`.

    Raises:
        RoutesError: the text is not JSON, or not a routes document.
    """
    try:
        return Routes.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RoutesError(f"{where or KEY}: {first['msg']}") from error


def hash_routes(text: str) -> str:
    """Return the `routesHash` of this text in `/stats` once it is applied: 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
