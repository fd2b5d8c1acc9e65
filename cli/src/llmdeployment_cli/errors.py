"""Errors that end a command with a sentence instead of a traceback."""


class Refusal(Exception):
    """The command cannot be carried out; the message says why and what to do."""


class Conflict(Refusal):
    """Somebody else changed the object after it was read."""


class Unreachable(Refusal):
    """The API server does not answer."""


class Missing(Refusal):
    """The API server does not know what was asked for."""


class Forbidden(Refusal):
    """The user lacks a right."""
