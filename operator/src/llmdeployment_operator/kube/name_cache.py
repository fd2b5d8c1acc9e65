"""Objects that are read by name, since they may not be listed or watched: Secrets, and what a user made.

What exists is read again after minutes and what is missing after seconds, as nothing tells of its coming.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.resources import BY_KIND, HTTP_ROUTE
from llmdeployment_operator.kube.store import Address, address_of
from llmdeployment_operator.plan.base.objects import Object

FOUND_SECONDS, MISSING_SECONDS = 300.0, 5.0
"""How long an answer is believed."""

ROUTE_SECONDS = 1.0
"""The same of an HTTPRoute that exists: its controller writes into its status, and it is not watched."""


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
        self,
        client: ApiClient,
        kind: str,
        namespace: str,
        name: str,
        missing: float = MISSING_SECONDS,
    ) -> Object | None:
        """Return the object, or None where there is none, as it was read at most a while ago.

        Args:
            client: of the API server.
            kind: of the object.
            namespace: of the object.
            name: of the object.
            missing: seconds for which it is believed that there is none.
        """
        address = (kind, namespace, name)
        known = self._read.get(address)
        if known is None or self._clock() - known.at > self._lasts(known, kind, missing):
            obj = await objects.get(client, BY_KIND[kind], namespace, name)
            known = self._read[address] = _Read(self._clock(), obj)
        return known.obj

    async def exists(self, client: ApiClient, kind: str, namespace: str, name: str) -> bool:
        """Say whether there is an object, without reading what is in it."""
        address = (f"{kind} exists", namespace, name)
        known = self._read.get(address)
        if known is None or self._clock() - known.at > self._lasts(known, kind, MISSING_SECONDS):
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

    def _lasts(self, known: _Read, kind: str, missing: float) -> float:
        if known.obj is None:
            return missing
        return ROUTE_SECONDS if kind == HTTP_ROUTE.kind else FOUND_SECONDS
