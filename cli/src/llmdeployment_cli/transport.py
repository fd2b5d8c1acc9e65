"""How requests reach an API server: what is sent, what comes back, and who may send it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

JSON = "application/json"


@dataclass(frozen=True)
class ApiRequest:
    """One request to an API server.

    Attributes:
        method: such as GET.
        path: without the query, each part quoted.
        query: names and values.
        accept: the type that is wanted.
        body: a JSON document, or nothing.
        content_type: of the body.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    accept: str = JSON
    body: Mapping[str, Any] | None = None
    content_type: str = JSON


@dataclass(frozen=True)
class ApiAnswer:
    """What an API server answered.

    Attributes:
        status: of HTTP.
        reason: the words beside it.
        body: as it came.
    """

    status: int
    reason: str
    body: bytes

    @property
    def refused(self) -> bool:
        """Whether the API server did not do what was asked."""
        return self.status >= HTTPStatus.BAD_REQUEST


class Transport(Protocol):
    """A connection to an API server, as one user."""

    @property
    def host(self) -> str:
        """The API server's address, for messages."""

    def send(self, request: ApiRequest, seconds: float | None) -> ApiAnswer:
        """Send a request and return the answer, whatever its status.

        Args:
            request: what is asked.
            seconds: how long it may take; None is for ever.

        Raises:
            urllib3.exceptions.HTTPError: the API server does not answer.
        """
