"""Lets a new replica bind the port of the replica before it.

Ray Serve binds a direct-ingress port without SO_REUSEADDR, and never tries a port again on a node where the bind failed. A pod
has only one port. After a replica dies, its closed connections (such as kubelet's probes) stay in TIME_WAIT for 60 s, so the next
replica's bind fails and no replica ever starts again (seen with Ray 2.60).
"""

import asyncio
import socket
import sys
import time
from typing import Any


def allow_rebinding(port: int) -> None:
    """Set SO_REUSEADDR before every later bind of `port` in this process.

    Uses an audit hook, which Python documents. Ray has no setting for it, and the alternative would replace a private function of Ray.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.bind":
            sock, address = arguments
            if isinstance(address, tuple) and address[1] == port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    sys.addaudithook(hook)


async def wait_until_free(port: int, *, timeout_seconds: float) -> bool:
    """Return whether `port` could be bound within `timeout_seconds`: the process of the replica before may still be ending."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                await asyncio.sleep(0.2)  # why: polling, because nothing announces a closed port
            else:
                return True
    return False
