"""Simulations in processes of their own: one at a time for each viewer, a few in all, none for long."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_console.recording import Recording
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.viewers import Viewer
from llmdeployment_console.what_if import Choice

MOST = 2
"""Simulations at one time."""
SECONDS = 45.0
"""How long one may take, waiting for a processor included."""
# -P: not from the folder in which the console was started.
_COMMAND = (sys.executable, "-P", "-m", "llmdeployment_console.what_if_process")


class WhatIfRuns:
    """Starts simulations.

    Args:
        command: of the process.
        seconds: how long one may take.
    """

    def __init__(self, command: Sequence[str] = _COMMAND, seconds: float = SECONDS) -> None:
        self._command = command
        self._seconds = seconds
        self._running: set[Viewer] = set()

    async def run(
        self, viewer: Viewer, deployment: Object, recording: Recording, choice: Choice | None
    ) -> dict[str, Any]:
        """Return what `what_if.run` does.

        Args:
            viewer: who asks.
            deployment: as the API server has it.
            recording: the traffic.
            choice: what the page asks for, or None.

        Raises:
            RequestRefused: the viewer has one that runs, there are too many, or it takes too long.
            Refusal: this cannot be simulated.
        """
        if viewer in self._running or len(self._running) >= MOST:
            message = "A simulation runs already. Wait until it has ended."
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, "busy", message)
        self._running.add(viewer)
        question = {
            "deployment": deployment,
            "recording": asdict(recording),
            "choice": choice.model_dump() if choice is not None else None,
        }
        try:
            found = await self._ask(json.dumps(question).encode())
        finally:
            self._running.discard(viewer)
        if "refused" in found:
            raise Refusal(str(found["refused"]))
        return found

    async def _ask(self, question: bytes) -> dict[str, Any]:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=nothing
        )
        try:
            written, _ = await asyncio.wait_for(process.communicate(question), self._seconds)
            found: dict[str, Any] = json.loads(written)
        except (TimeoutError, ValueError, OSError):
            message = "The simulation took too long or failed. Ask for fewer replicas."
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "no_result", message) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return found
