"""The command of both containers: `llmdeployment-gateway haproxy | agent`."""

import argparse
import asyncio
import sys

from llmdeployment_gateway.front import become_haproxy
from llmdeployment_gateway.logs import start_logging
from llmdeployment_gateway.settings import SettingsError, read_kube_access, read_settings


def main() -> None:
    """Run the role of the first argument. The environment sets everything else (docs/concepts/gateway.md)."""
    parser = argparse.ArgumentParser(prog="llmdeployment-gateway", description=__doc__)
    parser.add_argument("role", choices=("haproxy", "agent"))
    role = parser.parse_args().role
    start_logging()
    try:
        if role == "haproxy":
            become_haproxy(read_settings())
        _start_agent()
    except SettingsError as error:
        sys.exit(f"llmdeployment-gateway: {error}")


def _start_agent() -> None:
    # HAProxy's container waits in this same program, and should not load the agent for that.
    from llmdeployment_gateway.agent import run_agent, stop_on_signals  # noqa: PLC0415  # because see above
    from llmdeployment_gateway.keys import KeysError  # noqa: PLC0415  # because see above

    async def body() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await run_agent(read_settings(), read_kube_access(), stop)

    try:
        asyncio.run(body())
    except KeysError as error:
        sys.exit(f"llmdeployment-gateway: {error}")
