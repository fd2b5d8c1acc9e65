"""Event loops in threads, for programs that run as a process of their own elsewhere."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_as_process(main: Coroutine[Any, Any, None]) -> None:
    """Run a program to its end in a loop of its own, then close the connections it left open.

    When a process ends, the kernel closes its sockets. In a thread nobody does: they would be found by the garbage collector in
    the middle of some later test, which then fails for it.
    """
    with asyncio.Runner() as runner:
        try:
            runner.run(main)
        finally:
            runner.run(_close_connections())


async def _close_connections() -> None:
    # The loop's own list of what it reads and writes; asyncio has no public one.
    transports = list(asyncio.get_running_loop()._transports.values())  # type: ignore[attr-defined]  # because typeshed knows no private names
    for transport in transports:
        transport.abort()
    # An aborted transport gives up its socket at the loop's next turn, one with TLS at the one after.
    for _ in range(3):
        await asyncio.sleep(0)  # why: a turn of the loop, not a time
