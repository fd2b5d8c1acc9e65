"""What can go wrong when talking to the outside.

OperatorError
  ApiError            the API server answered with an error
    ApiConflict       409: somebody changed or replaced the object meanwhile
    ApiRefused        400, 403, 413, 422: trying again unchanged will not help
      MalformedObject the object has a field, or a type of value, that its kind does not have
  ApiUnavailable      no answer, a timeout, 429 or 5xx: try again later
  ServeUnavailable    Ray Serve's REST API does not answer yet
  ServeRefused        Ray Serve's REST API refused the configuration
  NotLeader           this process may not write, because another operator may act
  LeaseLost           this process does not lead any more and should end
"""


class OperatorError(Exception):
    """Base of every error a pass may end with."""


class ApiError(OperatorError):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiConflict(ApiError):
    """Somebody changed or replaced the object between reading and writing."""


class ApiRefused(ApiError):
    """The request was understood and refused."""


class MalformedObject(ApiRefused):
    """The object has a field, or a type of value, that its kind does not have."""


class ApiUnavailable(OperatorError):
    """The API server could not be reached or could not answer."""


class ServeUnavailable(OperatorError):
    """Ray Serve's REST API does not answer."""


class ServeRefused(OperatorError):
    """Ray Serve's REST API refused the configuration."""


class NotLeader(OperatorError):
    """A write was not sent, because this process does not lead."""


class LeaseLost(OperatorError):
    """The Lease was not renewed in time, or somebody else holds it."""
