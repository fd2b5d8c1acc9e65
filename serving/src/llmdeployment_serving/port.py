"""Makes the replica's port survive the replica.

Ray Serve binds a direct-ingress port without SO_REUSEADDR, and when the bind fails it never tries that
port on that node again. In a pod with one port that is the end: after a replica dies, its closed connections stay in TIME_WAIT
for 60 s (kubelet probes alone see to that), the next replica's bind fails, and none ever starts again (seen with Ray 2.60).
"""

import asyncio
import socket
import sys
import time
from typing import Any


def allow_rebinding(port: int) -> None:
    """Have every later bind of `port` in this process set SO_REUSEADDR first.

    An audit hook, because Python documents it and Ray offers nothing: the alternative is to replace a private function of Ray's.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.bind":
            sock, address = arguments
            if isinstance(address, tuple) and address[1] == port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    sys.addaudithook(hook)


async def wait_until_free(port: int, *, timeout_seconds: float) -> bool:
    """Return whether `port` could be bound within `timeout_seconds`: the previous replica's process may still be ending."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                await asyncio.sleep(0.2)  # why: polling, nothing announces a closed port
            else:
                return True
    return False
