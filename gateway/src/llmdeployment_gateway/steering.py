"""Brings HAProxy to what is wanted of it, and keeps it there."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_gateway import changes, maps, rundir, slots
from llmdeployment_gateway.changes import Desired
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes, RoutesError, parse, routes_hash
from llmdeployment_gateway.runtime_api import Hold, RuntimeApi, RuntimeApiError, Server
from llmdeployment_gateway.settings import Settings

_log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
"""How often HAProxy is compared with what is wanted when nothing changes: a restarted one is found within this."""
_ABSENT_SECONDS = 0.1
"""The same while HAProxy does not answer."""
_STUCK_SECONDS = 30


@dataclass
class DesiredState:
    """What was last heard of the world.

    Attributes:
        text: `routes.json` as the ConfigMap last had it; None before the first.
        routes: the last text that could be read.
        problem: why `text` cannot be used, for people; empty when it can.
        endpoints: Service to ready addresses, of those heard of.
        keys: sha256 of an API key to its name.
    """

    text: str | None = None
    routes: Routes | None = None
    problem: str = "no routes ConfigMap was seen yet"
    endpoints: dict[str, frozenset[Address]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def read(self, text: str) -> None:
        """Take a new `routes.json`; one that cannot be read leaves the routing as it is."""
        self.text, self.problem = text, ""
        try:
            self.routes = parse(text)
        except RoutesError as error:
            self.problem = f"routes.json cannot be read: {error}"
            _log.error(self.problem)  # without a traceback, which says nothing to whoever wrote it


@dataclass
class Applied:
    """What HAProxy was brought to.

    Attributes:
        process: which HAProxy; empty while none answers.
        routes_hash: of the `routes.json` it follows; empty before the first.
        maps: map file's name to the text it holds.
    """

    process: str = ""
    routes_hash: str = ""
    maps: dict[str, str] = field(default_factory=dict)


class Steering:
    """The one that gives HAProxy orders."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.api = RuntimeApi(settings.run_dir / "admin.sock")
        self.desired = DesiredState()
        self.applied = Applied()
        self.wanted: Desired | None = None
        self.failures = 0
        self._news = asyncio.Event()
        self._turned = time.monotonic()
        # HAProxy knows the maps its configuration names.
        self._only_files = {maps.SLOTS} | ({maps.KEYS} if settings.auth == "none" else set())
        self._said = ""
        self._earlier_refusals = 0
        self._hold = Hold("", 0, 0, 0)

    def changed(self) -> None:
        """Say that `wishes` changed."""
        self._news.set()

    def unready(self) -> str:
        """Return why this gateway should get no requests; empty when it should."""
        if self.desired.problem:
            return self.desired.problem
        if not self.applied.process:
            return self._said or "HAProxy was not asked yet"
        if self.applied.routes_hash != routes_hash(self.desired.text or ""):
            return self._said or "the routes ConfigMap is not applied yet"
        return ""

    def stuck(self) -> bool:
        """Whether the loop stopped turning."""
        return time.monotonic() - self._turned > _STUCK_SECONDS

    async def run(self) -> None:
        """Steer for ever."""
        while True:
            self._news.clear()
            try:
                await self.turn()
            except (RuntimeApiError, slots.NoSlotError) as error:
                self.failures += 1
                if str(error) != self._said:
                    _log.warning("%s", error)
                    self._said = str(error)
                if isinstance(error, RuntimeApiError):
                    self.applied.process = ""
            else:
                self._said = ""
            self._turned = time.monotonic()
            try:
                async with asyncio.timeout(
                    LOOK_SECONDS if self.applied.process else _ABSENT_SECONDS
                ):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Write the files, then bring HAProxy to them.

        Raises:
            RuntimeApiError: HAProxy does not answer or refuses.
            NoSlotError: the routes name more services than there are backends.
        """
        desired = self.desired
        text, routes, keys = desired.text, desired.routes, dict(desired.keys)
        endpoints = dict(desired.endpoints)
        if routes is None or any(service not in endpoints for service in routes.services()):
            # Half the truth would take servers out that another agent, before this one, put in.
            await self._look()
            return
        readable = not desired.problem
        found = await self._found()
        before = rundir.assigned(self._settings)
        busy = [slot for slot, servers in found.items() if servers]
        assigned = slots.assign(routes.services(), before, busy)
        self.wanted = changes.desired(routes, endpoints, keys, assigned)
        rundir.keep(self._settings, self.wanted)
        hold = await self._look()
        if hold.process != self.applied.process:
            self.applied = Applied()
            found = await self.api.servers()
        await self._bring(self.wanted, found)
        self.applied.process = hold.process
        if readable and text is not None:
            self.applied.routes_hash = routes_hash(text)

    async def _found(self) -> dict[str, dict[str, Server]]:
        try:
            return await self.api.servers()
        except RuntimeApiError:
            # It does not run: what it starts from is written all the same.
            return {}

    async def _requests(self) -> dict[str, int]:
        try:
            return await self.api.requests()
        except RuntimeApiError:
            return {}

    async def _bring(self, wanted: Desired, found: Mapping[str, Mapping[str, Server]]) -> None:
        requests = self._settings.replica_requests
        for command, expect in changes.additions(wanted.servers, found, requests):
            _log.info("%s", command)
            await self.api.order(command, expect)
        for name, content in wanted.maps.items():
            if self.applied.maps.get(name) != content:
                if name not in self._only_files:
                    await self.api.replace_map(self._settings.run_dir / name, content)
                self.applied.maps[name] = content
        out, forget = changes.removals(wanted.servers, found)
        for command in out:
            _log.info("%s", command)
            await self.api.order(command)
        for command in forget:
            # Refused as long as a request is under way there: the next look tries again.
            await self.api.ask(command)

    async def _look(self) -> Hold:
        hold = await self.api.hold()
        if hold.process != self._hold.process:
            self._earlier_refusals += self._hold.full + self._hold.timeout
        self._hold = hold
        return hold

    async def held(self) -> tuple[int, int]:
        """Return requests that wait now, and those refused since the agent saw its first HAProxy."""
        try:
            hold = await self._look()
        except RuntimeApiError:
            return 0, self._earlier_refusals + self._hold.full + self._hold.timeout
        return hold.held, self._earlier_refusals + hold.full + hold.timeout

    async def services(self) -> dict[str, dict[str, int]]:
        """Return, by Service, the addresses that should get requests, those that do, and the requests given to them so far."""
        if self.wanted is None:
            return {}
        found, requests = await self._found(), await self._requests()
        return {
            service: {
                "servers": len(self.wanted.servers[slot]),
                "up": sum(
                    address.server in found.get(slot, {}) and found[slot][address.server].up
                    for address in self.wanted.servers[slot]
                ),
                "requests": requests.get(slot, 0),
            }
            for service, slot in self.wanted.slots.items()
        }
