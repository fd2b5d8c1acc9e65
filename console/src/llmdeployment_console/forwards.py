"""Ways to a port of a Service or Deployment in the cluster: by `kubectl port-forward`, kept open while they are used."""

import asyncio
from collections import OrderedDict
from contextlib import ExitStack
from typing import Protocol

from llmdeployment_cli.chat import forward_port
from llmdeployment_cli.flags import Flags

Place = tuple[str, str, int]
"""Namespace, target such as `svc/chat` or `deploy/operator`, and port."""

_MOST = 16


class Ways(Protocol):
    """Leads to places in the cluster."""

    async def find(self, place: Place) -> str:
        """Return a base URL; may raise `Refusal`."""

    async def drop(self, place: Place) -> None:
        """Take another way next time: this one does not lead there any more."""


class PortForwards:
    """One `kubectl port-forward` for each place, at most 16: the one that was not used for longest is ended.

    Args:
        flags: which cluster, and as whom.
    """

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._open: OrderedDict[Place, tuple[ExitStack, str]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def find(self, place: Place) -> str:
        """Return the base URL of a place.

        Raises:
            Refusal: kubectl is missing, or cannot forward.
        """
        async with self._lock:
            if place not in self._open:
                self._open[place] = await asyncio.to_thread(self._begin, place)
                while len(self._open) > _MOST:
                    _, (stack, _url) = self._open.popitem(last=False)
                    await asyncio.to_thread(stack.close)
            self._open.move_to_end(place)
            return self._open[place][1]

    async def drop(self, place: Place) -> None:
        """End a forward whose pod is gone."""
        async with self._lock:
            found = self._open.pop(place, None)
            if found is not None:
                await asyncio.to_thread(found[0].close)

    async def close(self) -> None:
        """End all of them."""
        for place in list(self._open):
            await self.drop(place)

    def _begin(self, place: Place) -> tuple[ExitStack, str]:
        namespace, target, port = place
        stack = ExitStack()
        return stack, stack.enter_context(forward_port(target, port, namespace, self._flags))
