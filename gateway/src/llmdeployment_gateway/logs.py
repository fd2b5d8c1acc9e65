"""The log of both containers, and in it a line for each request that ended."""

import logging
import os
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

from llmdeployment_gateway.tally import EndedRequest

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_KEYS = {"asctime": "time", "levelname": "level", "name": "logger", "deployment": "name"}
"""Keys of a line in JSON, by the attribute of the record. The order counts: `name` is free once the logger's is taken."""
_access = logging.getLogger("access")
_MOST_LINES = 100
"""Requests that are logged each second; the others are counted in a line of their own, so that a rush does not fill a disk."""


def start_logging() -> None:
    """Write the log to stderr, as LLMD_LOG_LEVEL and LLMD_LOG_FORMAT (json, else text) say."""
    handler = logging.StreamHandler()
    fields = {
        "namespace": os.environ.get("LLMD_NAMESPACE", ""),
        "deployment": os.environ.get("LLMD_NAME", ""),
    }
    handler.setFormatter(
        JsonFormatter(_TEXT, rename_fields=_KEYS, static_fields=fields)
        if os.environ.get("LLMD_LOG_FORMAT") == "json"
        else logging.Formatter(_TEXT)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("LLMD_LOG_LEVEL", "INFO"))


class AccessLog:
    """Writes a line for each request, as long as they are not too many."""

    def __init__(self, read_clock: Callable[[], float]) -> None:
        self._read_clock = read_clock
        self._second = -1
        self._lines = 0

    def write(self, ended: EndedRequest) -> None:
        """Log a request that ended, or count it if this second has had its lines."""
        second = int(self._read_clock())
        if second != self._second:
            if (left_out := self._lines - _MOST_LINES) > 0:
                _access.info("%d more requests ended in that second and are not logged", left_out)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _MOST_LINES:
            _write(ended)


def _write(ended: EndedRequest) -> None:
    extra = {
        "status": ended.status,
        "seconds": ended.seconds,
        "cut_by": ended.cut,
        "arm": ended.arm,
        "revision": ended.revision,
        "request_id": ended.request_id,
    }
    _access.info(
        "%d in %.3f s, arm %s, revision %s, request %s",
        ended.status,
        ended.seconds,
        ended.arm or "-",
        ended.revision or "-",
        ended.request_id or "-",
        extra=extra,
    )
