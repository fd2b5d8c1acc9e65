"""The agent: hears of routes, endpoints and keys, and has HAProxy follow."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from typing_extensions import override

from llmdeployment_gateway import rundir
from llmdeployment_gateway.endpoints import ready_addresses
from llmdeployment_gateway.keys import KeysError, read_keys
from llmdeployment_gateway.kube import Kube
from llmdeployment_gateway.routes import KEY
from llmdeployment_gateway.runtime_api import RuntimeApiError
from llmdeployment_gateway.settings import KubeAccess, Settings
from llmdeployment_gateway.steering import Steering
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.web import Answers

_log = logging.getLogger(__name__)
_LONGEST_LINE = 4 * 1024 * 1024
_KEYS_SECONDS = 1.0
_NOTICE_SECONDS = 2.0


class Agent:
    """One agent, for one gateway pod."""

    def __init__(self, settings: Settings, kube: Kube) -> None:
        self._settings = settings
        self._kube = kube
        self._root = f"namespaces/{settings.namespace}"
        self._watches: dict[str, asyncio.Task[None]] = {}
        self.tally = Tally()
        self.steering = Steering(settings)

    async def run(self, keys: dict[str, str], stop: asyncio.Event) -> None:
        """Work until told to stop, and then until HAProxy needs no one any more."""
        self.steering.desired.keys = keys
        async with asyncio.TaskGroup() as group, _log_lines(self._settings.run_dir, self.tally):
            jobs = [
                group.create_task(self.steering.run()),
                group.create_task(self._follow_routes(group)),
            ]
            if self._settings.auth == "apikey":
                jobs.append(group.create_task(self._follow_keys()))
            await stop.wait()
            await self._until_haproxy_ends()
            for job in (*jobs, *self._watches.values()):
                job.cancel()

    async def _follow_routes(self, group: asyncio.TaskGroup) -> None:
        name = f"{self._settings.name}-routes"
        path = f"/api/v1/{self._root}/configmaps"
        # By name and with no other selector: RBAC lets this agent watch only the one object.
        async for found in self._kube.snapshots(path, {"fieldSelector": f"metadata.name={name}"}):
            text = (found.get(name) or {}).get("data", {}).get(KEY)
            if text is None:
                _log.warning("ConfigMap %s has no %s; the routing stays as it is", name, KEY)
                continue
            self.steering.desired.read(text)
            self._watch_services(group)
            self.steering.changed()

    def _watch_services(self, group: asyncio.TaskGroup) -> None:
        routes = self.steering.desired.routes
        services = routes.services() if routes else ()
        for service in services:
            if service not in self._watches:
                self._watches[service] = group.create_task(self._follow_endpoints(service))
        for service in set(self._watches) - set(services):
            self._watches.pop(service).cancel()
            self.steering.desired.endpoints.pop(service, None)

    async def _follow_endpoints(self, service: str) -> None:
        path = f"/apis/discovery.k8s.io/v1/{self._root}/endpointslices"
        selector = {"labelSelector": f"kubernetes.io/service-name={service}"}
        async for found in self._kube.snapshots(path, selector):
            self.steering.desired.endpoints[service] = ready_addresses(found.values())
            self.steering.changed()

    async def _follow_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_SECONDS)  # why: kubelet swaps a link and tells nobody
            try:
                found = read_keys(self._settings.keys_dir)
            except KeysError as error:
                _log.warning("%s; the keys stay as they are", error)
                continue
            if found != self.steering.desired.keys:
                _log.info("API keys now: %s", ", ".join(sorted(found.values())) or "none")
                self.steering.desired.keys = found
                self.steering.changed()

    async def _until_haproxy_ends(self) -> None:
        """Return when HAProxy is gone, or at once when nobody told it to stop.

        Both containers are told together when the pod goes, and requests that still come need the truth about their
        replicas. An agent that is restarted alone has no reason to stay.
        """
        with contextlib.suppress(RuntimeApiError):
            for _ in range(int(_NOTICE_SECONDS / 0.1)):
                if await self._stopping():
                    break
                await asyncio.sleep(0.1)  # why: the other container hears of it a moment later
            while await self._stopping():  # noqa: ASYNC110  because HAProxy tells nobody that its last stream ended
                await asyncio.sleep(0.5)  # why: see above

    async def _stopping(self) -> bool:
        return "\nStopping: 1" in await self.steering.api.ask("show info")


async def run_agent(settings: Settings, access: KubeAccess, stop: asyncio.Event) -> None:
    """Be the agent until told to stop.

    Raises:
        KeysError: clients must bring a key and there is none.
    """
    keys = read_keys(settings.keys_dir) if settings.auth == "apikey" else {}
    if settings.auth == "apikey" and not keys:
        raise KeysError(
            f"LLMD_AUTH=apikey and no API key in {settings.keys_dir}: "
            "put at least one key into the Secret of spec.gateway.apiKeysSecretRef"
        )
    rundir.prepare(settings, keys)
    # A watch is read by lines, and an EndpointSlice of 1,000 endpoints is a long one.
    async with aiohttp.ClientSession(read_bufsize=_LONGEST_LINE) as session:
        kube = Kube(access, session)
        agent = Agent(settings, kube)
        runner = web.AppRunner(Answers(agent.steering, agent.tally, kube).app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.agent_host, settings.agent_port).start()
            await agent.run(keys, stop)
        finally:
            await runner.cleanup()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM, SIGINT and SIGUSR1 (the image's stop signal, which is HAProxy's soft stop) end this process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, stop.set)


class _Lines(asyncio.DatagramProtocol):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    @override
    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._tally.line(data):
            _log.info("haproxy: %s", data.decode(errors="replace").strip())


@contextlib.asynccontextmanager
async def _log_lines(run_dir: Path, tally: Tally) -> AsyncIterator[None]:
    path = run_dir / "log.sock"
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    # Requests end in bursts, and HAProxy drops what does not fit.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    listening.setblocking(False)
    listening.bind(str(path))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Lines(tally), sock=listening
    )
    try:
        yield
    finally:
        transport.close()
