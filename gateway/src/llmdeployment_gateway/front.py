"""The other container: becomes HAProxy as soon as there is something to start from."""

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
"""Of a request that was held: client, both ends of the way into the hold, replica."""


def connections(open_files: int) -> int:
    """Return how many connections HAProxy may take with a limit of open files (-1: none)."""
    if open_files < 0:
        return _MOST_CONNECTIONS
    return max(100, min(_MOST_CONNECTIONS, (open_files - _SPARE_FILES) // _FILES_PER_CONNECTION))


def become_haproxy(settings: Settings) -> NoReturn:
    """Wait for the agent's first files, then be replaced by HAProxy; returns only as an exit.

    HAProxy takes SIGUSR1 as "finish what you have" and SIGTERM as "drop everything", so the image's STOPSIGNAL is SIGUSR1.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _leave)
    file = settings.run_dir / CONFIG
    if not file.exists():
        _log.info("waiting for %s, which the agent writes", file)
    while not file.exists():
        time.sleep(0.05)  # why: the file comes from another container, unannounced
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = [settings.haproxy, "-db", "-n", str(connections(limit)), "-f", str(file)]
    os.execvp(command[0], command)  # noqa: S606  because this is the purpose


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
