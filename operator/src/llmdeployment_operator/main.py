"""The operator's command: `llmdeployment-operator`."""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from llmdeployment_operator.handlers.run import run, stop_on_signals
from llmdeployment_operator.kube.client import NoCluster, access
from llmdeployment_operator.kube.errors import LeaseLost
from llmdeployment_operator.kube.fence import Fence
from llmdeployment_operator.logs import start_logging
from llmdeployment_operator.settings import SettingsError, plan_settings, runtime_settings


def main() -> None:
    """Operate until SIGTERM; everything is configured by the environment (docs/concepts/architecture.md).

    A process that loses its Lease ends with status 1, as client-go's controllers do: whatever it knows may be out of date,
    and the container that is started in its place begins as a new candidate.
    """
    start_logging(
        os.environ.get("LLMD_LOG_LEVEL", "INFO"), os.environ.get("LLMD_LOG_FORMAT", "text")
    )
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uvloop.run(_operate())
    except (SettingsError, NoCluster, LeaseLost) as error:
        sys.exit(f"llmdeployment-operator: {error}")


async def _operate() -> None:
    settings, runtime = plan_settings(os.environ), runtime_settings(os.environ)
    way = await access(os.environ.get("LLMD_KUBECONFIG"), os.environ.get("LLMD_KUBE_CONTEXT"))
    stop = asyncio.Event()
    stop_on_signals(stop)
    fence = Fence()
    signal.signal(signal.SIGCONT, lambda *_: _exit_if_expired(fence))
    await run(way, settings, runtime, stop, fence)


def _exit_if_expired(fence: Fence) -> None:
    """End at once when the process was paused for so long that another operator may act.

    Python runs this before anything else that the process was about to do, such as sending what it had checked just before.
    """
    if fence.has_expired():
        os.write(2, b"llmdeployment-operator: paused for longer than the Lease lasts\n")
        os._exit(1)
