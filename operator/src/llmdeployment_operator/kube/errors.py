"""What can go wrong when talking to the outside.

OperatorError
  ApiError            the API server answered with an error
    ApiConflict       409: somebody changed or replaced the object meanwhile
    ApiRefused        400, 403, 413, 422: trying again unchanged will not help
  ApiUnavailable      no answer, a timeout, 429 or 5xx: try again later
  ServeUnavailable    Ray Serve's REST API does not answer yet
  ServeRefused        Ray Serve's REST API refused the configuration
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


class ApiUnavailable(OperatorError):
    """The API server could not be reached or could not answer."""


class ServeUnavailable(OperatorError):
    """Ray Serve's REST API does not answer."""


class ServeRefused(OperatorError):
    """Ray Serve's REST API refused the configuration."""
