"""The operator's log: lines of text, or of JSON with the LLMDeployment that a pass is about."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_KEYS = {"asctime": "time", "levelname": "level", "name": "logger", "deployment": "name"}
"""Keys of a line in JSON, by the attribute of the record. The order counts: `name` is free once the logger's is taken."""
_OBJECT: ContextVar[tuple[str, str] | None] = ContextVar("object", default=None)


def start_logging(level: str, form: str) -> None:
    """Write the log to stderr.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        form: `json`, or anything else for text.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(_TEXT, rename_fields=_KEYS) if form == "json" else logging.Formatter(_TEXT)
    )
    handler.addFilter(_add_object)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


@contextmanager
def name_object(namespace: str, name: str) -> Iterator[None]:
    """Put the namespace and the name of an LLMDeployment into every line that the block logs."""
    token = _OBJECT.set((namespace, name))
    try:
        yield
    finally:
        _OBJECT.reset(token)


def _add_object(record: logging.LogRecord) -> bool:
    if (found := _OBJECT.get()) is not None:
        record.namespace, record.deployment = found
    return True
