"""Keeps the store like the API server, one kind at a time: a list, then a watch from the list's resourceVersion on.

Source: "Efficient detection of changes" in the Kubernetes API concepts, and client-go's Reflector.

kopf watches LLMDeployments and could watch the rest. It does not here, because after a watch that was cut it lists anew
and tells its handlers what is there, but not what is gone: a child deleted meanwhile would stay in memory for ever.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.errors import ApiError, ApiUnavailable, OperatorError
from llmdeployment_operator.kube.resources import Resource
from llmdeployment_operator.kube.store import Owner, Store, owner_of, version_of

log = logging.getLogger(__name__)

WATCH_SECONDS = 300
"""How long a watch lasts before it is opened anew, from where it was."""

FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0
"""Seconds between two tries while the API server does not answer, or refuses."""

SAID_EVERY = 60.0
"""Seconds between two log lines about one and the same trouble."""


class Expired(OperatorError):
    """The API server does not know the resourceVersion any more: everything has to be listed anew."""


@dataclass
class Reflector:
    """Lists and watches the objects of one kind.

    Attributes:
        client: of the API server.
        resource: the kind.
        namespace: the only one, or None for all.
        selector: labels that the objects carry.
        store: where they are kept.
        changed: is told the owner of every object that changed.
        synced: set once the first list is in the store.
        broken: why there is no watch now; empty while there is one.
    """

    client: ApiClient
    resource: Resource
    namespace: str | None
    selector: Mapping[str, str]
    store: Store
    changed: Callable[[Owner], None]
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    broken: str = ""
    restarts: int = 0
    _version: str = ""
    _said_at: float = -SAID_EVERY

    async def run(self) -> None:
        """Keep the store up to date until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                self.synced.set()
                await self._watch()
                failures, self.broken = 0, ""
            except Expired:
                self._version = ""
            except (OperatorError, ValueError) as error:
                failures += 1
                self._say(error)
                if isinstance(error, ApiError):
                    # Refused: what is allowed, or what there is, may have changed altogether.
                    self._version = ""
                await asyncio.sleep(_delay(failures))  # why: backoff
            self.restarts += 1

    async def _list(self) -> None:
        """Take everything there is into the store."""
        listed, version = await objects.list_versioned(
            self.client, self.resource, self.namespace, self.selector
        )
        for owner in self.store.replace(self.resource.kind, self.namespace, listed, int(version)):
            self.changed(owner)
        self._version = version

    async def _watch(self) -> None:
        """Take events into the store until the watch ends.

        Raises:
            Expired: the resourceVersion is too old.
            OperatorError: there is no watch.
        """
        events = objects.watch(
            self.client, self.resource, self.namespace, self.selector, self._version, WATCH_SECONDS
        )
        async for event in events:
            self._version = self._take(event)
            self.broken = ""

    def _take(self, event: Mapping[str, Any]) -> str:
        kind, obj = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            if obj.get("code") == HTTPStatus.GONE:
                raise Expired(str(obj.get("message", "too old")))
            raise ApiUnavailable(f"the watch of {self.resource.plural} ended: {obj.get('message')}")
        if kind == "BOOKMARK":
            return str(obj["metadata"]["resourceVersion"])
        whole = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **obj}
        news = self.store.remove(whole) if kind == "DELETED" else self.store.put(whole)
        if news and (owner := owner_of(whole)) is not None:
            self.changed(owner)
        return str(version_of(whole))

    def _say(self, error: Exception) -> None:
        self.broken = str(error)
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= SAID_EVERY:
            self._said_at = now
            log.warning("%s cannot be watched now: %s", self.resource.plural, error)


def _delay(failures: int) -> float:
    """Return the seconds until the next try, half of them at random so that not all kinds come back at once."""
    longest = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + random.random() / 2)  # noqa: S311  # because jitter is no secret


async def wait_until_synced(reflectors: Iterable[Reflector]) -> None:
    """Wait until every first list is in the store."""
    for each in reflectors:
        await each.synced.wait()
