"""The agent: watches routes, endpoints and keys, and changes HAProxy accordingly."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from typing_extensions import override

from llmdeployment_gateway import rundir
from llmdeployment_gateway.endpoints import find_pods, find_ready
from llmdeployment_gateway.feedback import FeedbackServer, serve_feedback
from llmdeployment_gateway.forwarding import Forwarder
from llmdeployment_gateway.keys import KeysError, read_keys
from llmdeployment_gateway.kube import Kube, Snapshot
from llmdeployment_gateway.logs import AccessLog, FeedbackLog
from llmdeployment_gateway.metrics import MetricsPage
from llmdeployment_gateway.peers import Peers
from llmdeployment_gateway.request_lines import RequestLines
from llmdeployment_gateway.request_spans import RequestSpans, start_spans
from llmdeployment_gateway.routes import KEY
from llmdeployment_gateway.runtime_api import RuntimeApiError
from llmdeployment_gateway.settings import KubeAccess, Settings
from llmdeployment_gateway.steering import Steering
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.voting import SOCKET
from llmdeployment_gateway.web import AgentServer

_log = logging.getLogger(__name__)
_LONGEST_LINE = 4 * 1024 * 1024
"""Bytes of one line of a watch."""
_KEYS_SECONDS = 1.0
"""Seconds between two reads of the API keys."""
_NOTICE_SECONDS = 2.0
"""Seconds that the agent waits for HAProxy to begin to stop, after its own signal."""

_LAST_SPANS_SECONDS = 2.0
"""Seconds that a stopping agent takes for the spans that were not sent yet."""


class Agent:
    """The agent of one gateway pod."""

    def __init__(self, settings: Settings, kube: Kube) -> None:
        self._settings = settings
        self._kube = kube
        self._root = f"namespaces/{settings.namespace}"
        self._watches: dict[str, asyncio.Task[None]] = {}
        self.tally = Tally()
        self.steering = Steering(settings)
        self.peers = Peers(settings.pod)
        self.spans = start_spans(settings)

    async def run(self, keys: dict[str, str], stop: asyncio.Event) -> None:
        """Work until `stop` is set, and then until HAProxy has ended."""
        self.steering.inputs.keys = keys
        access = AccessLog(time.monotonic, _choose_lines(self._settings))
        log = _LogProtocol(self.tally, access, self.spans)
        async with asyncio.TaskGroup() as group, _receive_log(self._settings.run_dir, log):
            jobs = [
                group.create_task(self.steering.run()),
                group.create_task(self._follow_routes(group)),
            ]
            if self._settings.feedback_key is not None:
                jobs.append(group.create_task(self._follow_peers()))
            if self._settings.auth == "apikey":
                jobs.append(group.create_task(self._follow_keys()))
            await stop.wait()
            await self._wait_for_haproxy()
            for job in (*jobs, *self._watches.values()):
                job.cancel()
        if self.spans is not None:
            self.spans.export.close(_LAST_SPANS_SECONDS)

    async def _follow_routes(self, group: asyncio.TaskGroup) -> None:
        name = f"{self._settings.name}-routes"
        path = f"/api/v1/{self._root}/configmaps"
        # By name and with no other selector: RBAC lets this agent watch only the one object.
        async for found in self._kube.watch(path, {"fieldSelector": f"metadata.name={name}"}):
            text = (found.get(name) or {}).get("data", {}).get(KEY)
            if text is None:
                _log.warning(
                    "ConfigMap %s has no key %s, so the routing stays as it is. The operator writes it.",
                    name,
                    KEY,
                )
                continue
            self.steering.inputs.read(text)
            self._watch_services(group)
            self.steering.wake()

    def _watch_services(self, group: asyncio.TaskGroup) -> None:
        routes = self.steering.inputs.routes
        services = routes.services() if routes else ()
        for service in services:
            if service not in self._watches:
                self._watches[service] = group.create_task(self._follow_endpoints(service))
        for service in set(self._watches) - set(services):
            self._watches.pop(service).cancel()
            self.steering.inputs.endpoints.pop(service, None)

    async def _follow_peers(self) -> None:
        """Follow the pods of the gateway's own Service, which has the LLMDeployment's name."""
        async for found in self._watch_slices(self._settings.name):
            self.peers.see(find_pods(found.values()), time.time())

    async def _follow_endpoints(self, service: str) -> None:
        async for found in self._watch_slices(service):
            self.steering.inputs.endpoints[service] = find_ready(found.values())
            self.steering.wake()

    def _watch_slices(self, service: str) -> AsyncIterator[Snapshot]:
        path = f"/apis/discovery.k8s.io/v1/{self._root}/endpointslices"
        selector = {"labelSelector": f"kubernetes.io/service-name={service}"}
        return self._kube.watch(path, selector)

    async def _follow_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_SECONDS)  # why: kubelet gives no notice of new files
            try:
                found = read_keys(self._settings.keys_dir)
            except KeysError as error:
                _log.warning("%s. The keys stay as they are.", error)
                continue
            if found != self.steering.inputs.keys:
                _log.info("API keys now: %s", ", ".join(sorted(found.values())) or "none")
                self.steering.inputs.keys = found
                self.steering.wake()

    async def _wait_for_haproxy(self) -> None:
        """Wait until HAProxy has ended; return at once if it is not stopping.

        When the pod ends, both containers get the signal at the same time, and HAProxy still needs current endpoints for its
        last requests. An agent that is restarted alone does not wait.
        """
        with contextlib.suppress(RuntimeApiError):
            for _ in range(int(_NOTICE_SECONDS / 0.1)):
                if await self._is_stopping():
                    break
                await asyncio.sleep(0.1)  # why: the other container gets its signal later
            while await self._is_stopping():  # noqa: ASYNC110  # because HAProxy does not announce the end of its last stream
                await asyncio.sleep(0.5)  # why: see above

    async def _is_stopping(self) -> bool:
        return "\nStopping: 1" in await self.steering.api.ask("show info")


async def run_agent(settings: Settings, access: KubeAccess, stop: asyncio.Event) -> None:
    """Run the agent until `stop` is set.

    Raises:
        KeysError: clients must send a key and there is none.
    """
    keys = read_keys(settings.keys_dir) if settings.auth == "apikey" else {}
    if settings.auth == "apikey" and not keys:
        raise KeysError(
            f"LLMD_AUTH is apikey, but there is no API key in {settings.keys_dir}, so nobody could send requests. "
            "Add at least one key to the Secret of spec.gateway.apiKeysSecretRef."
        )
    rundir.prepare(settings, keys)
    # A watch is read line by line, and the line of an EndpointSlice with 1,000 endpoints is long.
    async with aiohttp.ClientSession(read_bufsize=_LONGEST_LINE) as session:
        kube = Kube(access, session)
        agent = Agent(settings, kube)
        async with _serve(settings, agent, kube, session):
            await agent.run(keys, stop)


@contextlib.asynccontextmanager
async def _serve(
    settings: Settings, agent: Agent, kube: Kube, session: aiohttp.ClientSession
) -> AsyncIterator[None]:
    """Answer kubelet, operator and Prometheus, and take votes if there is a key to check them by."""
    async with contextlib.AsyncExitStack() as stack:
        page = MetricsPage(settings.namespace, settings.name)
        app = AgentServer(agent.steering, agent.tally, kube, page, agent.spans).build_app()
        if (key := settings.feedback_key) is not None:
            forwarder = Forwarder(session, settings.agent_port, key)
            log = FeedbackLog(time.monotonic, _choose_lines(settings))
            votes = FeedbackServer(key, agent.tally, time.time, log, agent.peers, forwarder)
            votes.add_forwarded(app)
            stack.push_async_callback(
                (await serve_feedback(votes, settings.run_dir / SOCKET)).cleanup
            )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.agent_host, settings.agent_port).start()
        yield


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM, SIGINT or SIGUSR1 (the image's stop signal, which is HAProxy's soft stop)."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, stop.set)


def _choose_lines(settings: Settings) -> RequestLines | None:
    return RequestLines() if settings.request_log else None


class _LogProtocol(asyncio.DatagramProtocol):
    def __init__(self, tally: Tally, access: AccessLog, spans: RequestSpans | None) -> None:
        self._tally = tally
        self._spans = spans
        self._access = access

    @override
    def datagram_received(self, data: bytes, addr: object) -> None:
        if (ended := self._tally.count_line(data)) is not None:
            self._access.write(ended)
            if self._spans is not None:
                self._spans.take(ended)
        else:
            _log.info("haproxy: %s", data.decode(errors="replace").strip())


@contextlib.asynccontextmanager
async def _receive_log(run_dir: Path, log: _LogProtocol) -> AsyncIterator[None]:
    path = run_dir / "log.sock"
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    # Requests end in bursts, and HAProxy drops log lines that do not fit.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    listening.setblocking(False)
    listening.bind(str(path))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: log, sock=listening
    )
    try:
        yield
    finally:
        transport.close()
