"""Ways to a port of a Service or Deployment in the cluster: by `kubectl port-forward`, kept open while they are used."""

import asyncio
from collections import OrderedDict
from contextlib import ExitStack
from typing import Protocol

from llmdeployment_cli.chat import forward_port
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags

Place = tuple[str, str, int]
"""Namespace, target such as `svc/chat` or `deploy/operator`, and port."""

MOST = 16
SECONDS = 15.0
"""How long kubectl may take to open a way."""


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
        self._opening: dict[Place, asyncio.Task[str]] = {}
        self._open: OrderedDict[Place, tuple[ExitStack, str]] = OrderedDict()

    async def find(self, place: Place) -> str:
        """Return the base URL of a place. A kubectl that hangs keeps nobody from another place.

        Raises:
            Refusal: kubectl is missing, cannot forward, or takes too long.
        """
        if place in self._open:
            self._open.move_to_end(place)
            return self._open[place][1]
        if place not in self._opening:
            self._opening[place] = asyncio.create_task(self._begin(place))
        try:
            # Who comes next may still want it, so it is not given up with the one who asked first.
            return await asyncio.wait_for(asyncio.shield(self._opening[place]), SECONDS)
        except TimeoutError:
            raise Refusal(
                f"kubectl port-forward to {place[1]} in namespace {place[0]} takes longer than {SECONDS:.0f} s. "
                "Check that its pods are ready."
            ) from None

    async def drop(self, place: Place) -> None:
        """End a forward whose pod is gone."""
        found = self._open.pop(place, None)
        if found is not None:
            await asyncio.to_thread(found[0].close)

    def close(self) -> None:
        """End all of them. It waits for nothing, because Ctrl-C has cancelled whatever waits."""
        while self._open:
            _, (stack, _url) = self._open.popitem()
            stack.close()

    async def _begin(self, place: Place) -> str:
        namespace, target, port = place
        stack = ExitStack()
        try:
            forward = forward_port(target, port, namespace, self._flags)
            url = await asyncio.to_thread(stack.enter_context, forward)
        finally:
            self._opening.pop(place, None)
        self._open[place] = (stack, url)
        while len(self._open) > MOST:
            await self.drop(next(iter(self._open)))
        return url
