"""The command of both containers: `llmdeployment-gateway haproxy | agent`."""

import argparse
import asyncio
import logging
import os
import sys

from llmdeployment_gateway.front import become_haproxy
from llmdeployment_gateway.settings import SettingsError, kube_access_of, settings_of


def main() -> None:
    """Be what the first argument says; everything else is in the environment (docs/gateway.md)."""
    parser = argparse.ArgumentParser(prog="llmdeployment-gateway", description=__doc__)
    parser.add_argument("role", choices=("haproxy", "agent"))
    role = parser.parse_args().role
    logging.basicConfig(
        level=os.environ.get("LLMD_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        if role == "haproxy":
            become_haproxy(settings_of())
        _agent()
    except SettingsError as error:
        sys.exit(f"llmdeployment-gateway: {error}")


def _agent() -> None:
    # HAProxy's container waits as this same program: it should not load all of the agent for that.
    from llmdeployment_gateway.agent import run_agent, stop_on_signals  # noqa: PLC0415  because see above
    from llmdeployment_gateway.keys import KeysError  # noqa: PLC0415  because see above

    async def body() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await run_agent(settings_of(), kube_access_of(), stop)

    try:
        asyncio.run(body())
    except KeysError as error:
        sys.exit(f"llmdeployment-gateway: {error}")
