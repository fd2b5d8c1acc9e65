"""Watches of the API server: list, watch, and list again when the server no longer knows the resource version."""

import asyncio
import json
import logging
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

from llmdeployment_gateway.settings import KubeAccess

Object = dict[str, Any]
Snapshot = dict[str, Object]

_log = logging.getLogger(__name__)
_WATCH_SECONDS = 240
"""Seconds until the server ends a watch and a new one begins."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two tries: at first, and at most."""
_LONGEST_EVENT = 4 * 1024 * 1024
"""Bytes of one line of a watch; an object is at most 1.5 MiB."""


class _ListAgainError(Exception):
    """The watch cannot continue from its resource version."""


class Kube:
    """A read-only client of the API server."""

    def __init__(self, access: KubeAccess, session: aiohttp.ClientSession) -> None:
        self._access = access
        self._session = session
        self._ssl: ssl.SSLContext | None = None
        self.failures = 0
        """Lists and watches that failed."""

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Snapshot]:
        """Yield all objects of a query, by name: once at first and again after every change. Never ends.

        While the API server does not answer, this retries. The latest yield remains the best knowledge until then.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                async for snapshot in self._follow(path, params):
                    pause = _FIRST_PAUSE
                    yield snapshot
            except (
                _ListAgainError,
                aiohttp.ClientError,
                OSError,
                TimeoutError,
                ValueError,
            ) as error:
                self.failures += 1
                _log.warning("watching %s failed (%r). Trying again in %.1f s.", path, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # because it is jitter  # why: backoff
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _follow(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Snapshot]:
        timeout = aiohttp.ClientTimeout(total=30)
        async with self._get(path, params, timeout) as answer:
            found = await answer.json()
        objects: Snapshot = {item["metadata"]["name"]: item for item in found["items"]}
        version = str(found["metadata"]["resourceVersion"])
        yield dict(objects)
        while True:
            query = {
                **params,
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(_WATCH_SECONDS),
            }
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=10, sock_read=_WATCH_SECONDS + 30
            )
            async with self._get(path, query, timeout) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    version = _read_version(event)
                    if event["type"] != "BOOKMARK":
                        _apply_event(objects, event)
                        yield dict(objects)

    @asynccontextmanager
    async def _get(
        self, path: str, params: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        token = self._access.token_file.read_text().strip()
        async with self._session.get(
            self._access.url + path,
            params=params,
            headers={"Authorization": f"Bearer {token}"},
            timeout=limits,
            ssl=self._trust(),
            read_bufsize=_LONGEST_EVENT,
        ) as answer:
            if answer.status == HTTPStatus.GONE:
                raise _ListAgainError("410 Gone")
            answer.raise_for_status()
            yield answer

    def _trust(self) -> ssl.SSLContext | bool:
        if self._access.ca_file is not None and self._ssl is None:
            self._ssl = ssl.create_default_context(cafile=str(self._access.ca_file))
        return self._ssl or True


def _read_version(event: Object) -> str:
    if event["type"] == "ERROR":
        # Whatever the server reports against this watch, such as 410: list again.
        raise _ListAgainError(event["object"].get("message", "watch ended"))
    return str(event["object"]["metadata"]["resourceVersion"])


def _apply_event(objects: Snapshot, event: Object) -> None:
    name = event["object"]["metadata"]["name"]
    if event["type"] == "DELETED":
        objects.pop(name, None)
    else:
        objects[name] = event["object"]
