"""A replica's own log, and Ray Serve's while an engine is imported."""

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

PACKAGE = "llmdeployment_serving"
LOG = "LLMD_LOG"
"""Variable with the file that a replica's log goes to; without it the log goes to stderr."""

LOG_FORMAT = "LLMD_LOG_FORMAT"
"""Variable with the format of the log: json, else text."""
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_KEYS = {"asctime": "time", "levelname": "level", "name": "logger", "deployment": "name"}
"""Keys of a line in JSON, by the attribute of the record. The order counts: `name` is free once the logger's is taken."""
_REQUEST: ContextVar[dict[str, str]] = ContextVar("request", default={})  # noqa: B039  # because nobody changes it

Targets = list[tuple[logging.handlers.MemoryHandler, logging.Handler]]


def write_own_log() -> None:
    """Write this package's log, from INFO on, to the file of `LLMD_LOG`.

    Ray Serve would keep up to 1,000 lines back and write no line of another package below WARNING.
    """
    logger = logging.getLogger(PACKAGE)
    handler = logging.StreamHandler(_open_log())
    handler.setFormatter(_build_formatter())
    handler.addFilter(_add_request)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextmanager
def name_request(request_id: str, revision: str) -> Iterator[None]:
    """Put the id and the revision of a request into every line that the block logs."""
    token = _REQUEST.set({"request_id": request_id, "revision": revision})
    try:
        yield
    finally:
        _REQUEST.reset(token)


def _add_request(record: logging.LogRecord) -> bool:
    record.__dict__.update(_REQUEST.get())
    return True


def _build_formatter() -> logging.Formatter:
    if os.environ.get(LOG_FORMAT) != "json":
        return logging.Formatter(_TEXT)
    fields = {
        "namespace": os.environ.get("LLMD_NAMESPACE", ""),
        "deployment": os.environ.get("LLMD_NAME", ""),
    }
    return JsonFormatter(_TEXT, rename_fields=_KEYS, static_fields=fields)


def _open_log() -> TextIO:
    try:
        # The file stays open for the life of the process.
        return Path(os.environ[LOG]).open("a", buffering=1, encoding="utf-8")
    except (KeyError, OSError):
        return sys.stderr


def list_log_targets() -> Targets:
    """Return the memory handlers of all loggers, each with its target."""
    found: Targets = []
    for logger in [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", []):
            if isinstance(handler, logging.handlers.MemoryHandler) and handler.target is not None:
                found.append((handler, handler.target))
    return found


def restore_log_targets(targets: Targets) -> None:
    """Restore the targets of memory handlers.

    vLLM calls `logging.config.dictConfig` at import, which closes every handler of the process, and a closed MemoryHandler loses its
    target. When its controller restarts after the Ray head died, Serve asks each replica for the target's path, and kills a replica
    that does not know it (measured: 18 s without an answer, Ray 2.60, vLLM 0.32).
    """
    for handler, target in targets:
        if handler.target is None:
            handler.setTarget(target)
