"""What ends a command with a sentence instead of a traceback."""


class Refusal(Exception):
    """The command cannot be done; the message says why and what to do."""


class Conflict(Refusal):
    """The object was changed by somebody else since it was read."""
