"""The fence: no request that writes leaves this process unless it leads.

Every HTTP session that writes is made with `make_fenced_request`, so no caller can forget the check. It is made as late as
aiohttp allows, for each attempt of a retry: when the connection is there, and again before the body is written, which aiohttp
does in a task of its own. Headers are sent with the body, so a request that is stopped there sends nothing.

No process can check and send in one step. What the event loop has already given to the system when its process is paused is
sent when the process goes on: at most one request for each connection. The next leader watches what was written and applies
its own intent again.

A request that is on its way when the lease is lost is cut off, because the process stops then (`kube/lease.py`). Between
the leader's deadline and the moment at which another may take the Lease lie `lease_seconds - renew_seconds`, 3 s: the
time the API server has to finish what it was sent.
"""

import time

from aiohttp import ClientRequest, ClientResponse
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from typing_extensions import override

from llmdeployment_operator.kube.errors import NotLeader

_READS = frozenset({"GET", "HEAD"})


def read_clock() -> float:
    """Return seconds on a clock that nobody sets, and that goes on while this process or its machine is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Until when this process may write. It is closed at first."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def open_until(self, moment: float) -> None:
        """Allow writes that begin before a moment of `read_clock`."""
        self._until = moment

    def close(self) -> None:
        """Allow no more writes."""
        self._until = float("-inf")

    def seconds_left(self) -> float:
        """Return for how long writes are allowed; 0 or below: they are not."""
        return self._until - read_clock()

    def has_expired(self) -> bool:
        """Whether the fence was open, and closed because its time was over."""
        return self._until != float("-inf") and self.seconds_left() <= 0

    def check(self) -> None:
        """Do nothing if this process may write.

        Raises:
            NotLeader: it may not.
        """
        if self.seconds_left() <= 0:
            raise NotLeader("not written: this operator does not hold the Lease any more")


def make_fenced_request(fence: Fence) -> type[ClientRequest]:
    """Return a class for `aiohttp.ClientSession(request_class=...)` that sends writes only while the fence is open."""

    class FencedRequest(ClientRequest):
        @override
        async def send(self, conn: Connection) -> ClientResponse:
            if self.method not in _READS:
                fence.check()
            return await super().send(conn)

        @override
        async def write_bytes(
            self,
            writer: AbstractStreamWriter,
            conn: Connection,
            content_length: int | None = None,
        ) -> None:
            try:
                if self.method not in _READS:
                    fence.check()
            except NotLeader as error:
                # Whoever waits for the answer gets the error: nobody waits for this task.
                if conn.protocol is not None:
                    conn.protocol.set_exception(error)
                return
            await super().write_bytes(writer, conn, content_length)

    return FencedRequest
