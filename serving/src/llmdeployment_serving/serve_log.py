"""Keeps Ray Serve's log working while an engine is imported."""

import logging
import logging.handlers

Targets = list[tuple[logging.handlers.MemoryHandler, logging.Handler]]


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
