"""Runs the console in a cluster: `python -m llmdeployment_console`."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from functools import partial

import aiohttp
from starlette.types import ASGIApp, Receive, Scope, Send

from llmdeployment_cli import kube
from llmdeployment_console.api_server import AccountTransport, Token, open_account
from llmdeployment_console.app import Console, build_app
from llmdeployment_console.cache import ReadCache
from llmdeployment_console.cluster import UserCluster
from llmdeployment_console.cluster_settings import ClusterSettings, read_cluster_settings
from llmdeployment_console.events import Places
from llmdeployment_console.history import Histories
from llmdeployment_console.identity import ProxyEntrance, admit_reader
from llmdeployment_console.operator_points import OperatorPoints
from llmdeployment_console.pod_cluster import PodCluster
from llmdeployment_console.reviews import Reviews, ask_api_server
from llmdeployment_console.rights import Apply, ReadRights, ReviewedRights, Rights
from llmdeployment_console.server import build_server
from llmdeployment_console.services import Services
from llmdeployment_console.settings import Settings, read_settings
from llmdeployment_console.viewers import Entrance, Viewer

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
STREAMS, STREAMS_EACH = 128, 8
"""Streams at one time, and those of one viewer."""
_CONNECTIONS = 512
_BACKLOG = 128
HEALTH = "/healthz"


def run(environment: Mapping[str, str]) -> None:
    """Serve the console until the pod is to end.

    Raises:
        Refusal: a setting cannot be used, or the LLMDeployments may not be read.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings, shown = read_cluster_settings(environment), read_settings(environment)
    transport = open_account(
        environment.get("KUBERNETES_SERVICE_HOST", ""),
        environment.get("KUBERNETES_SERVICE_PORT", ""),
        settings.account,
    )
    connection = kube.Cluster(transport, "", CALL_SECONDS)
    cluster = PodCluster(connection, settings.namespaces, settings.operator)
    # A Role that is missing is seen at the start of the pod, and not by the first who opens the page.
    cluster.list_deployments()
    with listen(settings.port) as listener:
        asyncio.run(_serve(settings, shown, transport, cluster, listener))


def listen(port: int) -> socket.socket:
    """Return a socket of all addresses, of both families where the machine has both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


async def _serve(
    settings: ClusterSettings,
    shown: Settings,
    transport: AccountTransport,
    cluster: PodCluster,
    listener: socket.socket,
) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        ways = Services(session, settings.operator_service)
        points = OperatorPoints(session, cluster, ways)
        console = Console(
            cluster,
            ReadCache(cluster),
            points,
            Histories(points),
            ways,
            session,
            build_rights(settings, transport),
            places=build_places(settings),
            settings=shown,
        )
        app = answer_probes(build_app(console, build_entrance(settings)))
        await build_server(app, console.places.ending, _CONNECTIONS).serve([listener])


def build_places(settings: ClusterSettings) -> Places:
    """Return the places of streams. Where nobody is asked for a name, all viewers are one and may have all."""
    return Places(STREAMS, STREAMS_EACH if settings.naming is not None else STREAMS)


def build_entrance(settings: ClusterSettings) -> Entrance:
    """Return who is let in."""
    if settings.naming is None:
        return partial(admit_reader, names=settings.names)
    secret = Token(settings.secret)

    def read_secrets() -> tuple[str, ...]:
        try:
            return tuple(secret.read().split())
        except (OSError, ValueError) as error:
            log.warning("the proxy's secret cannot be read, so nobody is let in: %s", error)
            return ()

    return ProxyEntrance(settings.names, settings.origin, settings.naming, read_secrets)


def build_rights(settings: ClusterSettings, transport: AccountTransport) -> Rights:
    """Return what those may who were let in."""
    if settings.naming is None:
        return ReadRights()
    own = kube.Cluster(transport, "", CALL_SECONDS)

    def impersonate(viewer: Viewer) -> Apply:
        theirs = kube.Cluster(transport.impersonate(viewer), "", CALL_SECONDS)
        return UserCluster(theirs, None).apply

    return ReviewedRights(Reviews(partial(ask_api_server, own)), impersonate)


def answer_probes(app: ASGIApp) -> ASGIApp:
    """Return an app that answers the kubelet, which calls it by an address and brings nothing, and leaves the rest to another."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH:
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok\n"})

    return answer
