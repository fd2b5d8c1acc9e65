"""The operator's command: `llmdeployment-operator`."""

import asyncio
import logging
import os
import signal
import sys

from llmdeployment_operator.handlers.run import run
from llmdeployment_operator.kube.client import NoCluster, access
from llmdeployment_operator.settings import SettingsError, plan_settings, runtime_settings


def main() -> None:
    """Operate until SIGTERM; everything is configured by the environment (docs/architecture.md)."""
    logging.basicConfig(
        level=os.environ.get("LLMD_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        asyncio.run(_operate())
    except (SettingsError, NoCluster) as error:
        sys.exit(f"llmdeployment-operator: {error}")


async def _operate() -> None:
    settings, runtime = plan_settings(os.environ), runtime_settings(os.environ)
    way = await access(os.environ.get("LLMD_KUBECONFIG"), os.environ.get("LLMD_KUBE_CONTEXT"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(way, settings, runtime, stop)
