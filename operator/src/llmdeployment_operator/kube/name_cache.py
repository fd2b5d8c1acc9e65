"""Objects that are read by name, since they may not be listed or watched: Secrets, and what a user made.

What exists is read again after minutes and what is missing after seconds, as nothing tells of its coming.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.resources import BY_KIND
from llmdeployment_operator.kube.store import Address, address_of
from llmdeployment_operator.plan.base.objects import Object


@dataclass(frozen=True)
class Lasting:
    """For how many seconds an answer is believed: that there is an object, and that there is none."""

    found: float
    missing: float


REFERENCE = Lasting(found=300.0, missing=5.0)
"""Of what a spec refers to, and of what the operator wrote itself: it stays, or is about to come."""

NAME = Lasting(found=5.0, missing=5.0)
"""Of a name that is about to be taken."""

ROUTE = Lasting(found=1.0, missing=5.0)
"""Of an HTTPRoute that is asked for: its controller writes into its status, and it is not watched."""

NO_ROUTE = Lasting(found=1.0, missing=300.0)
"""Of an HTTPRoute that nobody asks for, and that may be left from before."""


@dataclass(frozen=True)
class _Read:
    at: float
    obj: Object | None


class NameCache:
    """What the API server said of objects by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[Address, _Read] = {}

    async def get(
        self, client: ApiClient, kind: str, namespace: str, name: str, lasting: Lasting
    ) -> Object | None:
        """Return the object, or None where there is none, as it was read at most a while ago."""
        address = (kind, namespace, name)
        known = self._find(address, lasting)
        if known is None:
            obj = await objects.get(client, BY_KIND[kind], namespace, name)
            known = self._read[address] = _Read(self._clock(), obj)
        return known.obj

    async def exists(self, client: ApiClient, kind: str, namespace: str, name: str) -> bool:
        """Say whether there is an object that a spec refers to, without reading what is in it."""
        address = (f"{kind} exists", namespace, name)
        known = self._find(address, REFERENCE)
        if known is None:
            there = await objects.exists(client, BY_KIND[kind], namespace, name)
            known = self._read[address] = _Read(self._clock(), {} if there else None)
        return known.obj is not None

    def put(self, obj: Object) -> None:
        """Take an object as it was just written."""
        self._read[address_of(obj)] = _Read(self._clock(), obj)

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """Read an object anew the next time."""
        self._read.pop((kind, namespace, name), None)

    def forget(self, namespace: str, prefix: str) -> None:
        """Forget the objects of an LLMDeployment that is gone: those whose names begin with its own."""
        for address in [a for a in self._read if a[1] == namespace and a[2].startswith(prefix)]:
            del self._read[address]

    def _find(self, address: Address, lasting: Lasting) -> _Read | None:
        known = self._read.get(address)
        if known is None:
            return None
        lasts = lasting.missing if known.obj is None else lasting.found
        return known if self._clock() - known.at <= lasts else None
