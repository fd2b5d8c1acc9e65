"""The loop that keeps HAProxy in line with routes, endpoints and keys."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_gateway import changes, maps, rundir, slots
from llmdeployment_gateway.changes import HAProxyState
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes, RoutesError, hash_routes, parse_routes
from llmdeployment_gateway.runtime_api import HoldCounts, RuntimeApi, RuntimeApiError, Server
from llmdeployment_gateway.settings import Settings

_log = logging.getLogger(__name__)
CHECK_SECONDS = 0.5
"""Seconds between two comparisons of HAProxy with the desired state when nothing changes. A restart is found within this time."""
_ABSENT_SECONDS = 0.1
"""Seconds between two comparisons while HAProxy does not answer."""
_STUCK_SECONDS = 30
"""Seconds after its last turn from which the loop counts as stuck."""


@dataclass
class Inputs:
    """What the agent has read from the API server and from files.

    Attributes:
        text: the latest `routes.json` of the ConfigMap; None before the first.
        routes: the latest text that was valid.
        problem: why `text` cannot be used, as a message; empty if it can.
        endpoints: service to its ready addresses, for every Service that was read.
        keys: sha256 of an API key to its name.
    """

    text: str | None = None
    routes: Routes | None = None
    problem: str = (
        "the routes ConfigMap was not read yet: the agent waits for the operator to write it"
    )
    endpoints: dict[str, frozenset[Address]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def read(self, text: str) -> None:
        """Take a new `routes.json`; an invalid one leaves the routing as it is."""
        self.text, self.problem = text, ""
        try:
            self.routes = parse_routes(text)
        except RoutesError as error:
            self.problem = f"routes.json is invalid, so the routing stays as it was: {error}"
            _log.error(self.problem)  # no traceback: the author of the file needs the message alone


@dataclass
class Applied:
    """What HAProxy was last changed to.

    Attributes:
        process: id of the HAProxy process; empty while none answers.
        routes_hash: of the `routes.json` it follows; empty before the first.
        maps: name of a map file to the text that HAProxy has.
    """

    process: str = ""
    routes_hash: str = ""
    maps: dict[str, str] = field(default_factory=dict)


class Steering:
    """Changes HAProxy through its runtime API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.api = RuntimeApi(settings.run_dir / "admin.sock")
        self.inputs = Inputs()
        self.applied = Applied()
        self.wanted: HAProxyState | None = None
        self.failures = 0
        self._wakeup = asyncio.Event()
        self._reconciled_at = time.monotonic()
        # HAProxy loads only the maps that its configuration names; these are files for the agent alone.
        self._only_files = {maps.SLOTS} | ({maps.KEYS} if settings.auth == "none" else set())
        self._reported = ""
        self._earlier_refusals = 0
        self._hold = HoldCounts("", 0, 0, 0)

    def wake(self) -> None:
        """Wake the loop because `inputs` changed."""
        self._wakeup.set()

    def explain_unready(self) -> str:
        """Return why this gateway should get no requests, or an empty text if it should."""
        if self.inputs.problem:
            return self.inputs.problem
        if not self.applied.process:
            return self._reported or "the agent has not reached HAProxy yet"
        if self.applied.routes_hash != hash_routes(self.inputs.text or ""):
            return self._reported or "the agent has not applied the routes ConfigMap to HAProxy yet"
        return ""

    def is_stuck(self) -> bool:
        """Return whether the loop has stopped turning."""
        return time.monotonic() - self._reconciled_at > _STUCK_SECONDS

    async def run(self) -> None:
        """Run the loop forever."""
        while True:
            self._wakeup.clear()
            try:
                await self.reconcile()
            except (RuntimeApiError, slots.NoSlotError) as error:
                self.failures += 1
                if str(error) != self._reported:
                    _log.warning("%s", error)
                    self._reported = str(error)
                if isinstance(error, RuntimeApiError):
                    self.applied.process = ""
            else:
                self._reported = ""
            self._reconciled_at = time.monotonic()
            try:
                async with asyncio.timeout(
                    CHECK_SECONDS if self.applied.process else _ABSENT_SECONDS
                ):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    async def reconcile(self) -> None:
        """Write the files, then bring HAProxy in line with them.

        Raises:
            RuntimeApiError: HAProxy does not answer, or refuses a command.
            NoSlotError: the routes name more services than there are backends.
        """
        inputs = self.inputs
        text, routes, keys = inputs.text, inputs.routes, dict(inputs.keys)
        endpoints = dict(inputs.endpoints)
        if routes is None or any(service not in endpoints for service in routes.services()):
            # With endpoints missing, the loop would remove servers that an earlier agent added.
            await self._read_hold()
            return
        readable = not inputs.problem
        found = await self._read_servers()
        before = rundir.read_slots(self._settings)
        busy = [slot for slot, servers in found.items() if servers]
        assigned = slots.assign(routes.services(), before, busy)
        self.wanted = changes.build_state(routes, endpoints, keys, assigned)
        rundir.write_state(self._settings, self.wanted)
        hold = await self._read_hold()
        if hold.process != self.applied.process:
            self.applied = Applied()
            found = await self.api.servers()
        await self._apply(self.wanted, found)
        self.applied.process = hold.process
        if readable and text is not None:
            self.applied.routes_hash = hash_routes(text)

    async def _read_servers(self) -> dict[str, dict[str, Server]]:
        try:
            return await self.api.servers()
        except RuntimeApiError:
            # HAProxy does not run; the files that it starts from are written all the same.
            return {}

    async def _read_requests(self) -> dict[str, int]:
        try:
            return await self.api.requests()
        except RuntimeApiError:
            return {}

    async def _apply(self, wanted: HAProxyState, found: Mapping[str, Mapping[str, Server]]) -> None:
        additions = changes.list_additions(
            wanted.servers, found, wanted.requests, self._settings.replica_requests
        )
        for command, expect in additions:
            _log.info("%s", command)
            await self.api.order(command, expect)
        for name, content in wanted.maps.items():
            if self.applied.maps.get(name) != content:
                if name not in self._only_files:
                    await self.api.replace_map(self._settings.run_dir / name, content)
                self.applied.maps[name] = content
        out, forget = changes.list_removals(wanted.servers, found)
        for command in out:
            _log.info("%s", command)
            await self.api.order(command)
        for command in forget:
            # HAProxy refuses while the server has requests; the next turn tries again.
            await self.api.ask(command)

    async def _read_hold(self) -> HoldCounts:
        hold = await self.api.hold()
        if hold.process != self._hold.process:
            self._earlier_refusals += self._hold.full + self._hold.timeout
        self._hold = hold
        return hold

    async def count_held(self) -> tuple[int, int]:
        """Return how many requests wait now, and how many were refused since the agent first reached HAProxy."""
        try:
            hold = await self._read_hold()
        except RuntimeApiError:
            return 0, self._earlier_refusals + self._hold.full + self._hold.timeout
        return hold.held, self._earlier_refusals + hold.full + hold.timeout

    async def count_services(self) -> dict[str, dict[str, int]]:
        """Return, by Service, how many addresses should get requests, how many do, and how many requests they got so far."""
        if self.wanted is None:
            return {}
        found, requests = await self._read_servers(), await self._read_requests()
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
