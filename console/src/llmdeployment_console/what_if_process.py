"""The process that simulates: a question on stdin, an answer on stdout. It ends by itself when it takes too long.

`python -m llmdeployment_console.what_if_process`, started by `what_if_runs.py`.
"""

import json
import os
import resource
import sys
from typing import Any

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.recording import Recording
from llmdeployment_console.what_if import Choice, run

CPU_SECONDS = 30
_NICE = 10
"""Whoever serves requests on this machine goes first."""


def main() -> int:
    """Read, simulate and write."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
    return 0


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return the result, or `refused` with the reason."""
    found = question["recording"]
    steps = tuple((seconds, rate) for seconds, rate in found["steps"])
    recording = Recording(found["begins"], steps, found["output_tokens"])
    choice = question["choice"]
    try:
        return run(question["deployment"], recording, Choice(**choice) if choice else None)
    except Refusal as refusal:
        return {"refused": str(refusal)}


if __name__ == "__main__":
    sys.exit(main())
