"""Ways to a port of a Service in the cluster that the console runs in: by its name, without `kubectl port-forward`."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import aiohttp

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.forwards import Place

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a name."""

_SECONDS = 10.0
"""How long the pod that acts is taken for the one that still does."""
_TIMEOUT = aiohttp.ClientTimeout(total=2)
_ACTS = "ok"
"""What `/readyz` of the operator's pod that acts says; one that stands by says so, and has no points."""
_MOST_BYTES = 100


class Services:
    """Leads to Services by their names, and to the operator's pod that acts.

    Args:
        session: for the question which pod acts.
        operator: name of a headless Service of the operator's pods, such as `live.llm-system.svc`.
        resolve: finds their addresses.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        operator: str,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._operator = operator
        self._resolve = resolve or resolve_name
        self._clock = clock
        self._lock = asyncio.Lock()
        self._leader: str | None = None
        self._found = float("-inf")

    async def find(self, place: Place) -> str:
        """Return the base URL of a place.

        Raises:
            Refusal: it is the operator's, and none of its pods acts now.
        """
        namespace, target, port = place
        kind, _, name = target.partition("/")
        if kind == "svc":
            return f"http://{name}.{namespace}.svc:{port}"
        async with self._lock:
            if self._leader is None or self._clock() - self._found >= _SECONDS:
                self._leader = await self._find_leader(port)
                self._found = self._clock()
            return self._leader

    async def drop(self, place: Place) -> None:
        """Look for the operator's pod again next time."""
        if not place[1].startswith("svc/"):
            self._leader = None

    async def _find_leader(self, port: int) -> str:
        try:
            addresses = await self._resolve(self._operator, port)
        except OSError as error:
            raise Refusal(
                f"{self._operator} leads to no pod of the operator ({error}). Check that one is ready."
            ) from error
        bases = [locate(each, port) for each in addresses]
        acting = await asyncio.gather(*map(self._acts, bases))
        for base, acts in zip(bases, acting, strict=True):
            if acts:
                return base
        raise Refusal(f"no pod of the operator behind {self._operator} acts now. Try again.")

    async def _acts(self, base: str) -> bool:
        try:
            async with self._session.get(
                f"{base}/readyz", timeout=_TIMEOUT, allow_redirects=False
            ) as answer:
                text = (await answer.content.read(_MOST_BYTES)).decode("utf-8", "replace")
                return answer.status == HTTPStatus.OK and text.strip() == _ACTS
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


def locate(address: str, port: int) -> str:
    """Return the base URL of an address."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


async def resolve_name(name: str, port: int) -> list[str]:
    """Return the addresses of a name, each once."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})
