"""A replica's own log, and Ray Serve's while an engine is imported."""

import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import TextIO

PACKAGE = "llmdeployment_serving"
LOG = "LLMD_LOG"
"""Variable with the file that a replica's log goes to; without it the log goes to stderr."""

Targets = list[tuple[logging.handlers.MemoryHandler, logging.Handler]]


def write_own_log() -> None:
    """Write this package's log, from INFO on, to the file of `LLMD_LOG`.

    Ray Serve would keep up to 1,000 lines back and write no line of another package below WARNING.
    """
    logger = logging.getLogger(PACKAGE)
    handler = logging.StreamHandler(_open_log())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


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
