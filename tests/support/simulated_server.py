"""The simulated engine's own server, in a process of its own."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.ports import free_port
from tests.support.until import until

CONFIG = {"servedName": "chat", "engine": {"name": "simulated", "args": {"mean-output-tokens": 50}}}
PROGRAM = (sys.executable, "-m", "llmdeployment_serving.main")


@contextmanager
def run_simulated(users: Mapping[str, Any]) -> Iterator[str]:
    """Serve these revisions (a UserConfig), and yield the base URL once there are answers."""
    port = free_port()
    options = ("--config", json.dumps(CONFIG), "--user-config", json.dumps(users))
    server = subprocess.Popen([*PROGRAM, "serve", *options, "--port", str(port)])
    found = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{found}/health", timeout=1):  # noqa: S310  # because it is our own URL
                return True
        except OSError:
            return False

    try:
        until(answers, 60, "the server answers")
        yield found
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
