"""The container of HAProxy: waits for the agent's first files, then becomes HAProxy."""

import logging
import os
import resource
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from llmdeployment_gateway.rundir import CONFIG
from llmdeployment_gateway.settings import Settings

_log = logging.getLogger(__name__)
_MOST_CONNECTIONS = 8000
_SPARE_FILES = 512
_FILES_PER_CONNECTION = 4
"""Open files of a request that was held: client, both ends of the connection to the hold, replica."""


def count_connections(open_files: int) -> int:
    """Return how many connections HAProxy may take with a limit of open files (-1: no limit)."""
    if open_files < 0:
        return _MOST_CONNECTIONS
    return max(100, min(_MOST_CONNECTIONS, (open_files - _SPARE_FILES) // _FILES_PER_CONNECTION))


def become_haproxy(settings: Settings) -> NoReturn:
    """Wait for the agent's first files, then replace this process by HAProxy.

    HAProxy finishes its requests at SIGUSR1 and drops them at SIGTERM, so the image's STOPSIGNAL is SIGUSR1.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _leave)
    file = settings.run_dir / CONFIG
    if not file.exists():
        _log.info("waiting for %s, which the agent writes", file)
    while not file.exists():
        time.sleep(0.05)  # why: another container writes the file, without a notice
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = [settings.haproxy, "-db", "-n", str(count_connections(limit)), "-f", str(file)]
    os.execvp(command[0], command)  # noqa: S606  # because HAProxy replaces this process


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
